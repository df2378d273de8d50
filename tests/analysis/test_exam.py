# SPDX-License-Identifier: MIT
import keras
import numpy as np
import pytest

from keras_vit.analysis import examine, pointing
from keras_vit.analysis.exam import areas, best, center_map
from tests.models.test_vit import tiny


class Bright(keras.Model):
    """Says class 1 the more, the brighter its last patch is."""

    config = tiny()

    def call(self, images, training=False):
        spot = keras.ops.mean(images[:, 12:, 20:], axis=(1, 2, 3)) / 32 - 4
        return keras.ops.stack([-spot, spot], axis=1)


@pytest.fixture
def images():
    images = np.full((3, 16, 24, 3), 10.0, "float32")
    images[:, 12:, 20:] = 255
    return images


def test_areas_of_the_true_map_its_reverse_and_the_middle(images):
    truth = np.zeros((3, 4, 6))
    truth[:, 3, 5] = 1
    classes = np.ones(3, int)
    deletion, insertion = areas(Bright(), images, truth, classes, steps=24)
    # The patch goes, and comes, in the first of 24 steps.
    assert (deletion < 0.03).all() and (insertion > 0.97).all()
    deletion, insertion = areas(Bright(), images, -truth, classes, steps=24)
    assert (deletion > 0.97).all() and (insertion < 0.03).all()


def test_areas_are_the_same_in_parts(images, monkeypatch):
    maps = np.random.default_rng(0).random((3, 4, 6))
    whole = areas(Bright(), images, maps, np.ones(3, int), steps=5)
    monkeypatch.setattr("keras_vit.analysis.exam._VALUES", 5 * images.size)
    np.testing.assert_array_equal(areas(Bright(), images, maps, np.ones(3, int), steps=5), whole)


def test_grades_put_what_knows_before_chance(images, monkeypatch):
    from keras_vit.analysis import exam

    truth = np.zeros((3, 4, 6))
    truth[:, 3, 5] = 1
    answers = {"knows": truth, "errs": -truth}
    monkeypatch.setattr(exam, "explain", lambda model, images, classes, method: answers[method])
    monkeypatch.setattr(exam, "config_of", lambda model: model.config)
    model = Bright()
    noise = np.random.default_rng(0).uniform(-5, 5, images.shape).astype("float32")
    grades = examine(model, images + noise, methods=("errs", "center", "knows", "random"))
    assert next(iter(grades)) == "knows"
    assert grades["knows"].beats_chance and not grades["errs"].beats_chance
    assert grades["random"].advantage == 0 and not grades["random"].beats_chance
    assert grades["knows"].score == pytest.approx(1, abs=0.15)
    assert best(grades).method == "knows"


def test_pointing_at_an_object():
    maps = np.zeros((2, 4, 6))
    maps[0, 1, 2] = maps[1, 3, 5] = 1
    objects = np.zeros((2, 16, 24), bool)
    objects[:, 7, 11] = True  # a corner of the patch (1, 2)
    np.testing.assert_array_equal(pointing(maps, objects), [True, False])


def test_the_center_is_the_largest_in_the_middle():
    maps = center_map(2, (5, 7))
    assert maps.shape == (2, 5, 7) and maps[0].argmax() == 2 * 7 + 3
    assert center_map(1, (1, 1)).shape == (1, 1, 1)
