# SPDX-License-Identifier: MIT
"""What a run's own numbers say should be done next, as text."""

import textwrap

from keras_vit.untrusted.text import markdown, visible

_WIDTH = 100


def next_table(report: dict) -> str:
    """What `keras-vit train` says at its end; "" where there is nothing to say.

    Args:
        report: contents of `report.json`.
    """
    lines = ["what next:"] if report.get("next") else []
    for number, advice in enumerate(report.get("next", ()), 1):
        text = visible(f"{number}. {advice['evidence']}. {advice['remedy']}:")
        lines += textwrap.wrap(text, _WIDTH, subsequent_indent="   ", break_on_hyphens=False)
        lines.append(f"     {visible(advice['command'])}")
    return "\n".join(lines)


def next_lines(report: dict) -> list[str]:
    """The same as a section of a page; no line where there is nothing to say."""
    if not report.get("next"):
        return []
    lines = ["## What next", ""]
    for number, advice in enumerate(report["next"], 1):
        text = f"{markdown(advice['evidence'])}. {markdown(advice['remedy'])}:"
        lines += [f"{number}. {text}", "", f"       {visible(advice['command'])}", ""]
    return lines
