# SPDX-License-Identifier: MIT
"""What a run learned from other than labels, and what of its model it trained, in words."""

from collections.abc import Callable

from keras_vit.recipes import Distill, Recipe, Reconstruct


def learning_rows(recipe: Recipe, name: Callable[[str], str] = str) -> list[tuple[str, str]]:
    """Rows of a table: what, and its value; none for a whole classifier and its labels.

    Args:
        recipe: of the run.
        name: what a path is called where the table stands.
    """
    rows, objective = [], recipe.objective
    if isinstance(objective, Distill):
        soft = f"probabilities at temperature {objective.temperature:g} are"
        said = "most probable class is" if objective.hard else soft
        share = f"{objective.alpha:.0%} of the training loss"
        rows.append(("teacher", f"{name(objective.teacher or '')}, whose {said} {share}"))
    if isinstance(objective, Reconstruct):
        size = f"{objective.decoder_depth} blocks, {objective.decoder_width} wide"
        rows.append(("hidden", f"{objective.mask:.0%} of the patches, for a decoder of {size}"))
    if recipe.lora is not None:
        rows.append(("adapters", f"LoRA of rank {recipe.lora}, in the weights of the files"))
    return rows


def loss_of_a_pupil(recipe: Recipe) -> str:
    """Why the losses of a distillation are not to be compared; "" for other runs."""
    if not isinstance(recipe.objective, Distill):
        return ""
    return (
        "The training loss is made of the labels and the teacher, the validation loss of the "
        "labels alone: one is not to be compared with the other."
    )
