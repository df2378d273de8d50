# SPDX-License-Identifier: MIT
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from keras_vit.data import evaluation_batches, images, load, pipeline, training_batches
from keras_vit.data.augmentation import augment, inception_crop, mixup, padded_crop
from keras_vit.data.examine import examine
from keras_vit.data.image_set import Split
from keras_vit.recipes import Augmentation


def numbered(count, size=4):
    """Images that are their own number everywhere."""
    arrays = np.tile(np.arange(count, dtype="uint8")[:, None, None, None], (1, size, size, 1))
    return Split(np.arange(count) % 3, arrays=arrays)


def train(split, epochs=2, seed=0, augmentation=None, batch_size=4):
    dataset, steps = training_batches(
        split, 3, (4, 4), 1, batch_size, epochs, seed, augmentation or Augmentation()
    )
    return [(x.numpy(), y.numpy()) for x, y in dataset], steps, int(dataset.cardinality())


def test_every_example_comes_once_in_an_epoch():
    batches, steps, cardinality = train(numbered(12), epochs=3)
    assert (len(batches), steps, cardinality) == (9, 3, 9)
    orders = []
    for epoch in range(3):
        seen = np.concatenate([x[:, 0, 0, 0] for x, _ in batches[3 * epoch : 3 * epoch + 3]])
        assert sorted(seen) == list(range(12))
        orders.append(tuple(seen))
    assert len(set(orders)) == 3


def test_labels_belong_to_their_images():
    for x, y in train(numbered(12))[0]:
        np.testing.assert_array_equal(y, np.eye(3)[x[:, 0, 0, 0].astype(int) % 3])


def test_what_does_not_fill_a_batch_is_left_out():
    batches, steps, cardinality = train(numbered(11))
    assert (len(batches), steps, cardinality) == (4, 2, 4)
    assert train(numbered(3))[0][0][0].shape == (3, 4, 4, 1)


def test_the_order_is_a_function_of_the_seed():
    plan = Augmentation(crop="pad", pad=2, flip=True)
    split = load("digits").train.take(np.arange(40))

    def run(seed):
        dataset, _ = training_batches(split, 10, (8, 8), 1, 8, 2, seed, plan)
        return np.concatenate([x.numpy() for x, _ in dataset])

    np.testing.assert_array_equal(run(1), run(1))
    assert not np.array_equal(run(1), run(2))


def test_evaluation_is_in_order_and_complete():
    dataset = evaluation_batches(numbered(11), 3, (4, 4), 1, 4)
    assert int(dataset.cardinality()) == 3
    seen = np.concatenate([x.numpy()[:, 0, 0, 0] for x, _ in dataset])
    np.testing.assert_array_equal(seen, np.arange(11))


@pytest.fixture(scope="module")
def photo():
    small = np.random.default_rng(0).integers(0, 256, (6, 10, 3)).astype("uint8")
    return np.asarray(Image.fromarray(small).resize((60, 36)))


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.bmp", "a.gif"])
@pytest.mark.parametrize("channels", [1, 3])
def test_training_and_prediction_see_the_same_pixels(tmp_path, photo, name, channels):
    """TensorFlow's decoder and resize here, Pillow's there."""
    path = tmp_path / name
    exif = Image.Exif()
    if name != "a.gif" and name != "a.bmp":
        exif[0x0112] = 6
    Image.fromarray(photo).save(path, exif=exif)
    split = Split(
        np.zeros(1, "int64"),
        paths=[str(path)],
        orientation=np.array([examine(str(path)).orientation], "uint8"),
    )
    for size, crop in (((36, 60), 1.0), ((20, 20), 0.875), ((50, 30), 1.0)):
        (pixels, _), *_ = evaluation_batches(split, 2, size, channels, 1, crop)
        read = images.read_image(path, size, channels, crop)
        # Decoded pixels are equal; the two resizes round their weights in float32.
        np.testing.assert_allclose(pixels.numpy()[0], read, atol=1e-3)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_upright_undoes_every_orientation(tmp_path, photo, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(photo).save(tmp_path / "a.png", exif=exif)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(tmp_path / "a.png")))
    np.testing.assert_array_equal(pipeline.upright(tf.constant(photo), orientation), expected)


SEED = tf.constant([1, 2], tf.int32)


def test_padded_crop_is_a_window_of_the_padded_image(photo):
    image = tf.constant(photo[:8, :8], tf.float32)
    windows = set()
    padded = np.pad(photo[:8, :8], ((2, 2), (2, 2), (0, 0)))
    places = {padded[i : i + 8, j : j + 8].tobytes(): (i, j) for i in range(5) for j in range(5)}
    for seed in range(60):
        crop = padded_crop(image, 2, (8, 8), tf.constant([seed, 0])).numpy().astype("uint8")
        windows.add(places[crop.tobytes()])  # a KeyError is a window that does not exist
    assert len(windows) > 15  # of 25


def test_inception_crop_keeps_its_bounds():
    """On an image whose pixels are their own coordinates, the box can be read off."""
    rows, columns = np.meshgrid(np.arange(100.0), np.arange(120.0), indexing="ij")
    image = tf.constant(np.stack([rows, columns], -1), tf.float32)
    areas, ratios = [], []
    for seed in range(100):
        crop = inception_crop(image, 0.25, (16, 16), tf.constant([seed, 1])).numpy()
        # Centres of the outer cells are 15/16 of the box apart.
        height = (crop[-1, 0, 0] - crop[0, 0, 0]) * 16 / 15
        width = (crop[0, -1, 1] - crop[0, 0, 1]) * 16 / 15
        areas.append(height * width / 12_000)
        ratios.append(width / height)
    # Boxes have whole pixels, and the antialiasing filter is cut off at their edges.
    assert min(areas) > 0.25 * 0.9 and max(areas) < 1.05
    assert min(ratios) > 0.75 * 0.9 and max(ratios) < 4 / 3 * 1.1
    assert np.std(areas) > 0.1


def test_flip_mirrors_half_of_the_time(photo):
    plan = Augmentation(flip=True)
    image = tf.constant(photo, tf.float32)
    flipped = 0
    for seed in range(100):
        result = augment(image, plan, photo.shape[:2], tf.constant([seed, 3])).numpy()
        mirrored = np.array_equal(result, photo[:, ::-1])
        assert mirrored or np.array_equal(result, photo)
        flipped += mirrored
    assert 30 <= flipped <= 70  # four standard errors around 50


def test_nothing_is_done_when_nothing_is_asked(photo):
    image = tf.constant(photo, tf.float32)
    np.testing.assert_array_equal(augment(image, Augmentation(), photo.shape[:2], SEED), photo)


def test_mixup_blends_images_and_labels_alike():
    """On images that are their own number, the share and the partner can be read off."""
    images = tf.reshape(tf.range(8.0), (8, 1, 1, 1))
    labels = tf.eye(8)
    shares = []
    for step in range(200):
        x, y = (t.numpy() for t in mixup(images, labels, 0.5, tf.constant([7, step])))
        share = y[0, 0]
        partner = np.roll(np.arange(8.0), 1)
        np.testing.assert_allclose(y, share * np.eye(8) + (1 - share) * np.roll(np.eye(8), 1, 0))
        # float32 of numbers up to 7.
        np.testing.assert_allclose(x.ravel(), share * np.arange(8.0) + (1 - share) * partner, 1e-5)
        shares.append(share)
    assert min(shares) >= 0.5 and max(shares) <= 1
    # The mean of max(a, 1 - a) with a from Beta(1/2, 1/2) is 1/2 + 1/pi; its deviation is 0.154.
    assert np.mean(shares) == pytest.approx(0.5 + 1 / np.pi, abs=4 * 0.154 / np.sqrt(200))


def test_mixup_in_the_pipeline_can_be_repeated():
    split = load("digits").train.take(np.arange(40))

    def run(seed):
        plan = Augmentation(mixup=0.5)
        dataset, _ = training_batches(split, 10, (8, 8), 1, 8, 2, seed, plan)
        assert int(dataset.cardinality()) == 10
        return np.concatenate([y.numpy() for _, y in dataset])

    np.testing.assert_array_equal(run(1), run(1))
    assert not np.array_equal(run(1)[:40], run(1)[40:])
    np.testing.assert_allclose(run(1).sum(1), 1, atol=1e-6)


@pytest.mark.parametrize("first_step", [1, 4, 5, 13])
def test_a_run_can_begin_at_any_step(first_step):
    """5 steps in each of 3 epochs; the left-out batches draw nothing from those that follow."""
    split = load("digits").train.take(np.arange(42))
    plan = Augmentation(crop="pad", pad=2, flip=True, mixup=0.2)

    def batches(first):
        dataset, steps = training_batches(split, 10, (8, 8), 1, 8, 3, 0, plan, first_step=first)
        assert steps == 5 and int(dataset.cardinality()) == 15 - first
        return [(x.numpy(), y.numpy()) for x, y in dataset]

    expected, found = batches(0)[first_step:], batches(first_step)
    for (x, y), (pixels, labels) in zip(expected, found, strict=True):
        np.testing.assert_array_equal(pixels, x)
        np.testing.assert_array_equal(labels, y)
