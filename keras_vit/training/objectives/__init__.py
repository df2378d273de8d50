# SPDX-License-Identifier: MIT
"""What a run learns: to classify, to do as a teacher does, or to reconstruct. A file for each."""

from keras_vit.recipes import Recipe
from keras_vit.training.objectives.base import Objective as Objective
from keras_vit.training.objectives.classify import Classification
from keras_vit.training.objectives.distill import Distillation
from keras_vit.training.objectives.reconstruct import Reconstruction

_OBJECTIVES: dict[str, Objective] = {
    "classify": Classification(),
    "distill": Distillation(),
    "reconstruct": Reconstruction(),
}


def objective_of(recipe: Recipe) -> Objective:
    """The objective of a recipe. It remembers nothing: one serves every run."""
    return _OBJECTIVES[recipe.objective.kind]
