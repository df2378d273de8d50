# SPDX-License-Identifier: MIT
"""Draws docs/floors.svg: the floors that tests/test_floors.py checks, each room with the first
sentence of its docstring.

    python docs/floors.py
"""

import ast
import re
import sys
import textwrap
from html import escape
from pathlib import Path

ROOT = Path(__file__).parent.parent
WIDTH, LEFT, GAP = 960, 44, 8  # in pixels, as all lengths
LINE, NAME = 14, 18
_FONT = "font-family='system-ui, sans-serif'"


def sentence_of(room: str) -> str:
    """The first sentence of what a room says of itself."""
    house = ROOT if room == "apps" else ROOT / "keras_vit"
    path = house / room / "__init__.py"
    path = path if path.exists() else house / f"{room}.py"
    if room == "apps":
        return "Commands: flags become one call of the library."
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    text = " ".join(docstring.partition("\n\n")[0].split()).replace("`", "")
    return re.split(r"(?<=[.;]) ", text)[0].rstrip(".;:")


def drawing(floors: tuple[set[str], ...]) -> str:
    """The floors as SVG, the highest first."""
    parts, y = [], GAP
    for number, rooms in reversed(list(enumerate(floors))):
        width = (WIDTH - LEFT - GAP * len(rooms)) / len(rooms)
        texts = {room: textwrap.wrap(sentence_of(room), int(width / 6.6)) for room in sorted(rooms)}
        height = NAME + 10 + LINE * max(map(len, texts.values()))
        parts.append(
            f"<text x='{LEFT / 2}' y='{y + height / 2 + 5:.0f}' text-anchor='middle' "
            f"font-size='14' fill='#667085'>{number}</text>"
        )
        for place, (room, lines) in enumerate(texts.items()):
            parts += _box(LEFT + place * (width + GAP), y, width, height, room, lines)
        y += height + GAP
    head = f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {y}' {_FONT}>"
    title = "<title>The floors of keras_vit: imports point down</title>"
    paper = f"<rect width='{WIDTH}' height='{y}' rx='6' fill='#ffffff'/>"
    return "\n".join([head, title, paper, *parts, "</svg>", ""])


def _box(x: float, y: int, width: float, height: int, room: str, lines: list[str]) -> list[str]:
    middle = x + width / 2
    return [
        f"<rect x='{x:.1f}' y='{y}' width='{width:.1f}' height='{height}' rx='5' "
        "fill='#eef4fb' stroke='#b9cce4'/>",
        f"<text x='{middle:.1f}' y='{y + NAME}' text-anchor='middle' font-size='14' "
        f"font-weight='600' fill='#12304f'>{escape(room)}</text>",
        *(
            f"<text x='{middle:.1f}' y='{y + NAME + LINE * line}' text-anchor='middle' "
            f"font-size='11' fill='#40566e'>{escape(text)}</text>"
            for line, text in enumerate(lines, 1)
        ),
    ]


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    from tests.test_floors import FLOORS

    Path(__file__).with_suffix(".svg").write_text(drawing(FLOORS), encoding="utf-8")
