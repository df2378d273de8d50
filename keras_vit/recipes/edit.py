# SPDX-License-Identifier: MIT
"""Recipes as text: changing a field by name, shrinking a run, and JSON there and back."""

import ast
import dataclasses
import types
import typing
from typing import Any

from keras_vit.config import ViTConfig
from keras_vit.errors import UserError, unknown
from keras_vit.recipes.objectives import Reconstruct
from keras_vit.recipes.optimization import Schedule
from keras_vit.recipes.schema import Recipe
from keras_vit.untrusted import schema

DEBUG_FILES = 64


def override(recipe: Recipe, *assignments: str) -> Recipe:
    """Returns a recipe with fields changed by `"name=value"`.

    All of them are made before anything is checked: `"model.width=100", "model.num_heads=10"`
    passes in any order.

    Args:
        recipe: what to start from; it stays as it is.
        *assignments: e.g. `"epochs=2"`, `"optimizer.learning_rate=1e-3"`, `"model=S/16"` (a
            published size; the recipe's image size, channels and pixel statistics stay),
            `"model.depth=6"`.

    Raises:
        UserError: for a name that is not a field (with the nearest fields) or a value of the wrong
            type.
    """
    draft = _Draft(recipe)
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals:
            received = schema.shown(assignment)
            raise UserError(f"--set: expected NAME=VALUE, as in epochs=2, received {received}.")
        _assign(draft, name.strip(), name.strip().split("."), text.strip())
    return draft.build()


def debug(recipe: Recipe) -> Recipe:
    """Shrinks any recipe to seconds: one narrow block, two epochs, 64 image files; the rest stays.

    A checkpoint that `init` names keeps its size.
    """
    model = recipe.model
    if model is not None:
        model = dataclasses.replace(
            model,
            width=32,
            depth=1,
            mlp_dim=64,
            num_heads=2,
            resnet_stages=None,
            representation_size=32 if model.representation_size else 0,
        )
    objective = recipe.objective
    if isinstance(objective, Reconstruct):
        objective = dataclasses.replace(
            objective, decoder_width=32, decoder_depth=1, decoder_num_heads=2
        )
    parts = min(recipe.accumulate, 2)
    return dataclasses.replace(
        recipe,
        model=model,
        epochs=2,
        steps=None,
        batch_size=min(recipe.batch_size, 64) // parts * parts,
        accumulate=parts,
        objective=objective,
        data=dataclasses.replace(recipe.data, limit=DEBUG_FILES),
        jit_compile=None,  # a short run does not earn back what XLA costs
        schedule=dataclasses.replace(recipe.schedule, warmup="0.5 epochs", cooldown="0 steps"),
    )


def field_names(recipe: Recipe) -> list[str]:
    """The names of all fields as `override` takes them, e.g. `"optimizer.learning_rate"`."""
    return _Draft(recipe).paths("")


def to_dict(recipe: Recipe) -> dict[str, Any]:
    """The recipe as plain data, for JSON."""
    return dataclasses.asdict(recipe)


def from_dict(values: dict[str, Any]) -> Recipe:
    """The inverse of `to_dict`, through JSON too.

    Raises:
        UserError: for a field that does not exist.
    """
    return _build(Recipe, values, "")


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
            raise unknown("field", prefix + name, _Draft(node).paths(prefix))
        current = getattr(node, name)
        if dataclasses.is_dataclass(current):
            if not isinstance(value, dict):
                raise UserError(
                    f"{prefix}{name}: expected its fields, received {schema.shown(value)}."
                )
            if "kind" in value and _kinds(types[name]):
                value = dict(value)
                current = _of_kind(current, types[name], f"{prefix}{name}.kind", value.pop("kind"))
            value = _merge(current, value, f"{prefix}{name}.")
        elif isinstance(value, dict) and _is_nested(types[name]):  # a model, where was none
            value = _build_nested(types[name], value, f"{prefix}{name}.")
        elif isinstance(value, str):
            value = _parse(prefix + name, types[name], value)
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
        if isinstance(value, dict) and _is_nested(fields[name].type):
            value = _build_nested(fields[name].type, value, f"{prefix}{name}.")
        built[name] = value
    for name, field in fields.items():
        if name not in built and field.default is field.default_factory is dataclasses.MISSING:
            raise UserError(f"{prefix}{name}: expected a value, received nothing.")
    return kind(**built)


def _is_nested(annotation: Any) -> bool:
    return any(map(dataclasses.is_dataclass, _options(annotation)))


def _build_nested(annotation: Any, values: dict[str, Any], prefix: str) -> Any:
    kinds = _kinds(annotation)
    if not kinds:
        return _build(_options(annotation)[0], values, prefix)
    # Recipes from before there were several kinds have the first, without its name.
    values = {"kind": next(iter(kinds)), **values}
    kind = values.pop("kind")
    if not isinstance(kind, str) or kind not in kinds:
        raise unknown(f"{prefix}kind", str(kind), kinds)
    return _build(kinds[kind], values, prefix)


def _kinds(annotation: Any) -> dict[str, type]:
    """The classes of a union by their `kind`; empty for any other annotation."""
    return {c.kind: c for c in typing.get_args(annotation) if hasattr(c, "kind")}


def _of_kind(current: Any, annotation: Any, name: str, kind: str) -> Any:
    """An object of a union: the present one if it is of that kind, else a new one."""
    kinds = _kinds(annotation)
    if not isinstance(kind, str) or kind not in kinds:
        raise unknown(name, str(kind), kinds)
    return current if kind == current.kind else kinds[kind]()


class _Draft:
    """A dataclass whose fields are being changed; it is checked when it is built."""

    def __init__(self, node: Any):
        self.type = type(node)
        self.fields = {field.name: field for field in dataclasses.fields(node)}
        self.values = {
            name: _Draft(value) if dataclasses.is_dataclass(value) else value
            for name in self.fields
            for value in [getattr(node, name)]
        }

    def build(self) -> Any:
        """The dataclass, checked."""
        return self.type(
            **{
                name: value.build() if isinstance(value, _Draft) else value
                for name, value in self.values.items()
                if self.fields[name].init
            }
        )

    def paths(self, prefix: str) -> list[str]:
        """The names of all fields."""
        paths = []
        for name, value in self.values.items():
            paths.append(prefix + name)
            if isinstance(value, _Draft):
                paths += value.paths(f"{prefix}{name}.")
        return paths


def _assign(draft: _Draft, full_name: str, parts: list[str], text: str) -> None:
    first, *rest = parts
    prefix = full_name[: len(full_name) - len(".".join(parts))]
    if first not in draft.fields:
        raise unknown("field", full_name, draft.paths(prefix))
    annotation, current = draft.fields[first].type, draft.values[first]
    if not dataclasses.is_dataclass(_options(annotation)[0]):
        if rest:
            raise UserError(f"{full_name}: {prefix}{first} has no fields of its own.")
        draft.values[first] = _parse(full_name, annotation, text)
    elif not rest:
        draft.values[first] = _parse_nested(current, annotation, full_name, text)
    elif current is None:
        _assign(_Draft(_options(annotation)[0]()), full_name, rest, text)  # a typo is said first
        raise UserError(
            f"{full_name}: this recipe chooses its {first} by the images. Name one before, as in "
            f"--set {prefix}{first}=S/16 --set {full_name}={text[:80]}."
        )
    elif rest == ["kind"] and _kinds(annotation):
        draft.values[first] = _Draft(_of_kind(current.build(), annotation, full_name, text))
    else:
        _assign(current, full_name, rest, text)


def _parse_nested(current: _Draft | None, annotation: Any, name: str, text: str) -> _Draft | None:
    """A model by its name, or none; other dataclasses are set by their fields."""
    options = _options(annotation)
    if type(None) in options and text.lower() in ("none", "null"):
        return None
    if options[0] is not ViTConfig:
        raise UserError(
            f"{name} has fields of its own: expected one of "
            f"{', '.join(current.paths(name + '.'))}, received {schema.shown(text)}."
        )
    keep = ("image_size", "channels", "num_classes", "pixel_mean", "pixel_std")
    kept = {} if current is None else {field: current.values[field] for field in keep}
    return _Draft(ViTConfig.of(text, **kept))


def _options(kind: Any) -> tuple:
    return typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)


def _parse(name: str, kind: Any, text: str) -> Any:
    """Casts text to the type of a field; bounds are for the dataclass to check."""
    takes_tuple = any(typing.get_origin(option) is tuple for option in _options(kind))
    value = _literal(text)
    if takes_tuple and isinstance(value, int | float | tuple | list):
        return value  # the dataclass checks the length, and makes pairs of single numbers
    if type(None) in _options(kind) and text.lower() in ("none", "null"):
        return None
    for candidate in (text, value):
        try:
            return schema.check(candidate, kind, name)
        except UserError as error:
            wrong = error
    raise wrong


def _literal(text: str) -> Any:
    """What Python would read, with whole numbers as such; the text itself if it is no literal."""
    try:
        value = ast.literal_eval({"true": "True", "false": "False"}.get(text.lower(), text))
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return text
    return int(value) if isinstance(value, float) and value.is_integer() else value
