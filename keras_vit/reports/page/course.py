# SPDX-License-Identifier: MIT
"""How a training went, epoch by epoch."""

import dataclasses
import os

from markupsafe import Markup

from keras_vit.errors import UserError
from keras_vit.recipes import Recipe
from keras_vit.reports.learning import loss_of_a_pupil
from keras_vit.reports.page.charts import Series, line_chart
from keras_vit.run_folder import RunFolder

_SCORES = {"accuracy": "Accuracy", "average_precision": "Average precision"}


@dataclasses.dataclass(frozen=True)
class Course:
    """How a training went.

    Attributes:
        epochs: how many are done.
        chosen: the epoch whose weights were kept, from 1.
        seconds: that training took, validation included.
        charts: loss, score and learning rate over epochs.
        why_above: why validation is better than training, in sentences; "" where it is not.
        of_losses: why their losses are not to be compared; "" where they are.
    """

    epochs: int
    chosen: int
    seconds: float
    charts: tuple[Markup, ...]
    why_above: str
    of_losses: str


def course_of(run: RunFolder, chosen: int | None) -> Course | None:
    """Reads the history of a run; None where it has none.

    Args:
        run: its folder.
        chosen: the epoch whose weights were kept; None for a run that does not say so yet.

    Raises:
        UserError: for a history that cannot be read.
    """
    if not os.path.lexists(run.history_file):
        return None
    from keras_vit.training.history import read_history

    try:
        rows = read_history(run.history_file)
        columns = {name: [float(row[name]) for row in rows] for name in rows[0]}
        score = next((name for name in _SCORES if f"val_{name}" in columns), None)
        place = _place(columns, score, chosen)
        return Course(
            epochs=len(rows),
            chosen=int(columns["epoch"][place]),
            seconds=sum(columns["seconds"]),
            charts=tuple(_charts(columns, score, columns["epoch"][place])),
            why_above=_why_above(run.recipe, columns, score, place),
            of_losses=loss_of_a_pupil(run.recipe),
        )
    except (IndexError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{run.history_file}: is not a history as training writes it.") from error


def _place(columns: dict[str, list[float]], score: str | None, chosen: int | None) -> int:
    """The row of the chosen epoch: the best score, then the lowest loss, as training chooses."""
    if chosen is not None:
        return columns["epoch"].index(chosen)
    scores = columns[f"val_{score}"] if score else [0.0] * len(columns["epoch"])
    losses = columns["val_loss"]
    return max(range(len(losses)), key=lambda i: (scores[i], -losses[i]))


def _charts(columns: dict[str, list[float]], score: str | None, chosen: float) -> list[Markup]:
    epochs = columns["epoch"]
    drawn = [("Loss", "loss", False), *([(_SCORES[score], score, True)] if score else [])]
    charts = [
        line_chart(
            title,
            epochs,
            [Series("training", columns[name]), Series("validation", columns[f"val_{name}"])],
            chosen,
            percent,
        )
        for title, name, percent in drawn
    ]
    rate = Series("learning rate", columns["learning_rate"])
    return [*charts, line_chart("Learning rate", epochs, [rate], chosen, percent=False)]


def _why_above(
    recipe: Recipe, columns: dict[str, list[float]], score: str | None, place: int
) -> str:
    """Why validation is better than training in the chosen epoch, if it is."""
    name, sign = (score, 1) if score else ("loss", -1)
    if sign * columns[f"val_{name}"][place] <= sign * columns[name][place]:
        return ""
    reasons = [f"Training is measured {', '.join(_harder(recipe))}."] if _harder(recipe) else []
    reasons.append(
        "Its numbers are also means over an epoch, during which the model improves, and "
        "validation comes after it."
    )
    return "Validation is better than training here, which is no mistake. " + " ".join(reasons)


def _harder(recipe: Recipe) -> list[str]:
    """What makes training images harder than those of validation."""
    change, model = recipe.augmentation, recipe.model
    mixed = [name for name, on in (("MixUp", change.mixup), ("CutMix", change.cutmix)) if on > 0]
    found = []
    if mixed:
        found.append(f"on images that {' and '.join(mixed)} made of two, with both labels")
    altered = (change.crop != "none", change.policy != "none", change.erasing, change.color_jitter)
    if any(altered) or change.flip:
        found.append("on images that are cropped or altered at random")
    dropped = model is not None and (
        model.dropout or model.attention_dropout or model.stochastic_depth
    )
    if dropped:
        found.append("with parts of the model left out at random (dropout)")
    return found
