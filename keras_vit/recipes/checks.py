# SPDX-License-Identifier: MIT
"""What the fields of a recipe may be."""

from keras_vit.errors import UserError


def within(name: str, value: float, low: float, high: float) -> None:
    """Raises a `UserError` unless `low <= value <= high`."""
    if not low <= value <= high:
        raise UserError(f"{name}: expected a number from {low:g} to {high:g}, received {value}.")
