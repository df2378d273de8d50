# SPDX-License-Identifier: MIT
"""The rule by which fine-tuning fits itself to a checkpoint and to the images."""

import dataclasses

import pytest

from keras_vit import UserError, ViTConfig, recipes
from keras_vit.recipes.fitting import (
    Situation,
    epochs_for,
    fit,
    image_size_for,
    layer_decay_for,
    learning_rate_for,
)

FINETUNE = recipes.get("finetune")


def situation(name="B/16", images=1_000, side=500, batch=32, new_head=True, **config):
    found = ViTConfig.of(name, **config) if name else None
    return Situation(found, images, side, images / batch, new_head)


@pytest.mark.parametrize(
    ("name", "own", "side", "size"),
    [
        ("B/16", 224, 32, 224),  # 14 x 14 patches stay, however small the images are
        ("B/16", 224, 4000, 224),
        ("L/14", 224, 100, 224),  # 16 x 16
        ("B/16", 384, 500, 384),  # 24 x 24, and images that fill them
        ("B/16", 384, 300, 304),  # 19 patches for 300 pixels
        ("B/16", 384, 32, 256),
        ("S/14", 518, 4000, 336),  # 37 x 37 patches, of which 24 are taken
        ("S/14", 518, 32, 224),
        ("mu/8", (256, 512), 100, (128, 256)),  # the shorter side decides
    ],
)
def test_image_size(name, own, side, size):
    config = ViTConfig.of(name, image_size=own)
    size = size if isinstance(size, tuple) else (size, size)
    assert image_size_for(config, side) == size
    dataclasses.replace(config, image_size=size)  # whole patches


def test_relative_positions_keep_their_grid():
    config = ViTConfig.of("mu/8", image_size=256, position="none", relative_position_bias=True)
    assert image_size_for(config, 32) == (256, 256)


def test_rates():
    configs = [ViTConfig.of(name) for name in ("mu/16", "Ti/16", "S/16", "B/16", "L/16", "g/14")]
    assert [learning_rate_for(config) for config in configs] == [
        *(5e-4, 5e-4, 2.5e-4, 1.25e-4),
        *(9.38e-5, 6.82e-5),
    ]
    assert learning_rate_for(configs[3], lora=8) == 1.25e-3
    decays = [layer_decay_for(config) for config in configs]
    assert decays == [0.75, 0.75, 0.75, 0.75, 0.86, 0.91]
    # The first layer's rate, as a share of the head's, is that of twelve blocks.
    assert decays[4] ** 25 == pytest.approx(0.75**13, rel=0.1)
    assert layer_decay_for(configs[4], lora=8) == 1


@pytest.mark.parametrize(
    ("images", "epochs"),
    [(20, 100), (400, 100), (1_000, 63), (10_000, 20), (60_000, 5), (1_281_167, 1)],
)
def test_epochs(images, epochs):
    assert epochs_for(FINETUNE, situation(images=images)) == epochs


def test_epochs_that_follow_from_elsewhere():
    assert epochs_for(FINETUNE, situation(None, images=1_000)) == 100
    assert epochs_for(FINETUNE, situation(None, images=100_000)) == 3  # 10,000 updates
    assert epochs_for(dataclasses.replace(FINETUNE, steps=2_000), situation()) == 64


def test_everything_at_once():
    recipe, chosen = fit(FINETUNE, situation("S/16"))
    assert chosen == {
        "image_size": (224, 224),
        "optimizer.learning_rate": 2.5e-4,
        "optimizer.layer_decay": 0.75,
        "schedule.head_first": "0.1",
        "epochs": 63,
    }
    assert (recipe.image_size, recipe.epochs) == ((224, 224), 63)
    assert recipe.optimizer.weight_decay == FINETUNE.optimizer.weight_decay
    assert fit(recipe, situation("S/16")) == (recipe, {})
    kept_head, _ = fit(FINETUNE, situation("S/16", new_head=False))
    assert kept_head.schedule.head_first == "0 steps"
    adapted, _ = fit(dataclasses.replace(FINETUNE, lora=8), situation("S/16"))
    assert (adapted.schedule.head_first, adapted.optimizer.layer_decay) == ("0 steps", 1.0)


def test_what_is_set_stays():
    told = recipes.override(FINETUNE, "optimizer.learning_rate=0", "model=S/16", "epochs=2")
    recipe, chosen = fit(told, situation("S/16"))
    assert chosen.keys() == {"optimizer.layer_decay", "schedule.head_first"}
    assert (recipe.optimizer.learning_rate, recipe.epochs) == (0.0, 2)
    digits = recipes.get("digits")
    assert fit(digits, situation()) == (digits, {})


def test_without_the_rule_numbers_are_needed():
    with pytest.raises(UserError, match="epochs: expected a number; none goes with by_rule=true"):
        recipes.override(recipes.get("digits"), "epochs=none")
    with pytest.raises(UserError, match=r"optimizer\.learning_rate: expected a number"):
        recipes.override(FINETUNE, "by_rule=false", "epochs=2")
    with pytest.raises(UserError, match=r"schedule\.head_first: expected a length"):
        recipes.override(FINETUNE, "schedule.head_first=2 weeks")
