# SPDX-License-Identifier: MIT
"""Runs a table in either direction, strictly.

Every variable is filled exactly once and every tensor of a file is used or was skipped by name;
otherwise the error has both lists.
"""

import functools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from keras_vit.config import ViTConfig
from keras_vit.config.variables import shapes
from keras_vit.errors import UserError
from keras_vit.weights.formats import Checkpoint
from keras_vit.weights.names import features_of, is_inside
from keras_vit.weights.table import Rule, Transform

_FLOATS = ("float64", "float32", "float16", "bfloat16")
_SHOWN = 12  # names in an error message; the rest is counted


class Binding(NamedTuple):
    """One tensor of theirs and the variables of ours that it holds.

    Attributes:
        theirs: name of their tensor.
        shape: its shape.
        ours: our paths, in the order in which the tensor joins them.
        rule: the row of the table.
    """

    theirs: str
    shape: tuple[int, ...]
    ours: tuple[str, ...]
    rule: Rule

    @property
    def stacked(self) -> bool:
        """Whether the variables lie along a new axis (else they are concatenated on the first)."""
        return "{block" in self.rule.ours[0] and "{block" not in self.rule.theirs

    @property
    def transforms(self) -> tuple[Transform, ...]:
        """The change of layout of each variable."""
        return self.rule.transforms * (len(self.ours) // len(self.rule.ours))


def bind(
    dialect: str, rules: Sequence[Rule], config: ViTConfig, placeholders: Mapping[str, str]
) -> list[Binding]:
    """Applies a table to the variables of a configuration.

    Args:
        dialect: what to call the table in messages.
        rules: its rows.
        config: what the model is.
        placeholders: what stands in the names of the table for `{...}` other than counters.

    Raises:
        UserError: when the table has no name for a variable.
    """
    ours = shapes(config)
    groups: dict[str, tuple[Rule, list[tuple[tuple[int, int], str]]]] = {}
    homeless = []
    patterns = [
        (rule, order, _pattern(ours_pattern))
        for rule in rules
        for order, ours_pattern in enumerate(rule.ours)
    ]
    for path in ours:
        found = next(
            ((rule, order, m) for rule, order, p in patterns if (m := p.fullmatch(path))), None
        )
        if found is None:
            homeless.append(path)
            continue
        rule, order, match = found
        counters = {name: int(value) for name, value in match.groupdict().items()}
        below = {f"{name}0": value - 1 for name, value in counters.items()}
        above = {f"{name}1": value + 1 for name, value in counters.items()}
        theirs = rule.theirs.format(**placeholders, **counters, **below, **above)
        groups.setdefault(theirs, (rule, []))[1].append(((counters.get("block", 0), order), path))
    if homeless:
        raise UserError(f"the {dialect} dialect has no name for {_listed(homeless)}.")
    return [
        _binding(theirs, rule, tuple(path for _, path in sorted(members)), config, ours)
        for theirs, (rule, members) in groups.items()
    ]


def check(bindings: list[Binding], checkpoint: Checkpoint) -> list[Binding]:
    """Compares the names, shapes and types of a file with what a model needs; reads no numbers.

    Returns:
        The bindings whose tensors the file lacks although it may, because zeros are what it means.

    Raises:
        UserError: with every name that is missing, left over or of another shape.
    """
    specs = checkpoint.specs
    lacking = [b for b in bindings if b.theirs not in specs]
    absent = {rule: [b for b in bindings if b.rule == rule] for rule in {b.rule for b in lacking}}
    zeros = [b for b in lacking if b.rule.optional and set(absent[b.rule]) <= set(lacking)]
    missing = [b.theirs for b in lacking if b not in zeros]
    wanted = {b.theirs for b in bindings}
    left_over = [name for name in specs if name not in wanted]
    wrong = [
        f"{b.theirs}: expected {b.shape}, received {specs[b.theirs].shape}"
        for b in bindings
        if b.theirs in specs and specs[b.theirs].shape != b.shape
    ]
    wrong += [
        f"{b.theirs}: expected numbers with a fraction, received {specs[b.theirs].dtype}"
        for b in bindings
        if b.theirs in specs and specs[b.theirs].dtype not in _FLOATS
    ]
    if missing or left_over or wrong:
        problems = [
            f"{len(names)} {what}:\n    {_listed(names, separator=chr(10) + '    ')}"
            for what, names in (
                ("tensors are missing", missing),
                ("tensors are left over", left_over),
                ("tensors do not fit", wrong),
            )
            if names
        ]
        features = features_of(left_over)
        has = f" It has {', '.join(features)}; the model here does not." if features else ""
        raise UserError(
            f"{checkpoint.source}: the file and the model do not agree.{has}\n  "
            + "\n  ".join([*problems, *_skippable(left_over, bool(missing or wrong))])
        )
    return zeros


def _skippable(left_over: list[str], other_problems: bool) -> list[str]:
    """Advice on tensors that are left over, where leaving them out cannot change the model."""
    if other_problems or not left_over or any(map(is_inside, left_over)):
        return []
    return [f"Leave tensors that are not of the model out with skip=, e.g. skip={left_over[0]!r}."]


def read(
    bindings: list[Binding], checkpoint: Checkpoint, config: ViTConfig
) -> Iterator[tuple[str, np.ndarray]]:
    """Yields every variable as (our path, float32 array), one tensor of the file at a time."""
    ours = shapes(config)
    zeros = check(bindings, checkpoint)
    for binding in bindings:
        if binding in zeros:
            for path in binding.ours:
                yield path, np.zeros(ours[path], np.float32)
            continue
        tensor = checkpoint[binding.theirs].astype(np.float32, copy=False)
        if binding.stacked:
            parts = list(np.moveaxis(tensor, binding.rule.axis, 0))
        else:
            parts = np.split(tensor, len(binding.ours)) if len(binding.ours) > 1 else [tensor]
        for path, part, transform in zip(binding.ours, parts, binding.transforms, strict=True):
            yield path, transform.to_ours(part, config)


def write(
    bindings: list[Binding], arrays: Mapping[str, np.ndarray], config: ViTConfig
) -> Iterator[tuple[str, tuple[int, ...], Callable[[], np.ndarray]]]:
    """Yields every tensor of theirs as (name, shape, maker); the maker reads `arrays`."""

    def make(binding: Binding) -> np.ndarray:
        parts = [
            transform.to_theirs(np.asarray(arrays[path]), config)
            for path, transform in zip(binding.ours, binding.transforms, strict=True)
        ]
        if binding.stacked:
            return np.stack(parts, axis=binding.rule.axis)
        return np.concatenate(parts) if len(parts) > 1 else parts[0]

    for binding in bindings:
        yield binding.theirs, binding.shape, functools.partial(make, binding)


def _binding(theirs, rule, paths, config, ours) -> Binding:
    binding = Binding(theirs, (), paths, rule)
    parts = [
        _their_shape(transform, tuple(ours[path]), config)
        for path, transform in zip(paths, binding.transforms, strict=True)
    ]
    if binding.stacked:
        before, after = parts[0][: rule.axis], parts[0][rule.axis :]
        return binding._replace(shape=(*before, len(parts), *after))
    return binding._replace(shape=(sum(p[0] for p in parts), *parts[0][1:]) if parts[0] else ())


@functools.lru_cache(maxsize=256)  # all blocks of a model are alike
def _their_shape(transform, ours, config) -> tuple[int, ...]:
    """The transform of a zero that pretends to be an array: the shape, and mostly no numbers."""
    return transform.to_theirs(np.broadcast_to(np.False_, ours), config).shape


def _pattern(template: str) -> re.Pattern:
    escaped = re.escape(template)
    return re.compile(re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>\\d+)", escaped))


def _listed(names: list[str], separator: str = ", ") -> str:
    more = f"{separator}and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return separator.join(names[:_SHOWN]) + more
