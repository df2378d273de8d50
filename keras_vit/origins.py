# SPDX-License-Identifier: MIT
"""Where the weights of a model come from, and under which licence: what travels with them."""

import dataclasses
import functools
import json
import sys
from collections.abc import Iterable
from typing import Annotated, Any, Literal

from keras_vit.untrusted.reading import parse_json
from keras_vit.untrusted.schema import Sized, check
from keras_vit.untrusted.text import Line, visible

UNKNOWN = "unknown"  # the licence of weights of which nobody said one
_MOST = 32  # weights that a model was made of, one after the other
_Name = Annotated[str, Line(), Sized(1, 500)]
_Text = _Name | Literal[""]


@dataclasses.dataclass(frozen=True)
class Origin:
    """Weights that a model was made of.

    Attributes:
        weights: their name in the catalog, or their address.
        licence: SPDX's name of the licence, or the publisher's own word; "unknown" where none is
            known.
        terms: address of its text; of an unknown one, where to look for it.
        restriction: what it forbids or asks for, in a few words; "" for nothing but the notice of a
            free licence.
    """

    weights: _Name
    licence: _Name
    terms: _Text = ""
    restriction: _Text = ""

    def __str__(self) -> str:
        words = f"{self.weights}: licence {self.licence}"
        if self.restriction:
            words += f": {self.restriction}"
        return f"{words} ({self.terms})" if self.terms else words


def origins_of(model: object) -> tuple[Origin, ...]:
    """Those of a Keras model: none of one that keras_vit did not make."""
    return getattr(model, "origins", ())


Origins = Annotated[tuple[Origin, ...], Sized(0, _MOST)]


def joined(*chains: Iterable[Origin]) -> tuple[Origin, ...]:
    """Some chains one after the other, each origin once, the newest last."""
    return tuple(dict.fromkeys(origin for chain in chains for origin in chain))


def to_text(origins: Iterable[Origin]) -> str:
    """JSON of one line that `from_text` reads back."""
    return json.dumps([dataclasses.asdict(origin) for origin in origins])


def from_text(text: str, source: str) -> tuple[Origin, ...]:
    """Reads what `to_text` wrote, maybe in a file of a stranger.

    Args:
        text: JSON.
        source: what to call the file in messages.

    Raises:
        UserError: for anything else.
    """
    return from_values(parse_json(text, source, list[Any]), source)


def from_values(values: Any, source: str) -> tuple[Origin, ...]:
    """The same for JSON that has been read."""
    return check(values, Origins, source)


def say_restrictions(origins: Iterable[Origin]) -> None:
    """Says on standard error what licences forbid or ask for, once in a process."""
    for origin in origins:
        if origin.restriction:
            _say(visible(f"note: {origin}"))


@functools.cache
def _say(note: str) -> None:
    print(note, file=sys.stderr)
