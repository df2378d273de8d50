# SPDX-License-Identifier: MIT
import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_vit import UserError, ViTConfig, recipes
from keras_vit.recipes import Phase

PLAN = ((0.5, (16, 16)), (0.75, (24, 24)))


def plan(*assignments):
    return recipes.override(recipes.get("cifar10_seed"), *assignments)  # 32 pixels, patch 4


def test_it_can_be_set_and_survives_json():
    recipe = plan("progressive=((0.5, 16), (0.75, 24))")
    assert recipe.progressive == PLAN
    values = json.loads(json.dumps(recipes.to_dict(recipe)))
    assert recipes.from_dict(values) == recipe
    assert recipes.merge(recipes.get("cifar10_seed"), values) == recipe
    assert recipes.override(recipe, "progressive=()") == recipes.get("cifar10_seed")
    del values["progressive"]  # run folders from before there were sizes
    assert recipes.from_dict(values).progressive == ()


def test_epochs_of_each_size():
    assert plan("epochs=8").phases == (Phase(0, 8, (32, 32)),)
    assert plan("epochs=10", f"progressive={PLAN}").phases == (
        Phase(0, 5, (16, 16)),
        Phase(5, 8, (24, 24)),
        Phase(8, 10, (32, 32)),
    )
    assert [str(phase) for phase in plan("epochs=3", f"progressive={PLAN}").phases] == [
        "epochs 1 to 2 at 16 x 16 pixels",
        "epoch 3 at 32 x 32 pixels",
    ]


@given(
    st.integers(1, 50),
    st.sets(st.floats(0.001, 0.999), max_size=4),
)
def test_the_phases_cover_every_epoch_once_and_the_last_is_full(epochs, shares):
    sizes = zip(sorted(shares), (8, 12, 16, 20), strict=False)
    recipe = dataclasses.replace(plan(f"epochs={epochs}"), progressive=tuple(sizes))
    phases = recipe.phases
    assert [epoch for p in phases for epoch in range(p.first, p.end)] == list(range(epochs))
    assert all(p.end > p.first for p in phases)
    assert phases[-1].image_size == (32, 32)
    assert [p.image_size for p in phases] == sorted({p.image_size for p in phases})


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("16", r"pairs of a share .*received 16"),
        ("(0.5, 16)", r"pairs of a share"),
        ("((0.5, 16.5),)", r"progressive: expected a whole number above 0"),
        ("((1, 16),)", r"progressive: expected a number from 0\.001 to 0\.999"),
        ("((0.5, 16), (0.5, 24))", r"shares and sizes that grow"),
        ("((0.5, 24), (0.8, 16))", r"shares and sizes that grow"),
    ],
)
def test_a_wrong_plan_helps(value, message):
    with pytest.raises(UserError, match=message):
        plan(f"progressive={value}")


@pytest.mark.parametrize(
    ("model", "size", "message"),
    [
        ({}, 32, r"sizes below the model's 32 x 32 pixels"),
        ({}, (16, 20), r"with its aspect ratio, received 16 x 20"),
        ({}, 18, r"progressive: .*multiple of 4 pixels .*received 18"),
        ({"image_size": (32, 64)}, 16, r"with its aspect ratio"),
        # The stem makes one cell of 8 pixels.
        ({"resnet_stages": (1, 1), "patch_size": 1}, 12, r"multiple of 8 pixels"),
    ],
)
def test_a_size_that_does_not_fit_the_model_helps(model, size, message):
    recipe = plan()
    recipe = dataclasses.replace(
        recipe,
        model=dataclasses.replace(recipe.model, **model),
        progressive=((0.5, size),),
    )
    with pytest.raises(UserError, match=message):
        _ = recipe.phases


def test_images_that_are_not_square():
    model = dataclasses.replace(ViTConfig.of("Ti/4"), image_size=(16, 24))
    recipe = dataclasses.replace(plan(), model=model, progressive=((0.5, (8, 12)),))
    assert [p.image_size for p in recipe.phases] == [(8, 12), (16, 24)]
