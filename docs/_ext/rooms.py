# SPDX-License-Identifier: MIT
"""The API reference: a directive that documents each public name of a room, and docstrings as we
write them.

Our rooms load their names on first use, which autodoc's member lists do not see; `dir()` does.
"""

import inspect
import re
from importlib import import_module

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


class Room(SphinxDirective):
    """`{room} keras_vit.layers` documents the room and every name of it in the order of `dir()`.

    With names after the room, those alone, in that order.
    """

    required_arguments = 1
    optional_arguments = 100

    def run(self) -> list[nodes.Node]:
        room, *chosen = self.arguments
        module = import_module(room)
        names = chosen or [name for name in dir(module) if _is_documented(module, name)]
        lines = [] if chosen else [f".. automodule:: {room}", "   :no-members:", ""]
        shown = self.env.temp_data.setdefault("rooms", [])
        for name in names:
            value = getattr(module, name)
            lines += [f".. {_kind(value)}:: {room}.{name}", *_options(value)]
            # What two rooms offer has one place to link to.
            lines += ["   :no-index:"] * (value in shown) + [""]
            shown.append(value)
        # The pages are Markdown, and so is what a directive writes into one.
        return self.parse_text_to_nodes("\n".join(["`````{eval-rst}", *lines, "`````"]))


def _is_documented(module, name: str) -> bool:
    value = getattr(module, name)
    if name.startswith("_") or not (inspect.isclass(value) or inspect.isfunction(value)):
        return False
    return value.__module__.startswith(module.__name__)


def _options(value) -> list[str]:
    """Of a class, its own methods and properties; a layer's are those that Keras calls."""
    if not inspect.isclass(value) or issubclass(value, Exception) or _is_keras(value):
        return []
    return ["   :members:"]


def _is_keras(value: type) -> bool:
    return any(base.__module__.startswith("keras.") for base in value.__mro__)


def _kind(value) -> str:
    if inspect.isclass(value):
        return "autoexception" if issubclass(value, Exception) else "autoclass"
    return "autofunction"


def _translated(app, what, name, obj, options, lines: list[str]) -> None:
    """Says in Sphinx' markup what our docstrings mean: `code` is code, an indented paragraph is a
    block of code, and "Input: ..." of a layer is a field."""
    sections = [place for place, line in enumerate(lines) if re.match(r"[A-Z]\w+:$", line)]
    head = sections[0] if sections else len(lines)
    marked = _tensors([_marked(line) for line in lines])
    lines[:] = [*_code_blocks(marked[:head]), *marked[head:]]


def _marked(line: str) -> str:
    words = re.split(r"(`[^`]+`)", line)
    words[::2] = [word.replace("|", r"\|") for word in words[::2]]
    words[1::2] = [f"`{word}`" for word in words[1::2]]
    return "".join(words)


def _tensors(lines: list[str]) -> list[str]:
    """Makes fields of the paragraphs "Input: ..." and "Output: ..."."""
    result, inside = [], False
    for line in lines:
        field = re.match(r"(Input|Output): (.*)", line)
        inside = bool(line) and (inside or field is not None)
        if field:
            line = f":{field[1]}: {field[2]}"
        elif inside:
            line = f"    {line.strip()}"
        result.append(line)
    return result


def _code_blocks(lines: list[str]) -> list[str]:
    result, inside = [], False
    for line in lines:
        if line.startswith("    ") and not inside and not (result and result[-1]):
            result += [".. code-block:: none", ""]
            inside = True
        elif line and not line.startswith(" "):
            inside = False
        result.append(line)
    return result


def _skipped(app, what, name, obj, skip: bool, options) -> bool | None:
    """Leaves out a field whose default is a function of Python's own, with Python's docstring."""
    return True if inspect.isbuiltin(obj) else None


def setup(app: Sphinx) -> dict:
    app.add_directive("room", Room)
    app.connect("autodoc-skip-member", _skipped)
    # Before napoleon, which has 500: it must find the sections as they are.
    app.connect("autodoc-process-docstring", _translated, priority=400)
    return {"parallel_read_safe": True}
