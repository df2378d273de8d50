# SPDX-License-Identifier: MIT
"""Few images in color, and nobody who says what to start from."""

import dataclasses

import numpy as np
import pytest

from keras_vit import data, recipes
from keras_vit.config import ViTConfig
from keras_vit.recipes import Recipe
from keras_vit.training import default_start
from keras_vit.training.default_start import with_start


def images(count: int = 20, channels: int = 3):
    pixels = np.zeros((count, 4, 4, channels), "uint8")
    return data.from_arrays(pixels, np.arange(count) % 2, ["cat", "dog"])


def test_few_images_start_from_the_backbone_of_the_package_aloud(capsys):
    assert with_start(recipes.finetune(), images()).init == "drawn-mini"
    said = capsys.readouterr().err
    assert "starts from drawn-mini" in said and "--init random" in said


def changed(**changes) -> Recipe:
    return dataclasses.replace(recipes.finetune(), **changes)


@pytest.mark.parametrize(
    ("recipe", "found"),
    [
        (changed(init="random"), None),
        (changed(init="S/16-augreg-i21k"), "S/16-augreg-i21k"),
        (changed(model=ViTConfig.of("mu/16")), None),
        (changed(objective=recipes.Reconstruct()), None),
        (changed(lora=4), None),
        (recipes.linear_probe(), None),
        (recipes.cifar10_seed(), None),
    ],
)
def test_what_somebody_decided_stays(recipe, found, capsys):
    assert with_start(recipe, images()).init == found
    assert not capsys.readouterr().err


def test_many_images_and_grey_ones_start_from_random_weights(monkeypatch):
    assert with_start(recipes.finetune(), images(channels=1)).init is None
    monkeypatch.setattr(default_start, "FEW", 10)
    assert with_start(recipes.finetune(), images()).init is None
