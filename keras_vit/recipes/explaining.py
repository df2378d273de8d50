# SPDX-License-Identifier: MIT
"""Where each value of a recipe comes from."""

import dataclasses
from typing import Any

from keras_vit.recipes.schema import Recipe


def explain(recipe: Recipe, *changed: tuple[str, Recipe]) -> list[tuple[str, str, str]]:
    """Every value of a recipe with its origin.

    Args:
        recipe: as its function returns it.
        *changed: what became of it, step by step, each with the name of what changed it, e.g.
            `("--config", merged), ("--set", overridden)`.

    Returns:
        Rows (field, value, origin) for the last of the recipes, with fields as `--set` names them.
        The origin is "default", "recipe", or the name of the last step that changed the value.
    """
    steps = [("recipe", recipe), *changed]
    tables = [(origin, _flat(step)) for origin, step in steps]
    last = tables[-1][1]
    rows = []
    for name, (value, default) in last.items():
        origin, before = "default", default
        for step, table in tables:
            now = table.get(name, (None, None))[0]
            if now != before:
                origin, before = step, now
        rows.append((name, str(value), origin))
    return rows


def _flat(node: Any, prefix: str = "") -> dict[str, tuple[Any, Any]]:
    """(value, default) of each field that has none of its own."""
    flat = {}
    for field in dataclasses.fields(node):
        value, default = getattr(node, field.name), field.default
        if dataclasses.is_dataclass(value):
            flat |= _flat(value, f"{prefix}{field.name}.")
        else:
            flat[prefix + field.name] = (value, default)
    return flat
