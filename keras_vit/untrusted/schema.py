# SPDX-License-Identifier: MIT
"""Whether a value that was read from a file is of the type that it should be.

A type annotation is the schema:

    from typing import Annotated, NotRequired, TypedDict
    from keras_vit.untrusted.schema import Between, Sized, check

    class Metadata(TypedDict):
        labels: Annotated[list[str], Sized(1, 1_000_000)]
        crop: Annotated[float, Between(0.01, 1)]
        flops: NotRequired[int | None]

    check({"labels": ["cat"], "crop": 0.9}, Metadata, "model.tflite")

A `crop` of "0.9" is a `UserError`: model.tflite: crop: expected a number, received '0.9'.
"""

import dataclasses
import re
import types
import typing
from collections.abc import Callable, Iterator
from typing import Any

from keras_vit.errors import UserError, unknown

_SHOWN = 80  # characters of a value in a message
# Half of a surrogate pair, which JSON can spell and no file can hold; but for those by which Python
# writes the bytes of a file name that is not UTF-8.
_HALF = re.compile("[\ud800-\udc7f\udd00-\udfff]")


@dataclasses.dataclass(frozen=True)
class Between:
    """Bounds of a number, both included."""

    low: float
    high: float

    def __call__(self, value: float) -> bool:
        """Whether a value fits."""
        return self.low <= value <= self.high

    def __str__(self) -> str:
        return f"from {self.low:,} to {self.high:,}"


@dataclasses.dataclass(frozen=True)
class Sized:
    """Bounds of the length of text, of a list or of an object, both included."""

    low: int
    high: int

    def __call__(self, value: typing.Sized) -> bool:
        """Whether a value fits."""
        return self.low <= len(value) <= self.high

    def __str__(self) -> str:
        return f"of length {self.low:,} to {self.high:,}"


def check(value: Any, kind: Any, source: str) -> Any:
    """Checks a value that JSON can hold.

    Args:
        value: what `json.loads` returned.
        kind: `bool`, `int`, `float` (a whole number is one), `str`, None, `Any`, `Literal[...]`,
            `list[...]`, `tuple[...]` (a JSON list), `dict[str, ...]`, a union, a `TypedDict` (whose
            unknown fields are left alone: a newer version wrote them), a dataclass (which has no
            others), or `Annotated` of one of these with `Between`, `Sized` or another function of
            the value to bool, whose `str` says what it wants.
        source: the file, for the message.

    Returns:
        The value, with tuples for `tuple`, floats for `float` and instances for dataclasses.

    Raises:
        UserError: names the file, the field, what was expected and what was received.
    """
    try:
        return _check(value, kind, "")
    except _Mismatch as error:
        place = f"{error.place}: " if error.place else ""
        raise UserError(
            f"{source}: {place}expected {error.expected}, received {shown(error.value)}."
        ) from None
    except UserError as error:  # of a dataclass that checks itself, or has no such field
        raise UserError(f"{source}: {error}") from None


def shown(value: Any) -> str:
    """A value in a message: its JSON type where it is large."""
    if isinstance(value, dict):
        return f"an object of {len(value):,} fields"
    if isinstance(value, list | tuple) and len(value) > 4:
        return f"a list of {len(value):,}"
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


class _Mismatch(Exception):
    def __init__(self, place: str, expected: str, value: Any):
        super().__init__(place, expected)
        self.place, self.expected, self.value = place, expected, value


def _check(value: Any, kind: Any, place: str) -> Any:
    if kind is Any:
        return value
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        return _annotated(value, arguments[0], arguments[1:], kind, place)
    if origin in (typing.Required, typing.NotRequired):
        return _check(value, arguments[0], place)
    if origin in (typing.Union, types.UnionType):
        return _union(value, arguments, kind, place)
    if origin is typing.Literal:
        if not any(type(value) is type(choice) and value == choice for choice in arguments):
            raise _Mismatch(place, _words(kind), value)
        return value
    if origin is list and isinstance(value, list):
        if arguments[0] is Any:  # spares millions of calls
            return value
        return [_check(item, arguments[0], f"{place}[{i}]") for i, item in enumerate(value)]
    if origin is tuple and isinstance(value, list | tuple):
        return _tuple(value, arguments, kind, place)
    if origin is dict and isinstance(value, dict):
        return {key: _check(item, arguments[1], _join(place, key)) for key, item in value.items()}
    if isinstance(value, dict) and (typing.is_typeddict(kind) or dataclasses.is_dataclass(kind)):
        return _fields(value, kind, place)
    if _is_scalar(value, kind):
        return float(value) if kind is float else value
    raise _Mismatch(place, _words(kind), value)


def _is_scalar(value: Any, kind: Any) -> bool:
    if kind in (None, type(None)):
        return value is None
    if kind is float:
        return type(value) is float or (type(value) is int and abs(value) < 2**1000)
    if kind is str:
        return type(value) is str and not _HALF.search(value)
    return kind in (bool, int) and type(value) is kind  # bool is an int to Python


def _annotated(
    value: Any, kind: Any, wanted: tuple[Callable[[Any], bool], ...], whole: Any, place: str
) -> Any:
    try:
        value = _check(value, kind, place)
    except _Mismatch as error:
        raise error if error.place != place else _Mismatch(place, _words(whole), value) from None
    if not all(holds(value) for holds in wanted):
        raise _Mismatch(place, _words(whole), value)
    return value


def _union(value: Any, kinds: tuple, whole: Any, place: str) -> Any:
    mismatches = []
    for kind in kinds:
        try:
            return _check(value, kind, place)
        except _Mismatch as error:
            mismatches.append(error)
    # What went wrong deepest inside says more than that no kind fits.
    deepest = max(mismatches, key=lambda error: len(error.place))
    raise deepest if deepest.place != place else _Mismatch(place, _words(whole), value)


def _tuple(value: list | tuple, kinds: tuple, whole: Any, place: str) -> tuple:
    if len(kinds) == 2 and kinds[1] is Ellipsis:
        kinds = (kinds[0],) * len(value)
    if len(value) != len(kinds):
        raise _Mismatch(place, _words(whole), value)
    pairs = enumerate(zip(value, kinds, strict=True))
    return tuple(_check(item, kind, f"{place}[{i}]") for i, (item, kind) in pairs)


def _fields(value: dict, kind: Any, place: str) -> Any:
    kinds = typing.get_type_hints(kind, include_extras=True)
    required = set(_required(kind))
    for name in kinds:
        if name in required and name not in value:
            raise _Mismatch(_join(place, name), _words(kinds[name]), _Missing())
    if typing.is_typeddict(kind):
        checked = {
            name: _check(item, kinds.get(name, Any), _join(place, name))
            for name, item in value.items()
        }
        return checked
    for name in value:
        if name not in kinds:
            raise unknown("field", _join(place, name), [_join(place, known) for known in kinds])
    return kind(**{name: _check(v, kinds[name], _join(place, name)) for name, v in value.items()})


def _required(kind: Any) -> Iterator[str]:
    if typing.is_typeddict(kind):
        yield from kind.__required_keys__
        return
    for field in dataclasses.fields(kind):
        if field.default is field.default_factory is dataclasses.MISSING:
            yield field.name


class _Missing:
    def __repr__(self) -> str:
        return "nothing"


def _join(place: str, name: str) -> str:
    name = name if name.isidentifier() else repr(name[:_SHOWN])
    return f"{place}.{name}" if place else name


def _words(kind: Any) -> str:
    """A kind in plain English."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        return " ".join([_words(arguments[0]), *map(str, arguments[1:])])
    if origin in (typing.Required, typing.NotRequired):
        return _words(arguments[0])
    if origin in (typing.Union, types.UnionType):
        return " or ".join(map(_words, arguments))
    if origin is typing.Literal:
        return " or ".join(map(repr, arguments))
    if origin is list or (origin is tuple and arguments[-1] is Ellipsis):
        return f"a list [{_words(arguments[0])}, ...]"
    if origin is tuple:
        return f"a list [{', '.join(map(_words, arguments))}]"
    names = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
    return names.get(kind, "nothing" if kind in (None, type(None)) else "an object")
