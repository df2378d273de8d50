# SPDX-License-Identifier: MIT
"""YAML at the top of a Markdown page, as the Hugging Face hub reads it.

Only what a card holds: mappings, lists, text, numbers. Text of strangers becomes a scalar that no
parser of YAML 1.1 or 1.2 takes for anything but that text: within double quotes both have the
escapes of JSON (YAML 1.2.2, section 7.3.1), and what YAML forbids to stand bare is spelled out.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence

from keras_vit.untrusted.text import visible

Value = str | int | float | Sequence["Value"] | Mapping[str, "Value"]

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_./-]*")
_WORDS = {"true", "false", "yes", "no", "on", "off", "null", "y", "n"}  # no text in YAML 1.1
_FORBIDDEN = re.compile("[\ufeff\ufffe\uffff]")  # of what `visible` leaves


def front_matter(values: Mapping[str, Value]) -> list[str]:
    """The lines of a card's head, with the `---` above and below.

    Args:
        values: keys of our own, which are plain words.
    """
    return ["---", *_mapping(values), "---"]


def scalar(value: str | int | float) -> str:
    """A number, or text as one line of YAML."""
    if not isinstance(value, str):
        return json.dumps(value)
    if _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    quoted = json.dumps(visible(value), ensure_ascii=False)
    return _FORBIDDEN.sub(lambda found: f"\\u{ord(found[0]):04x}", quoted)


def _mapping(values: Mapping[str, Value]) -> Iterator[str]:
    for key, value in values.items():
        if isinstance(value, str | int | float):
            yield f"{key}: {scalar(value)}"
        else:
            yield f"{key}:"
            yield from (f"  {line}" for line in _nested(value))


def _nested(value: Sequence[Value] | Mapping[str, Value]) -> Iterator[str]:
    if isinstance(value, Mapping):
        yield from _mapping(value)
        return
    for item in value:
        lines = [scalar(item)] if isinstance(item, str | int | float) else list(_nested(item))
        yield f"- {lines[0]}"
        yield from (f"  {line}" for line in lines[1:])
