# SPDX-License-Identifier: MIT
"""Objectives as a tagged union, and the recipes that pre-train or have a teacher."""

import dataclasses
import json

import pytest

from keras_vit import UserError, recipes
from keras_vit.recipes import Classify, Distill, Reconstruct


@pytest.mark.parametrize("objective", [Classify("bce"), Reconstruct(mask=0.6), Distill("runs/a-1")])
def test_json_and_back(objective):
    recipe = dataclasses.replace(recipes.get("digits"), objective=objective)
    values = json.loads(json.dumps(recipes.to_dict(recipe)))
    assert values["objective"]["kind"] == objective.kind
    assert recipes.from_dict(values) == recipe


def test_a_recipe_without_a_kind_classifies():
    recipe = recipes.get("digits")
    values = recipes.to_dict(recipe)
    del values["objective"]["kind"]
    assert recipes.from_dict(values) == recipe


def test_override_exchanges_the_objective():
    recipe = recipes.override(
        recipes.get("digits"), "objective.kind=distill", "objective.teacher=a", "objective.alpha=1"
    )
    assert recipe.objective == Distill("a", alpha=1.0)
    assert recipes.override(recipe, "objective.kind=distill") == recipe
    assert recipes.override(recipe, "objective.kind=reconstruct").objective == Reconstruct()


def test_a_configuration_exchanges_the_objective():
    values = {"objective": {"kind": "distill", "teacher": "a"}}
    assert recipes.merge(recipes.get("digits"), values).objective == Distill("a")
    same = recipes.merge(recipes.get("digits"), {"objective": {"kind": "classify"}})
    assert same == recipes.get("digits")
    whole = recipes.get("masked_autoencoder_small")
    assert recipes.merge(recipes.get("digits"), recipes.to_dict(whole)) == whole


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("objective.kind=distil", "Did you mean distill"),
        ("objective.mask=0.5", r"unknown field 'objective\.mask'"),
        ("objective=distill", r"has fields of its own: .*objective\.kind"),
    ],
)
def test_a_wrong_objective_helps(assignment, message):
    with pytest.raises(UserError, match=message):
        recipes.override(recipes.get("digits"), assignment)


def test_wrong_values_help():
    with pytest.raises(UserError, match="mask"):
        Reconstruct(mask=1.0)
    with pytest.raises(UserError, match="alpha"):
        Distill(alpha=2)
    with pytest.raises(UserError, match="temperature"):
        Distill(temperature=0)
    with pytest.raises(UserError, match=r"objective\.kind"):
        recipes.from_dict({**recipes.to_dict(recipes.get("digits")), "objective": {"kind": "x"}})


def test_masked_autoencoder_is_the_paper_s():
    """arXiv 2111.06377, table 8 and figure 3; the encoder is a B/16 with fixed positions."""
    recipe = recipes.get("masked_autoencoder")
    optimizer, objective = recipe.optimizer, recipe.objective
    assert (recipe.batch_size, recipe.epochs) == (4096, 800)
    assert optimizer.learning_rate == pytest.approx(1.5e-4 * 4096 / 256)
    assert (optimizer.beta_2, optimizer.weight_decay, optimizer.clip_norm) == (0.95, 0.05, None)
    assert optimizer.settings["beta_1"] == 0.9
    assert recipe.schedule.warmup == "40 epochs"
    assert recipe.augmentation == recipes.Augmentation(crop="inception", min_area=0.2, flip=True)
    assert (objective.mask, objective.normalize) == (0.75, True)
    assert (objective.decoder_depth, objective.decoder_width) == (8, 512)
    # B/16 without its head (1,000 * 769) and its table of 197 positions.
    assert recipe.model.num_parameters == 86_567_656 - 769_000 - 197 * 768


def test_deit_distilled_is_the_paper_s():
    """arXiv 2012.12877, table 9 and section 4: `deit_small` with a token, a head and a teacher."""
    recipe, plain = recipes.get("deit_distilled"), recipes.get("deit_small")
    assert recipe.model.num_parameters == plain.model.num_parameters + 2 * 384 + 385_000
    assert recipe.objective == Distill(None, hard=True, alpha=0.5, label_smoothing=0.1)
    changed = {"name", "model", "objective"}
    for field in dataclasses.fields(recipe):
        if field.name not in changed:
            assert getattr(recipe, field.name) == getattr(plain, field.name), field.name
