# SPDX-License-Identifier: MIT
"""Recipes as text: changing a field by name, shrinking a run, and JSON there and back."""

import ast
import dataclasses
import os
import types
import typing
from pathlib import Path
from typing import Any

from keras_vit.config import ViTConfig
from keras_vit.errors import UserError, unknown
from keras_vit.recipes.objectives import Reconstruct
from keras_vit.recipes.optimization import Schedule
from keras_vit.recipes.schema import Recipe
from keras_vit.untrusted import read_json


def override(recipe: Recipe, *assignments: str) -> Recipe:
    """Returns a recipe with fields changed by `"name=value"`.

    Args:
        recipe: what to start from; it stays as it is.
        *assignments: e.g. `"epochs=2"`, `"optimizer.learning_rate=1e-3"`, `"model=S/16"` (a
            published size; the recipe's image size, channels and pixel statistics stay),
            `"model.depth=6"`.

    Raises:
        UserError: for a name that is not a field (with the nearest fields) or a value of the wrong
            type.
    """
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals:
            raise UserError(f"--set: expected NAME=VALUE, as in epochs=2, received {assignment!r}.")
        recipe = _assign(recipe, name.strip(), name.strip().split("."), text.strip())
    return recipe


def debug(recipe: Recipe) -> Recipe:
    """Shrinks any recipe to a few seconds: one block, narrow, two epochs; the rest stays."""
    model = recipe.model
    if model is not None:
        sizes = {"width": 32, "depth": 1, "mlp_width": 64, "heads": 2, "resnet_stages": None}
        representation = 32 if model.representation else 0
        model = dataclasses.replace(model, **sizes, representation=representation)
    objective = recipe.objective
    if isinstance(objective, Reconstruct):
        sizes = {"decoder_width": 32, "decoder_depth": 1, "decoder_heads": 2}
        objective = dataclasses.replace(objective, **sizes)
    parts = min(recipe.accumulate, 2)
    return dataclasses.replace(
        recipe,
        model=model,
        epochs=2,
        steps=None,
        batch_size=min(recipe.batch_size, 64) // parts * parts,
        accumulate=parts,
        objective=objective,
        jit_compile=None,  # a short run does not earn back what XLA costs
        schedule=dataclasses.replace(recipe.schedule, warmup="0.5 epochs", cooldown="0 steps"),
    )


def to_dict(recipe: Recipe) -> dict[str, Any]:
    """The recipe as plain data, for JSON."""
    return dataclasses.asdict(recipe)


def from_dict(values: dict[str, Any]) -> Recipe:
    """The inverse of `to_dict`, through JSON too.

    Raises:
        UserError: for a field that does not exist.
    """
    return _build(Recipe, values, "")


def of_run(workdir: str | os.PathLike) -> Recipe:
    """Reads the recipe of a run folder; a `UserError` for any other folder."""
    file = Path(workdir) / "recipe.json"
    if not os.path.lexists(file):
        raise UserError(
            f"{workdir}: expected the folder of a run (with recipe.json). "
            "`keras-vit train` makes one."
        )
    values = read_json(file, dict[str, Any], follow=False)
    try:
        return from_dict(values)
    except (ValueError, TypeError, AttributeError) as error:
        raise UserError(f"{file}: is not a recipe that can be read ({error}).") from error


def merge(recipe: Recipe, values: dict[str, Any]) -> Recipe:
    """Returns a recipe with the fields that `values` has, in the shape of `to_dict`.

    Raises:
        UserError: for a field that does not exist, with the nearest ones that do.
    """
    return _merge(recipe, values, "")


def _merge(node: Any, values: dict[str, Any], prefix: str) -> Any:
    types = {field.name: field.type for field in dataclasses.fields(node)}
    changes = {}
    for name, value in values.items():
        if name not in types:
            raise unknown("field", prefix + name, _paths(node, prefix))
        current = getattr(node, name)
        if dataclasses.is_dataclass(current):
            if not isinstance(value, dict):
                raise UserError(f"{prefix}{name}: expected its fields, received {value!r}.")
            if "kind" in value and _kinds(types[name]):
                value = dict(value)
                current = _of_kind(current, types[name], f"{prefix}{name}.kind", value.pop("kind"))
            value = _merge(current, value, f"{prefix}{name}.")
        elif isinstance(value, dict):  # a model, where there was none
            value = _build_nested(types[name], value, f"{prefix}{name}.")
        else:
            value = _parse(prefix + name, types[name], str(value))
        changes[name] = value
    return dataclasses.replace(node, **changes)


def _build(kind: type, values: dict[str, Any], prefix: str) -> Any:
    fields = {field.name: field for field in dataclasses.fields(kind)}
    if kind is Schedule and "warmup_epochs" in values:  # run folders of version 0.1
        values = dict(values)
        values["warmup"] = f"{values.pop('warmup_epochs')} epochs"
    built = {}
    for name, value in values.items():
        if name not in fields:
            raise unknown("field", prefix + name, [prefix + field for field in fields])
        if isinstance(value, dict):
            value = _build_nested(fields[name].type, value, f"{prefix}{name}.")
        built[name] = value
    return kind(**built)


def _build_nested(annotation: Any, values: dict[str, Any], prefix: str) -> Any:
    kinds = _kinds(annotation)
    if not kinds:
        return _build(_options(annotation)[0], values, prefix)
    # Recipes from before there were several kinds have the first, without its name.
    values = {"kind": next(iter(kinds)), **values}
    kind = values.pop("kind")
    if kind not in kinds:
        raise unknown(f"{prefix}kind", kind, kinds)
    return _build(kinds[kind], values, prefix)


def _kinds(annotation: Any) -> dict[str, type]:
    """The classes of a union by their `kind`; empty for any other annotation."""
    return {c.kind: c for c in typing.get_args(annotation) if hasattr(c, "kind")}


def _of_kind(current: Any, annotation: Any, name: str, kind: str) -> Any:
    """An object of a union: the present one if it is of that kind, else a new one."""
    kinds = _kinds(annotation)
    if kind not in kinds:
        raise unknown(name, kind, kinds)
    return current if kind == current.kind else kinds[kind]()


def _assign(node: Any, full_name: str, parts: list[str], text: str) -> Any:
    fields = {field.name: field for field in dataclasses.fields(node)}
    first, *rest = parts
    prefix = full_name[: len(full_name) - len(".".join(parts))]
    if first not in fields:
        raise unknown("field", full_name, _paths(node, prefix))
    current = getattr(node, first)
    options = _options(fields[first].type)
    if dataclasses.is_dataclass(options[0]):
        if rest and current is None:
            raise UserError(
                f"{full_name}: this recipe chooses its model itself. Set {prefix}{first} first, as "
                f"in {prefix}{first}=S/16, or {prefix}image_size."
            )
        if rest == ["kind"] and _kinds(fields[first].type):
            value = _of_kind(current, fields[first].type, full_name, text)
        elif rest:
            value = _assign(current, full_name, rest, text)
        elif type(None) in options and text.lower() in ("none", "null"):
            value = None
        elif options[0] is ViTConfig:
            keep = ("image_size", "channels", "num_classes", "pixel_mean", "pixel_std")
            kept = {} if current is None else {name: getattr(current, name) for name in keep}
            value = ViTConfig.of(text, **kept)
        else:
            raise UserError(
                f"{full_name} has fields of its own: expected one of "
                f"{', '.join(_paths(current, full_name + '.'))}, received {full_name}={text}."
            )
    elif rest:
        raise UserError(f"{full_name}: {prefix}{first} has no fields of its own.")
    else:
        value = _parse(full_name, fields[first].type, text)
    return dataclasses.replace(node, **{first: value})


def _paths(node: Any, prefix: str = "") -> list[str]:
    paths = []
    for field in dataclasses.fields(node):
        value = getattr(node, field.name)
        paths.append(prefix + field.name)
        if dataclasses.is_dataclass(value):
            paths += _paths(value, f"{prefix}{field.name}.")
    return paths


def _options(kind: Any) -> tuple:
    return typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)


def _parse(name: str, kind: Any, text: str) -> Any:
    """Casts text to a field's type: str, int, float, bool, a tuple of numbers, or None of these."""
    options = _options(kind)
    if type(None) in options and text.lower() in ("none", "null"):
        return None
    takes_tuple = any(typing.get_origin(option) is tuple for option in options)
    if str in options and not (takes_tuple and text.startswith(("(", "["))):
        return text
    try:
        value = ast.literal_eval({"true": "True", "false": "False"}.get(text.lower(), text))
    except (ValueError, SyntaxError):
        value = text
    for option in options:
        if option is bool and isinstance(value, bool):
            return value
        if isinstance(value, bool):
            continue
        if option is int and isinstance(value, int):
            return value
        if option is int and isinstance(value, float) and value.is_integer():
            return int(value)
        if option is float and isinstance(value, int | float):
            return float(value)
        if typing.get_origin(option) is tuple and isinstance(value, int | float | tuple | list):
            return value  # the dataclass checks the length
    wanted = " or ".join(
        "none" if o is type(None) else getattr(o, "__name__", str(o)) for o in options
    )
    raise UserError(f"{name}: expected {wanted}, received {text!r}.")
