# SPDX-License-Identifier: MIT
"""What was trained, on what, and how that differs from the recipe as it stands."""

import dataclasses
import os
from collections.abc import Iterator
from typing import Any

from keras_vit import recipes
from keras_vit.errors import UserError
from keras_vit.preprocessing import USUAL
from keras_vit.recipes import Recipe
from keras_vit.reports.learning import learning_rows
from keras_vit.run_folder import RunFolder

_LONGEST = 200  # characters of a value


def setting(run: RunFolder, report: dict) -> tuple[tuple[str, str], ...]:
    """Rows of a table: what, and its value."""
    return tuple((name, value) for name, value in _rows(run, report) if value)


def changes(recipe: Recipe) -> tuple[tuple[str, str, str], ...]:
    """Fields of a recipe that differ from their default: name, default, here.

    What data and machine decide (the model of a recipe that names none, what was "auto", how images
    are framed where nobody says it) is no difference.
    """
    try:
        usual = recipes.get(recipe.name)
    except UserError:
        return ()  # a recipe of somebody's own
    here, there = (dict(_flat(recipes.to_dict(one))) for one in (recipe, usual))
    framing = {(f"data.{name}", None, value) for name, value in dataclasses.asdict(USUAL).items()}
    return tuple(
        (name, _shown(there[name]), _shown(value))
        for name, value in here.items()
        if name in there
        and there[name] not in (value, "auto")
        and (name, there[name], value) not in framing
    )


def _rows(run: RunFolder, report: dict) -> Iterator[tuple[str, str]]:
    recipe, model = run.recipe, run.recipe.model
    yield "recipe", f"{recipe.name}, {recipe.epochs} epochs, batches of {recipe.batch_size}"
    yield "started from", str(recipe.init or "random weights")
    yield from learning_rows(recipe)
    if model is not None:
        height, width = model.image_size
        grey = "grey" if model.channels == 1 else "color"
        yield "images", f"{height} x {width} pixels, {grey}"
        rows, columns = model.patch_size
        yield (
            "model",
            f"depth {model.depth}, width {model.width}, {model.num_heads} heads, patches of "
            f"{rows} x {columns}",
        )
    if report:
        data = report["data"]
        yield (
            "data",
            f"{data['source']}: {data['train']:,} images to train, {data['validation']:,} to "
            f"validate, {data['test']:,} to test",
        )
        trained = report.get("trained_parameters", report["parameters"])
        # The numbers of adapters are none of the model's.
        of = "of" if recipe.lora is None else "numbers of adapters and head, next to"
        yield (
            "trained",
            f"{trained:,} {of} {report['parameters']:,} parameters, {report['precision']}",
        )
    else:
        yield "data", recipe.data.source
    yield from _machine(run)
    yield "seed", str(recipe.seed)


def _machine(run: RunFolder) -> Iterator[tuple[str, str]]:
    if not os.path.lexists(run.environment_file):
        return
    found = run.environment
    cores = found.get("cores")
    counted = "1 core" if cores == 1 else f"{cores} cores"
    parts = found.get("cpu"), counted, found.get("system")
    yield "machine", ", ".join(str(part) for part in parts if part)
    packages = found.get("packages")
    if isinstance(packages, dict):
        versions = [f"{name} {version}" for name, version in packages.items()]
        yield "versions", ", ".join([f"Python {found.get('python')}", *versions])


def _flat(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Names with dots, and values that are no objects."""
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _shown(value: Any) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
