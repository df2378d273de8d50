# SPDX-License-Identifier: MIT
"""Whether the fields of a dataclass are what they should be: types, and bounds of numbers."""

import dataclasses
import typing
from collections.abc import Mapping
from typing import Any

from keras_vit.errors import UserError, unknown
from keras_vit.untrusted import schema

# Lowest and highest value of a number, or of each number of a tuple.
Bounds = Mapping[str, tuple[float, float]]


def check_fields(
    node: Any,
    bounds: Bounds,
    choices: Mapping[str, tuple[str, ...]] | None = None,
    prefix: str = "",
) -> None:
    """Checks every field of a frozen dataclass, for its `__post_init__`.

    Types are those of the annotations; a list becomes a tuple and a whole number a float where the
    annotation says so. Neither NaN nor infinity lies between bounds.

    Args:
        node: the instance.
        bounds: for the name of each field with numbers, the lowest and the highest.
        choices: for the names of fields with text, what it may be, or nothing where the type
            allows that.
        prefix: goes before the names in messages, as in `"optimizer."`.

    Raises:
        UserError: names the field, what was expected and what was received.
    """
    kinds = typing.get_type_hints(type(node), include_extras=True)
    for field in dataclasses.fields(node):
        name, value, kind = prefix + field.name, getattr(node, field.name), kinds[field.name]
        kinds_of_field = (kind, *typing.get_args(kind))
        classes = tuple(
            k for k in kinds_of_field if isinstance(k, type) and dataclasses.is_dataclass(k)
        )
        if not isinstance(value, classes):
            value = schema.check(_plain(value), kind, name)
            object.__setattr__(node, field.name, value)
        if field.name in bounds and not isinstance(value, str | None):
            for number in value if isinstance(value, tuple) else (value,):
                within(name, number, *bounds[field.name])
        words = choices.get(field.name) if choices else None
        if words and value is not None and value not in words:
            raise unknown(name, value, words)


def within(name: str, value: float, low: float, high: float) -> None:
    """Raises a `UserError` unless `low <= value <= high`."""
    if not low <= value <= high:
        received = schema.shown(value)
        raise UserError(
            f"{name}: expected a number from {low:.10g} to {high:.10g}, received {received}."
        )


def _plain(value: Any) -> Any:
    """A number of NumPy as one of Python."""
    return value.item() if getattr(value, "shape", None) == () else value
