# SPDX-License-Identifier: MIT
"""Three forms of one thing: whoever asks a split gets the same answer, wherever its images are."""

import numpy as np
import pytest
from PIL import Image

from keras_vit.data.dataset import (
    Arrays,
    Encoded,
    Files,
    shows_color,
    split_batches,
    typical_side,
)
from keras_vit.data.pipeline.batches import evaluation_batches
from keras_vit.preprocessing import Preprocessing, View

LABELS = np.arange(5) % 2


@pytest.fixture(scope="module")
def pixels():
    small = np.random.default_rng(0).integers(0, 256, (5, 6, 10, 3)).astype("uint8")
    return np.stack([np.asarray(Image.fromarray(image).resize((30, 18))) for image in small])


@pytest.fixture(scope="module")
def splits(pixels, tmp_path_factory):
    """The same five images as files, as contents of files and as arrays."""
    folder, paths = tmp_path_factory.mktemp("images"), []
    for i, image in enumerate(pixels):
        Image.fromarray(image).save(folder / f"{i}.png")
        paths.append(str(folder / f"{i}.png"))
    upright = np.ones(len(paths), "uint8")
    contents = [(folder / f"{i}.png").read_bytes() for i in range(len(paths))]
    return Files(LABELS, paths, upright), Encoded(LABELS, contents, upright), Arrays(LABELS, pixels)


def test_every_form_gives_the_same_pixels(splits, pixels):
    seen = Preprocessing((10, 10), 3, View(0.9))
    expected = np.concatenate(list(split_batches(splits[0], seen, 2)))
    for split in splits:
        np.testing.assert_array_equal(split.pixels_of(3), pixels[3])
        found = np.concatenate(list(split_batches(split, seen, 2)))
        np.testing.assert_array_equal(found, expected)
        trained = np.concatenate([x for x, _ in evaluation_batches(split, 2, seen, 2)])
        np.testing.assert_allclose(trained, expected, atol=1e-3)  # two resizes round in float32


def test_every_form_is_taken_apart_alike(splits):
    for split in splits:
        part = split.take(np.array([4, 0]))
        assert type(part) is type(split) and len(part) == 2 and part.labels.tolist() == [0, 0]
        np.testing.assert_array_equal(part.pixels_of(0), split.pixels_of(4))
        assert sorted(split.sides_of(1)) == [18, 30] and typical_side(split) == 18
        assert shows_color(split) and split.channels == 3


def test_names(splits):
    files, encoded, arrays = splits
    assert files.named("test").name_of(2) == files.name_of(2) == files.paths[2]
    for split in (encoded, arrays):
        assert split.name_of(2) == "example 2"
        assert split.named("test").take(np.array([3, 1])).name_of(0) == "test/3"
    assert files.files == files.paths and not encoded.files and not arrays.files


def test_fingerprints_tell_an_image_a_label_and_the_order(splits):
    for split in splits:
        others = [
            split.take(np.array([1, 0, 2, 3, 4])),
            split.take(np.array([0, 1, 2, 3, 3])),
            type(split)(**{**vars(split), "labels": 1 - LABELS}),
        ]
        assert split.fingerprint() == split.take(np.arange(5)).fingerprint()
        for other in others:
            assert other.fingerprint() != split.fingerprint()


def test_only_arrays_are_held_as_pixels(splits):
    assert [split.is_held_at((18, 30)) for split in splits] == [False, False, True]
    assert not any(split.is_held_at((30, 18)) for split in splits)
