# SPDX-License-Identifier: MIT
import pytest

from keras_vit import UserError, recipes
from keras_vit.recipes.distribution import Distribution


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("none", Distribution("none")),
        ("data", Distribution("data")),
        ("fsdp", Distribution("fsdp")),
        ("model(shards=4)", Distribution("model", 4)),
    ],
)
def test_read_and_kept(text, expected):
    recipe = recipes.override(recipes.get("digits"), f"distribution={text}")
    assert Distribution.of(recipe.distribution) == expected
    assert recipes.from_dict(recipes.to_dict(recipe)) == recipe


@pytest.mark.parametrize("text", ["model", "model(shards=1)", "model(shards=2", "ddp", "fsdp(2)"])
def test_anything_else_is_refused(text):
    with pytest.raises(UserError, match="expected none, data, fsdp or model"):
        recipes.override(recipes.get("digits"), f"distribution={text}")
