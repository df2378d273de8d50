# SPDX-License-Identifier: MIT
import dataclasses
import json

import pytest

from keras_vit import UserError, recipes


@pytest.mark.parametrize("name", recipes.names())
def test_every_recipe(name):
    recipe = recipes.get(name)
    assert recipe.name == name
    assert recipes.describe(name).endswith(".")
    assert recipes.from_dict(json.loads(json.dumps(recipes.to_dict(recipe)))) == recipe
    small = recipes.debug(recipe)
    assert small.model.num_parameters < 30_000
    assert small.epochs == 2
    assert small.data == recipe.data


def test_the_notebook_s_shape():
    model = recipes.get("cifar10_seed").model
    assert model.num_parameters == 119_194  # 119,098 and a final LayerNorm
    assert (model.patch_size, model.width, model.depth, model.heads) == ((4, 4), 48, 4, 4)


def test_override():
    recipe = recipes.get("digits")
    changed = recipes.override(
        recipe,
        "epochs=2",
        "optimizer.learning_rate=1e-3",
        "optimizer.clip_norm=none",
        "augmentation.flip=true",
        "augmentation.policy=randaugment",
        "augmentation.magnitude_std=0.5",
        "model.image_size=(12, 16)",
        "data.source=tfds:mnist",
        "batch_size=1e2",
    )
    assert changed.epochs == 2
    assert changed.optimizer.learning_rate == 1e-3
    assert changed.optimizer.clip_norm is None
    assert changed.augmentation.flip is True
    assert (changed.augmentation.policy, changed.augmentation.magnitude_std) == ("randaugment", 0.5)
    assert changed.model.image_size == (12, 16)
    assert changed.data.source == "tfds:mnist"
    assert changed.batch_size == 100
    assert recipe == recipes.get("digits")


def test_a_published_size_keeps_the_images():
    recipe = recipes.override(recipes.get("cifar10_seed"), "model=Ti/8")
    before = recipes.get("cifar10_seed").model
    assert recipe.model.width == 192
    assert recipe.model.patch_size == (8, 8)
    assert recipe.model.image_size == before.image_size
    assert recipe.model.pixel_mean == before.pixel_mean


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("epochs", "NAME=VALUE"),
        ("epoch=2", "Did you mean epochs"),
        ("optimizer.learning_rat=1", "Did you mean optimizer.learning_rate"),
        ("epochs=two", "epochs: expected int, received 'two'"),
        ("epochs=2.5", "expected int"),
        ("epochs=true", "expected int"),
        ("epochs=0", "from 1"),
        ("augmentation.flip=1", "expected bool"),
        ("optimizer.ema=often", "expected float or none"),
        ("optimizer=adam", "has fields of its own"),
        ("epochs.x=1", "no fields of its own"),
        ("augmentation.crop=center", "unknown augmentation.crop"),
        ("augmentation.policy=randaug", "Did you mean randaugment"),
        ("augmentation.mixup_form=timm", r"unknown augmentation\.mixup_form"),
        ("augmentation.interpolation=cubic", r"Did you mean bicubic"),
        ("augmentation.erasing=2", "erasing: expected a number from 0 to 1"),
        ("augmentation.repeats=0", "repeats: expected a number from 1"),
        ("augmentation.magnitude=strong", "augmentation.magnitude: expected float"),
        ("data.cache=disk", r"unknown data\.cache"),
        ("model=S16", "Did you mean S/16"),
        ("model.heads=5", "divisor"),
        ("data.test=2", "0.01 to 0.9"),
    ],
)
def test_a_wrong_override_helps(assignment, message):
    with pytest.raises(UserError, match=message):
        recipes.override(recipes.get("digits"), assignment)


def test_unknown_names_help():
    with pytest.raises(UserError, match="Did you mean digits"):
        recipes.get("digit")
    with pytest.raises(UserError, match=r"Did you mean data\.source"):
        recipes.from_dict({**recipes.to_dict(recipes.get("digits")), "data": {"sourc": "x"}})


def test_recipes_are_values():
    with pytest.raises(dataclasses.FrozenInstanceError):
        recipes.get("digits").epochs = 3
