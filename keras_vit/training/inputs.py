# SPDX-License-Identifier: MIT
"""What a recipe names, images, a checkpoint, a teacher: whether it is there. Without Keras."""

import os
from collections.abc import Sequence
from typing import Any

from keras_vit.data.sources.resolve import check_source
from keras_vit.errors import UserError
from keras_vit.export.metadata import Metadata
from keras_vit.files import check_free
from keras_vit.model_file import ModelFile
from keras_vit.recipes import Distill, Recipe
from keras_vit.recipes.schema import RANDOM
from keras_vit.training.cluster import Cluster, cluster_of
from keras_vit.weights.catalog import check_named


def check_inputs(recipe: Recipe) -> None:
    """Raises a `UserError` where what a recipe starts from is not there, as far as a look tells."""
    check_source(recipe.data.source, recipe.data.data_dir)
    find_teacher(recipe)
    if recipe.init not in (None, RANDOM):
        check_named(recipe.init)


def find_teacher(recipe: Recipe) -> ModelFile | None:
    """Finds the model file of a recipe's teacher; None for a recipe that has none.

    Raises:
        UserError: for a teacher that is not named or not there.
    """
    objective = recipe.objective
    if not isinstance(objective, Distill):
        return None
    if objective.teacher is None:
        raise UserError(
            "objective.teacher: expected the run folder or model file of the teacher. Name it "
            "with --set objective.teacher=runs/teacher."
        )
    return ModelFile.find(objective.teacher)


def check_teacher(recipe: Recipe, classes: Sequence[str]) -> tuple[ModelFile, Metadata]:
    """Returns the teacher of a recipe that distills, and what is known of it.

    Raises:
        UserError: when there is none, or it has other classes or channels than the student, or XLA
            is to compile what runs on the host.
    """
    file = find_teacher(recipe)
    objective: Any = recipe.objective  # `Distill`, as there is a teacher
    name, channels = objective.teacher, recipe.model.channels
    metadata = file.metadata()
    differing = sorted(set(classes) ^ set(metadata.labels))
    if differing:
        raise UserError(
            f"objective.teacher: {name} has {len(metadata.labels)} classes where the data have "
            f"{len(classes)}; they differ in {', '.join(differing[:10])}. Expected the same."
        )
    if metadata.channels != channels:
        raise UserError(
            f"objective.teacher: {name} takes images of {metadata.channels} channels, where the "
            f"student takes {channels}. Expected the same; set model.channels."
        )
    if recipe.jit_compile and not file.needs_keras:
        raise UserError(
            f"jit_compile: XLA cannot compile {name}, which runs on the host. Set "
            "jit_compile=none, or name the teacher's run folder."
        )
    return file, metadata


def check_workdir(recipe: Recipe, workdir: str | os.PathLike | None) -> None:
    """Raises a `UserError` for a folder that a new run cannot have."""
    cluster = Cluster() if recipe.distribution == "none" else cluster_of()
    if workdir is None and cluster.count > 1:
        raise UserError(
            f"--workdir: {cluster.count} processes train together (see {cluster.told_by}). Name "
            "the run folder, the same for all of them, on a disk that all of them see."
        )
    if workdir is not None and cluster.leads:
        check_free(workdir, "--workdir")
