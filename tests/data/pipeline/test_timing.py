# SPDX-License-Identifier: MIT
import dataclasses

import pytest

from keras_vit import recipes
from keras_vit.data import load
from keras_vit.data.pipeline.timing import time_pipeline


def test_stages_are_those_that_the_recipe_has(photos):
    recipe = recipes.override(
        recipes.get("cifar10_seed"), "batch_size=4", "augmentation.policy=3augment",
        "augmentation.cutmix=1", "augmentation.repeats=2",
    )  # fmt: skip
    rows = time_pipeline(load(str(photos))[0].train, recipe, 0.01)
    stages, operations = rows[:-3], rows[-3:]
    assert {operation.name for operation in operations} == {
        "3augment: color", "3augment: solarize", "3augment: gaussian_blur",
    }  # fmt: skip
    for operation in operations:  # each is drawn for a third of the images
        assert operation.added_cpu_ms == pytest.approx(operation.cpu_ms / 3, rel=0.2)
    assert [stage.name for stage in stages] == [
        "read", "decode", "crop, resize, batch", "flip", "3augment", "mix", "repeats", "cached",
    ]  # fmt: skip
    for before, stage in zip([None, *stages], stages, strict=False):
        assert stage.cpu_ms > 0 and stage.cores > 0
        # Both are images over the same seconds.
        assert stage.images_per_second * stage.cpu_ms / 1000 == pytest.approx(stage.cores)
        added = stage.cpu_ms - (before.cpu_ms if before else 0)
        assert stage.added_cpu_ms == pytest.approx(added)


def test_arrays_are_not_read_and_a_cache_can_be_off():
    recipe = recipes.get("digits")
    recipe = dataclasses.replace(recipe, data=dataclasses.replace(recipe.data, cache="none"))
    stages = time_pipeline(load("digits")[0].train, recipe, 0.01)
    assert [stage.name for stage in stages] == ["crop, resize, batch", "mix"]
