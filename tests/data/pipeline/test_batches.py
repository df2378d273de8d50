# SPDX-License-Identifier: MIT
import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from keras_vit.data import evaluation_batches, images, load, training_batches
from keras_vit.data.checks.examine import examine
from keras_vit.data.dataset import Arrays, Files
from keras_vit.data.pipeline import decoding, reading
from keras_vit.errors import UserError
from keras_vit.preprocessing import Preprocessing, View
from keras_vit.recipes import Augmentation

EIGHT = Preprocessing((8, 8), 1)
SMALL = Preprocessing((16, 20))


def numbered(count, size=4):
    """Images that are their own number everywhere."""
    arrays = np.tile(np.arange(count, dtype="uint8")[:, None, None, None], (1, size, size, 1))
    return Arrays(np.arange(count) % 3, arrays)


def train(split, epochs=2, seed=0, augmentation=None, batch_size=4):
    dataset, steps = training_batches(
        split, 3, Preprocessing((4, 4), 1), batch_size, epochs, seed, augmentation or Augmentation()
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
    split = load("digits")[0].train.take(np.arange(40))

    def run(seed):
        dataset, _ = training_batches(split, 10, EIGHT, 8, 2, seed, plan)
        return np.concatenate([x.numpy() for x, _ in dataset])

    pixels = run(1)
    np.testing.assert_array_equal(pixels, run(1))
    assert not np.array_equal(pixels, run(2))


def test_evaluation_is_in_order_and_complete():
    dataset = evaluation_batches(numbered(11), 3, Preprocessing((4, 4), 1), 4)
    assert int(dataset.cardinality()) == 3
    seen = np.concatenate([x.numpy()[:, 0, 0, 0] for x, _ in dataset])
    np.testing.assert_array_equal(seen, np.arange(11))


def test_processes_decode_parts_of_the_same_batches():
    split = load("digits")[0].train.take(np.arange(42))
    plan = Augmentation(crop="pad", pad=2, flip=True, repeats=2)

    def run(index, count):
        share = (index, count)
        batches, _ = training_batches(split, 10, EIGHT, 8, 2, 0, plan, "none", 3, share)
        assert int(batches.cardinality()) == 7
        return [(x.numpy(), y.numpy()) for x, y in batches]

    for whole, *parts in zip(run(0, 1), run(0, 2), run(1, 2), strict=True):
        for i in range(2):
            np.testing.assert_array_equal(whole[i], np.concatenate([part[i] for part in parts]))


@pytest.mark.parametrize("count", [8, 11, 13])
def test_processes_evaluate_each_example_once(count):
    """Also where a batch cannot be divided: it is filled up, and what fills it counts 0."""

    def run(index, processes):
        seen = Preprocessing((4, 4), 1)
        return list(evaluation_batches(numbered(count), 3, seen, 8, "none", 4, (index, processes)))

    total, batches = 0.0, 0
    for whole, *parts in zip(run(0, 1), run(0, 2), run(1, 2), strict=True):
        for i in range(len(whole)):
            both = np.concatenate([part[i] for part in parts])
            np.testing.assert_array_equal(whole[i], both)
        pixels, weights = whole[0].numpy()[:, 0, 0, 0], np.ones(len(whole[0]))
        assert len(pixels) % 4 == 0
        if len(whole) == 3:
            weights = whole[2].numpy()
        # As Keras does it: the mean of a batch, then that of the batches by their length.
        total, batches = total + (pixels * weights).sum(), batches + len(pixels)
    assert total / batches == pytest.approx(np.arange(count).mean(), rel=1e-6)


@pytest.fixture(scope="module")
def photo():
    small = np.random.default_rng(0).integers(0, 256, (6, 10, 3)).astype("uint8")
    return np.asarray(Image.fromarray(small).resize((60, 36)))


@pytest.mark.parametrize("channels", [1, 3])
def test_training_and_prediction_see_the_same_pixels(tmp_path, photo, channels):
    """TensorFlow's decoder and resize here, Pillow's there."""
    paths = [str(tmp_path / name) for name in ("a.jpg", "a.png", "a.bmp", "a.gif")]
    turned = Image.Exif()
    turned[0x0112] = 6
    for path in paths:
        exif = turned if path.endswith(("jpg", "png")) else Image.Exif()
        Image.fromarray(photo).save(path, exif=exif)
    orientation = np.array([examine(path).orientation for path in paths], "uint8")
    split = Files(np.zeros(4, "int64"), paths, orientation)
    for size, crop in (((36, 60), 1.0), ((20, 20), 0.875), ((50, 30), 1.0)):
        preprocessing = Preprocessing(size, channels, View(crop))
        batches = evaluation_batches(split, 2, preprocessing, 1)
        for path, (pixels, _) in zip(paths, batches, strict=True):
            read = images.read_image(path, preprocessing)
            # Decoded pixels are equal; the two resizes round their weights in float32.
            np.testing.assert_allclose(pixels.numpy()[0], read, atol=1e-3, err_msg=path)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_upright_undoes_every_orientation(tmp_path, photo, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(photo).save(tmp_path / "a.png", exif=exif)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(tmp_path / "a.png")))
    np.testing.assert_array_equal(decoding.upright(tf.constant(photo), orientation), expected)


def test_mixup_in_the_pipeline_can_be_repeated():
    split = load("digits")[0].train.take(np.arange(40))

    def run(seed):
        plan = Augmentation(mixup=0.5)
        dataset, _ = training_batches(split, 10, EIGHT, 8, 2, seed, plan)
        assert int(dataset.cardinality()) == 10
        return np.concatenate([y.numpy() for _, y in dataset])

    labels = run(1)
    np.testing.assert_array_equal(labels, run(1))
    assert not np.array_equal(labels[:40], labels[40:])
    np.testing.assert_allclose(labels.sum(1), 1, atol=1e-6)


def from_step(first_step):
    """The batches of a run of 3 epochs with 5 steps each, from one of them to the end."""
    split = load("digits")[0].train.take(np.arange(42))
    plan = Augmentation(crop="pad", pad=2, flip=True, mixup=0.2)
    dataset, steps = training_batches(split, 10, EIGHT, 8, 3, 0, plan, first_step=first_step)
    assert steps == 5 and int(dataset.cardinality()) == 15 - first_step
    return [(x.numpy(), y.numpy()) for x, y in dataset]


@pytest.fixture(scope="module")
def whole_run():
    return from_step(0)


@pytest.mark.parametrize("first_step", [1, 4, 5, 13])
def test_a_run_can_begin_at_any_step(whole_run, first_step):
    """The left-out batches draw nothing from those that follow."""
    found = from_step(first_step)
    for (x, y), (pixels, labels) in zip(whole_run[first_step:], found, strict=True):
        np.testing.assert_array_equal(pixels, x)
        np.testing.assert_array_equal(labels, y)


EVERYTHING = Augmentation(
    crop="inception",
    flip=True,
    policy="3augment",
    color_jitter=0.4,
    erasing=0.5,
)


def seen(split, plan, batch_size, epochs=1, size=(16, 20), **options):
    """Labels, which number the examples, and pixels of a run."""
    dataset, _ = training_batches(
        split, 100, Preprocessing(size), batch_size, epochs, 5, plan, **options
    )
    x, y = (np.concatenate(parts) for parts in zip(*dataset.as_numpy_iterator(), strict=True))
    return y.argmax(1), x


def test_pixels_are_a_function_of_seed_epoch_and_index(files):
    """Whatever the size of a batch; the parallel map finishes in any order."""
    split = dataclasses.replace(files, labels=np.arange(12))
    labels, small = seen(split, EVERYTHING, 2, epochs=2)
    others, large = seen(split, EVERYTHING, 6, epochs=2)
    np.testing.assert_array_equal(labels, others)
    np.testing.assert_array_equal(small, large)
    # Only the epoch and the index count: each image comes at another place, with other pixels.
    first, second = np.argsort(labels[:12]), 12 + np.argsort(labels[12:])
    for one, other in zip(first, second, strict=True):
        assert not np.array_equal(small[one], small[other])


@pytest.fixture(scope="module")
def files(tmp_path_factory, photo):
    """Twelve files of several kinds, sizes and orientations."""
    folder = tmp_path_factory.mktemp("files")
    random = np.random.default_rng(1)
    paths, orientation = [], []
    for i in range(12):
        noise = photo.astype(int) + random.integers(-20, 20, photo.shape)
        picture = Image.fromarray(noise.clip(0, 255).astype("uint8")).resize((60 + i, 40))
        exif = Image.Exif()
        exif[0x0112] = 1 + i % 8
        suffix, options = [(".png", {}), (".jpg", {"subsampling": i % 3, "quality": 90})][i % 4 > 0]
        paths.append(str(folder / f"{i}{suffix}"))
        picture.convert("L" if i == 5 else "RGB").save(paths[-1], exif=exif, **options)
        orientation.append(1 + i % 8)
    return Files(np.arange(12) % 3, paths, np.array(orientation, "uint8"))


@pytest.mark.parametrize(
    ("crop", "size", "options", "cache"),
    [
        ("none", (40, 60), {}, "memory"),  # some files have this size: no resize
        pytest.param("pad", (16, 20), {}, "auto", marks=pytest.mark.slow),
        ("pad", (16, 20), {"color_jitter": 0.2}, "memory"),  # rounds before it pads
        ("inception", (8, 10), {}, "memory"),  # some boxes are decoded at a half
    ],
)
def test_a_cache_changes_no_pixel(files, crop, size, options, cache):
    plan = Augmentation(crop=crop, **options)
    _, plain = seen(files, plan, 4, size=size)
    np.testing.assert_array_equal(seen(files, plan, 4, size=size, cache=cache)[1], plain)


def test_a_cache_reads_files_once(tmp_path, files):
    import shutil

    paths = [shutil.copy(path, tmp_path) for path in files.paths]
    split = dataclasses.replace(files, paths=paths)
    runs = []
    for plan in (Augmentation(), Augmentation(crop="inception")):
        runs.append(training_batches(split, 3, SMALL, 4, 2, 0, plan, cache="memory")[0])
    runs.append(evaluation_batches(split, 3, SMALL, 4, cache="memory"))
    shutil.rmtree(tmp_path)
    assert [len(list(run)) for run in runs] == [6, 6, 3]


def test_whole_pixels_are_kept_in_one_byte(files, monkeypatch):
    """Which is noticed too late when the first images are whole and others are not."""
    kept = []
    gather = tf.gather
    monkeypatch.setattr(
        tf, "gather", lambda x, *rest, **kw: kept.append(x) or gather(x, *rest, **kw)
    )
    monkeypatch.setattr(reading, "_PROBE", 4)
    small = np.zeros((4, 8, 8, 1), "uint8")

    def prepare(limit):
        pixels = tf.constant(np.concatenate([small, small + 1]).astype("float32"))
        return lambda index: gather(pixels, index) + tf.where(index < limit, 0.0, 0.5)

    for limit, dtype in ((8, tf.uint8), (4, tf.float32), (0, tf.float32)):
        image_of = reading._kept(prepare(limit), 8, 64, "memory")
        for index in (0, 3, 4, 7):
            expected = prepare(limit)(tf.constant(index, tf.int64))
            np.testing.assert_array_equal(image_of(index), expected)
        assert kept[-1].dtype == dtype


def test_the_cache_leaves_memory_free(files, monkeypatch):
    from keras_vit import hardware

    monkeypatch.setattr(hardware, "free_memory_bytes", lambda: 4 * 12 * 16 * 20 * 3 * 4)
    just = reading.prepared(files, SMALL, "auto", as_bytes=False)
    monkeypatch.setattr(hardware, "free_memory_bytes", lambda: 4 * 12 * 16 * 20 * 3 - 4)
    less = reading.prepared(files, SMALL, "auto", as_bytes=True)
    assert just.__qualname__.startswith("_kept")
    assert less.__qualname__.startswith("prepared")
    assert reading.with_contents(files, "auto") is files


def test_a_file_that_breaks_while_it_is_cached_is_named(tmp_path, files):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8\xff\xe0" + b"0" * 100)
    split = dataclasses.replace(files, paths=[*files.paths[:-1], str(broken)])
    with pytest.raises(UserError, match=r"broken\.jpg"):
        evaluation_batches(split, 3, SMALL, 4, cache="memory")


def test_repeats_show_each_image_several_times_in_a_batch():
    plan = Augmentation(crop="pad", pad=3, repeats=3)
    noise = np.random.default_rng(0).integers(0, 256, (40, 16, 20, 3)).astype("uint8")
    split = Arrays(np.arange(40), noise)
    labels, pixels = seen(split, plan, 8, epochs=2)
    assert len(labels) == 2 * 40
    for epoch in (labels[:40], labels[40:]):
        batches = epoch.reshape(5, 8)
        for batch in batches:
            np.testing.assert_array_equal(batch, [*batch[:3], *batch[:3], *batch[:2]])
        assert len(set(epoch)) == 5 * 3  # steps * ceil(8 / 3), as documented
    first = pixels[labels == labels[0]]
    assert len({image.tobytes() for image in first[:3]}) > 1
    again, once_more = seen(split, plan, 8, epochs=2)
    np.testing.assert_array_equal(again, labels)
    np.testing.assert_array_equal(once_more, pixels)
