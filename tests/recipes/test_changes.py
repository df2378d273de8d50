# SPDX-License-Identifier: MIT
"""What the flags of `keras-vit train` make of a recipe."""

import json

import pytest

from keras_vit import UserError, recipes
from keras_vit.recipes import Changes

DIGITS = recipes.get("digits")


def test_nothing_changes_nothing():
    assert Changes().apply(DIGITS) == DIGITS
    Changes().check_same(DIGITS, "runs/a")


def test_the_later_has_the_last_word(tmp_path):
    file = tmp_path / "mine.json"
    file.write_text(json.dumps({"epochs": 9, "batch_size": 16, "init": "a.npz"}))
    changes = Changes(str(file), "b.npz", ("epochs=7", " seed = 3"), "photos", on_bad="skip")
    recipe = changes.apply(DIGITS)
    assert (recipe.epochs, recipe.batch_size, recipe.init, recipe.seed) == (7, 16, "b.npz", 3)
    assert (recipe.data.source, recipe.data.on_bad) == ("photos", "skip")
    assert recipe.data.data_dir == DIGITS.data.data_dir
    assert [flag for flag, _ in changes.steps(DIGITS)] == ["--config", "--init", "--set", "flag"]
    assert changes.assigned == ["epochs", "seed"]
    origins = {name: origin for name, _, origin in recipes.explain(DIGITS, *changes.steps(DIGITS))}
    assert origins["batch_size"] == "--config" and origins["epochs"] == "--set"
    assert origins["init"] == "--init" and origins["data.source"] == "flag"


def test_a_config_that_cannot_be_used_is_named(tmp_path):
    file = tmp_path / "mine.json"
    file.write_text('{"epochs": "many"}')
    with pytest.raises(UserError, match=rf"^--config {file}: epochs: "):
        Changes(str(file)).apply(DIGITS)


def test_what_a_run_has_otherwise_is_named():
    with pytest.raises(UserError, match=r"--resume runs/a: .*: epochs is \d+, not 7, seed is 0,"):
        Changes(assignments=("epochs=7", "seed=3")).check_same(DIGITS, "runs/a")
