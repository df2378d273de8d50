# SPDX-License-Identifier: MIT
"""Each mismatch is told with its file, field, what was expected and what was received."""

import dataclasses
from typing import Annotated, Any, Literal, NotRequired, TypedDict

import pytest

from keras_vit.errors import UserError
from keras_vit.untrusted.schema import Between, Sized, check


@dataclasses.dataclass(frozen=True)
class Inner:
    rate: float
    name: str = "a"


class Outer(TypedDict):
    labels: Annotated[list[str], Sized(1, 3)]
    size: tuple[Annotated[int, Between(1, 100)], int]
    crop: NotRequired[float | None]
    task: NotRequired[Literal["single", "multi"]]
    inner: NotRequired[Inner]
    stages: NotRequired[tuple[int, ...]]
    rest: NotRequired[dict[str, list[int]]]


GOOD = {"labels": ["a"], "size": [1, 2]}


def test_values_come_back_as_their_types():
    extra = {"crop": 1, "task": "multi", "inner": {"rate": 2}, "stages": [1, 2], "new": {}}
    value = check({**GOOD, **extra}, Outer, "f")
    assert value["size"] == (1, 2)
    assert value["stages"] == (1, 2)
    assert type(value["crop"]) is float
    assert value["inner"] == Inner(2.0)
    assert value["new"] == {}
    assert check([1, {}], Any, "f") == [1, {}]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": None}, "labels: expected a list [text, ...] of length 1 to 3, received None."),
        ({"labels": []}, "labels: expected a list [text, ...] of length 1 to 3, received []."),
        ({"labels": ["a", 1]}, "labels[1]: expected text, received 1."),
        ({"labels": ["\ud800"]}, r"labels[0]: expected text, received '\ud800'."),
        ({"size": 5}, "size: expected a list [a whole number from 1 to 100, a whole number], "),
        ({"size": [1]}, "size: expected a list [a whole number from 1 to 100, a whole number], "),
        ({"size": [101, 1]}, "size[0]: expected a whole number from 1 to 100, received 101."),
        ({"size": [1, True]}, "size[1]: expected a whole number, received True."),
        ({"size": [1, 2.0]}, "size[1]: expected a whole number, received 2.0."),
        ({"crop": "x"}, "crop: expected a number or nothing, received 'x'."),
        ({"crop": 10**400}, "crop: expected a number or nothing, received 1000"),
        ({"task": 1}, "task: expected 'single' or 'multi', received 1."),
        ({"inner": {}}, "inner.rate: expected a number, received nothing."),
        ({"inner": {"rate": 1, "nme": ""}}, "unknown field 'inner.nme'. Did you mean inner.name"),
        ({"rest": {"a b": [1, None]}}, "rest.'a b'[1]: expected a whole number, received None."),
    ],
)
def test_mismatches(changes, message):
    with pytest.raises(UserError) as caught:
        check({**GOOD, **changes}, Outer, "file.json")
    assert message in str(caught.value)
    assert str(caught.value).startswith("file.json: ")


@pytest.mark.parametrize("value", [None, 1, "x", [], {}, [[]] * 100, {"labels": {}}])
def test_something_else_altogether(value):
    with pytest.raises(UserError, match=r"^file\.json: "):
        check(value, Outer, "file.json")
