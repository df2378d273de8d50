# SPDX-License-Identifier: MIT
"""What a run's first weights were made of, and under which licences, as lines of its page."""

from keras_vit.origins import Origin
from keras_vit.untrusted.text import markdown


def origin_lines(report: dict) -> list[str]:
    """A paragraph of Markdown, and the empty line after it; nothing for random weights.

    Args:
        report: contents of `report.json`.
    """
    origins = [Origin(**row) for row in report.get("origins", ())]
    if not origins:
        return []
    rows = [f"* {markdown(str(origin))}" for origin in origins]
    return ["Made of published weights, whose licences go with these:", "", *rows, ""]
