# SPDX-License-Identifier: MIT
"""Each operation against what Pillow, or a line of NumPy, says that it is."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageChops, ImageEnhance, ImageFilter, ImageOps

from keras_vit.data.pipeline.augmentation import augment, geometry, policies, tables, values
from keras_vit.data.pipeline.augmentation.boxes import (
    MEAN,
    STD,
    inception_box,
    padded_crop,
    random_erasing,
)
from keras_vit.recipes import Augmentation

RANDOM = np.random.default_rng(0)


def pictures(*channels):
    """Noise, a smooth picture, one of few values, and one of a single value; odd sizes."""
    for count in channels:
        noise = RANDOM.integers(0, 256, (17, 23, count)).astype("uint8")
        smooth = np.linspace(30, 220, 31 * 13 * count).reshape(31, 13, count).astype("uint8")
        yield from (noise, smooth, noise // 120 * 99, np.full((9, 7, count), 77, "uint8"))


def pillow(pixels):
    return Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)


def array(picture):
    pixels = np.asarray(picture)
    return pixels[..., None] if pixels.ndim == 2 else pixels


def enhanced(kind):
    return lambda picture, factor: getattr(ImageEnhance, kind)(picture).enhance(factor)


def solarize_add(picture, addition):
    added = ImageChops.add(picture, picture.point(lambda _: addition))
    return (
        Image.composite(picture, added, picture.point(lambda value: 255 * (value >= 128)))
        if (picture.mode == "L")
        else Image.merge("RGB", [solarize_add(band, addition) for band in picture.split()])
    )


FACTORS = [0.0, 0.1, 0.55, 1.0, 1.45, 2.8]


@pytest.mark.parametrize(
    ("name", "reference", "arguments"),
    [
        ("invert", ImageOps.invert, [None]),
        ("equalize", ImageOps.equalize, [None]),
        ("posterize", lambda p, bits: p.point(lambda v: v & (256 - 2 ** (8 - bits))), range(9)),
        ("posterize", ImageOps.posterize, range(1, 9)),
        ("solarize", ImageOps.solarize, [0, 1, 128, 255, 256]),
        ("solarize_add", solarize_add, [0, 60, 220]),
        ("color", enhanced("Color"), FACTORS),
        ("contrast", enhanced("Contrast"), FACTORS),
        ("brightness", enhanced("Brightness"), FACTORS),
        ("sharpness", enhanced("Sharpness"), FACTORS),
    ],
)
def test_values_are_those_of_pillow(name, reference, arguments):
    operation = getattr(values, name)
    for pixels in pictures(1, 3):
        for argument in arguments:
            given = () if argument is None else (argument,)
            expected = array(reference(pillow(pixels), *given))
            given = () if argument is None else (tf.constant(argument, tf.float32),)
            np.testing.assert_array_equal(operation(tf.constant(pixels), *given), expected)


def test_auto_contrast_is_that_of_pillow():
    for pixels in pictures(1, 3):
        expected = array(ImageOps.autocontrast(pillow(pixels))).astype(int)
        result = values.auto_contrast(tf.constant(pixels)).numpy()
        # Pillow's float64 table falls short of a whole number here and there.
        np.testing.assert_allclose(result, expected, atol=1)
        low, high = pixels.min((0, 1)).astype(int), pixels.max((0, 1)).astype(int)
        exact = np.where(high > low, (pixels - low) * 255 // np.maximum(high - low, 1), pixels)
        np.testing.assert_array_equal(result, exact)


@pytest.mark.parametrize("sigma", [0.1, 1.0, 2.0])
def test_gaussian_blur(sigma):
    for pixels in pictures(1, 3):
        result = values.gaussian_blur(tf.constant(pixels), sigma).numpy().astype(int)
        expected = pixels.astype("float64")
        for axis in (0, 1):
            places = np.arange(pixels.shape[axis])
            weights = np.exp(-((places[:, None] - places) ** 2) / (2 * sigma**2))
            weights /= weights.sum(1, keepdims=True)
            expected = np.moveaxis(np.tensordot(weights, expected, (1, axis)), 0, axis)
        assert np.abs(result - expected).max() <= 0.501  # rounding, after sums in float32
    smooth = next(p for p in pictures(3) if p.shape[0] == 31)
    blurred = array(pillow(smooth).filter(ImageFilter.GaussianBlur(sigma))).astype(int)
    result = values.gaussian_blur(tf.constant(smooth), sigma).numpy().astype(int)
    # Three box filters instead of a Gaussian; away from the borders, which Pillow repeats.
    np.testing.assert_allclose(result[6:-6], blurred[6:-6], atol=3)


@pytest.mark.parametrize(
    ("name", "arguments", "matrix"),
    [
        ("shear_x", [-0.6, 0.0, 0.3], lambda v: (1, v, 0, 0, 1, 0)),
        ("shear_y", [-0.6, 0.0, 0.3], lambda v: (1, 0, 0, v, 1, 0)),
        ("translate_x", [-40.0, -3.4, 0.0, 5.3, 17.0, 99.0], lambda v: (1, 0, v, 0, 1, 0)),
        ("translate_y", [-40.0, -3.4, 0.0, 5.3, 17.0, 99.0], lambda v: (1, 0, 0, 0, 1, v)),
    ],
)
def test_moves_are_those_of_pillow(name, arguments, matrix):
    for pixels in pictures(1, 3):
        height, width, channels = pixels.shape
        for argument in arguments:
            result = getattr(geometry, name)(tf.constant(pixels), tf.constant(argument)).numpy()
            picture = pillow(pixels)
            fill = (geometry.FILL,) * channels if channels > 1 else geometry.FILL
            expected = picture.transform(
                picture.size, Image.Transform.AFFINE, matrix(argument), fillcolor=fill
            )
            a, b, c, d, e, f = matrix(argument)
            y, x = np.mgrid[0.5:height, 0.5:width]
            # Where the source is between two pixels, float32 and Pillow's fixed point may differ.
            sources = np.stack([a * x + b * y + c, d * x + e * y + f])
            clear = (np.abs(sources - np.round(sources)) > 1e-3).all(0)
            assert clear.mean() > 0.75
            np.testing.assert_array_equal(result[clear], array(expected)[clear])


def test_rotation_is_that_of_pillow():
    for pixels in pictures(1, 3):
        height, width, channels = pixels.shape
        fill = (geometry.FILL,) * channels if channels > 1 else geometry.FILL
        for degrees in (-60.0, 0.0, 13.0, 135.0):
            expected = array(pillow(pixels).rotate(degrees, fillcolor=fill))
            result = geometry.rotate(tf.constant(pixels), tf.constant(degrees)).numpy()
            cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
            y, x = np.mgrid[0.5:height, 0.5:width] - np.reshape([height / 2, width / 2], (2, 1, 1))
            sources = np.stack([cos * x - sin * y + width / 2, sin * x + cos * y + height / 2])
            # Where the source is between two pixels, float32 and Pillow's fixed point may differ.
            clear = (np.abs(sources - np.round(sources)) > 1e-2).all(0)
            assert clear.mean() > 0.8
            np.testing.assert_array_equal(result[clear], expected[clear])


def test_cutout_covers_a_box_of_twice_the_reach():
    image = tf.zeros([20, 30, 3], tf.uint8)
    for place, rows, columns in (
        ((0.5, 0.5), slice(7, 13), slice(12, 18)),
        ((0.0, 0.99), slice(0, 3), slice(26, 30)),
    ):
        covered = np.zeros([20, 30, 3])
        covered[rows, columns] = geometry.FILL
        result = geometry.cutout(image, tf.constant(3.7), tf.constant(place))
        np.testing.assert_array_equal(result, covered)


def draws(plan, count=4000, size=(224, 224)):
    """Names, choices and arguments of many seeds."""
    names, draw = policies.policy(plan, size)
    seeds = tf.data.Dataset.range(count).map(lambda i: draw(tf.stack([tf.cast(i, tf.int32), 5])))
    choices, arguments, places = seeds.batch(count).get_single_element()
    assert 0 <= places.numpy().min() <= places.numpy().max() < 1
    return np.array(names)[choices.numpy()], arguments.numpy()


def assert_uniform(chosen, names):
    """Chi-squared below its mean plus five deviations."""
    counts = np.array([(chosen == name).sum() for name in names])
    assert counts.sum() == chosen.size
    expected = chosen.size / len(names)
    freedom = len(names) - 1
    assert ((counts - expected) ** 2 / expected).sum() < freedom + 5 * np.sqrt(2 * freedom)


def test_randaugment_of_augreg():
    """At magnitude 15, as AugReg's medium settings have it."""
    names, arguments = draws(Augmentation(policy="randaugment", magnitude=15))
    assert names.shape == (4000, 2)
    assert_uniform(names, [op.name for op in tables.AUGREG_OPS])
    assert len(tables.AUGREG_OPS) == 16
    expected = {
        "rotate": 45, "shear_x": 0.45, "shear_y": 0.45, "translate_x": 150, "translate_y": 150,
        "posterize": 6, "solarize": 384, "solarize_add": 165, "cutout": 60,
        "color": 2.8, "contrast": 2.8, "brightness": 2.8, "sharpness": 2.8,
    }  # fmt: skip
    for name, size in expected.items():
        of_name = arguments[names == name]
        np.testing.assert_allclose(np.abs(of_name), size, rtol=1e-6)
        if name in ("rotate", "shear_x", "shear_y", "translate_x", "translate_y"):
            assert 0.4 < (of_name > 0).mean() < 0.6  # four deviations for 500 draws
        else:
            assert (of_name > 0).all()


def test_randaugment_of_deit():
    plan = Augmentation(
        policy="randaugment", magnitude=9, magnitude_std=0.5, increasing=True, op_prob=0.5
    )
    names, arguments = draws(plan)
    assert 0.47 < (names == "identity").mean() < 0.53
    assert_uniform(names[names != "identity"], [op.name for op in tables.DEIT_OPS])
    assert len(tables.DEIT_OPS) == 15
    angles = arguments[names == "rotate"]
    assert 0.3 < (angles > 0).mean() < 0.7
    # Normal around 9, cut off at 10: the mean of |angle| / 3 is 9 - 0.0042, its deviation 0.49.
    assert np.abs(angles).mean() / 3 == pytest.approx(9, abs=0.15)
    assert np.abs(angles).max() <= 30
    assert np.std(np.abs(angles)) > 1
    factors = arguments[names == "color"]
    assert 0.1 <= factors.min() < 0.4 and 1.6 < factors.max() <= 1.9
    assert set(arguments[names == "posterize"]) <= {0, 1, 2}
    assert arguments[names == "solarize"].max() < 100


def test_increasing_operations_do_least_at_zero():
    plan = Augmentation(policy="randaugment", magnitude=0, increasing=True)
    names, arguments = draws(plan, count=500)
    for name in ("color", "contrast", "brightness", "sharpness"):
        assert set(arguments[names == name]) == {1.0}
    assert set(arguments[names == "solarize"]) == {256.0}
    assert set(arguments[names == "rotate"]) == {0.0}


def test_trivialaugment():
    names, arguments = draws(Augmentation(policy="trivialaugment"))
    assert names.shape == (4000, 1)
    assert_uniform(names, [op[0] for op in tables.TRIVIAL_OPS])
    assert len(tables.TRIVIAL_OPS) == 14
    bits = arguments[names == "posterize"]
    assert (bits.min(), bits.max()) == (2, 8)
    assert len(set(np.abs(arguments[names == "translate_x"]))) > 25  # of 31
    assert np.abs(arguments[names == "translate_y"]).max() <= 32
    assert np.abs(arguments[names == "rotate"]).max() <= 135
    factors = arguments[names == "contrast"]
    assert 0.0099 < factors.min() < 0.1 and 1.9 < factors.max() < 1.991


def test_autoaugment():
    names, arguments = draws(Augmentation(policy="autoaugment"), size=(32, 32))
    assert len(tables.AUTO_POLICIES) == 25
    # Expected shares of the first and the second operation from the table itself.
    for position, offset in ((0, 0), (1, 3)):
        for name in sorted({row[offset] for row in tables.AUTO_POLICIES}):
            rows = [row for row in tables.AUTO_POLICIES if row[offset] == name]
            share = sum(row[offset + 1] for row in rows) / 25
            found = (names[:, position] == name).mean()
            assert found == pytest.approx(share, abs=5 * np.sqrt(share * (1 - share) / 4000))
    moves = np.abs(arguments[names == "translate_y"])
    np.testing.assert_allclose(
        sorted(set(moves)), [150 / 331 * 32 * level / 9 for level in (3, 9)], rtol=1e-6
    )
    assert set(arguments[names == "posterize"]) == {5.0}
    assert set(np.abs(arguments[names == "rotate"])) == {np.float32(60 / 9)}


def test_3augment(photo):
    names, arguments = draws(Augmentation(policy="3augment"))
    assert_uniform(names, ["color", "solarize", "gaussian_blur"])
    sigmas = arguments[names == "gaussian_blur"]
    assert 0.1 <= sigmas.min() < 0.15 and 1.95 < sigmas.max() <= 2
    assert set(arguments[names == "solarize"]) == {128.0}
    grey = values.color(tf.constant(photo), tf.constant(0.0)).numpy()
    np.testing.assert_array_equal(grey, array(Image.fromarray(photo).convert("L").convert("RGB")))


@pytest.fixture(scope="module")
def photo():
    small = np.random.default_rng(0).integers(0, 256, (6, 10, 3)).astype("uint8")
    return np.asarray(Image.fromarray(small).resize((60, 36)))


@pytest.mark.parametrize("channels", [1, 3])
def test_a_drawn_operation_is_the_one_that_is_applied(photo, channels):
    """`applier` runs each name's function with its argument."""
    image = tf.constant(photo[..., :channels])
    names = [op.name for op in tables.AUGREG_OPS] + ["gaussian_blur", "identity"]
    argument, place = tf.constant(0.7), tf.constant([0.5, 0.5])

    apply = policies.applier(names, image.shape)
    for choice, name in enumerate(names):
        if name == "identity":
            expected = image
        elif name == "cutout":
            expected = geometry.cutout(image, argument, place)
        elif name in ("auto_contrast", "equalize", "invert"):
            expected = getattr(values, name)(image)
        else:
            room = geometry if hasattr(geometry, name) else values
            expected = getattr(room, name)(image, argument)
        np.testing.assert_array_equal(
            apply(image, tf.constant(choice), argument, place), expected, name
        )


def test_color_jitter_stays_within_its_factors(photo):
    """On grey images contrast and saturation keep the mean, and brightness moves it."""
    image = tf.constant(np.full((8, 8, 3), 100, "uint8"))
    jitter = tf.function(lambda seed: policies.color_jitter(image, 0.3, seed), autograph=False)
    means = [jitter(tf.constant([seed, 0])).numpy().mean() for seed in range(40)]
    assert 69 <= min(means) < 85 and 115 < max(means) <= 130
    np.testing.assert_array_equal(policies.color_jitter(image, 0.0, tf.constant([1, 2])), image)


def test_random_erasing():
    image = tf.fill([40, 60, 3], 1000.0)  # a value that the noise does not reach
    erase = tf.function(lambda seed: random_erasing(image, 0.25, seed), autograph=False)
    areas, noise = [], []
    for seed in range(400):
        result = erase(tf.constant([seed, 9])).numpy()
        changed = (result != 1000).all(-1)
        areas.append(changed.mean())
        if changed.any():
            rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
            assert changed[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
            noise.append(result[changed])
    areas = np.array(areas)
    assert 0.16 < (areas > 0).mean() < 0.34  # four deviations around 1/4
    hit = areas[areas > 0]
    assert hit.min() > 0.02 * 0.85 and hit.max() < 1 / 3 * 1.15  # whole pixels
    noise = np.concatenate(noise)
    np.testing.assert_allclose(noise.mean(0), MEAN, atol=2)  # over 10,000 values of deviation 58
    np.testing.assert_allclose(noise.std(0), STD, rtol=0.03)


def test_random_erasing_of_one_channel():
    result = random_erasing(tf.fill([40, 60, 1], 1000.0), 1.0, tf.constant([0, 0])).numpy()
    assert result.shape == (40, 60, 1)
    assert result[result != 1000].mean() == pytest.approx(np.mean(MEAN), abs=20)


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
    areas, ratios = [], []
    for seed in range(100):
        box = inception_box(tf.constant([100, 120]), 0.25, tf.constant([seed, 1])).numpy()
        top, left, height, width = box.tolist()
        assert top >= 0 and left >= 0 and top + height <= 100 and left + width <= 120
        areas.append(height * width / 12_000)
        ratios.append(width / height)
    # Boxes have whole pixels.
    assert min(areas) > 0.25 * 0.97 and max(areas) <= 1
    assert min(ratios) > 0.75 * 0.97 and max(ratios) < 4 / 3 * 1.03
    assert np.std(areas) > 0.1


def test_flip_mirrors_half_of_the_time(photo):
    plan = Augmentation(flip=True)
    image = tf.constant(photo, tf.float32)
    flipped = 0
    for seed in range(100):
        result = augment(image, plan, tf.constant([seed, 3])).numpy()
        mirrored = np.array_equal(result, photo[:, ::-1])
        assert mirrored or np.array_equal(result, photo)
        flipped += mirrored
    assert 30 <= flipped <= 70  # four standard errors around 50


def test_nothing_is_done_when_nothing_is_asked(photo):
    image = tf.constant(photo, tf.float32)
    np.testing.assert_array_equal(augment(image, Augmentation(), SEED), photo)
