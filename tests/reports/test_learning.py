# SPDX-License-Identifier: MIT
import pytest

from keras_vit import recipes
from keras_vit.reports.card_head import data_name
from keras_vit.reports.learning import learning_rows, loss_of_a_pupil

DISTILL = ("objective.kind=distill", "objective.teacher=/home/me/big", "objective.alpha=0.3")


@pytest.mark.parametrize(
    ("recipe", "changes", "rows"),
    [
        ("digits", (), []),
        (
            "digits",
            DISTILL,
            [("teacher", "big, whose most probable class is 30% of the training loss")],
        ),
        (
            "digits",
            (*DISTILL, "objective.hard=false", "objective.temperature=2", "lora=4"),
            [
                (
                    "teacher",
                    "big, whose probabilities at temperature 2 are 30% of the training loss",
                ),
                ("adapters", "LoRA of rank 4, in the weights of the files"),
            ],
        ),
        (
            "masked_autoencoder_small",
            ("objective.mask=0.6",),
            [("hidden", "60% of the patches, for a decoder of 2 blocks, 96 wide")],
        ),
    ],
)
def test_what_it_learned_from(recipe, changes, rows):
    recipe = recipes.override(recipes.get(recipe), *changes)
    assert learning_rows(recipe, data_name) == rows
    assert bool(loss_of_a_pupil(recipe)) == (recipe.objective.kind == "distill")
