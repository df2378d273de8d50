# SPDX-License-Identifier: MIT
"""What next, at a terminal and on a page, with names that somebody chose to do harm."""

from keras_vit.reports.next_steps import next_lines, next_table

ADVICE = {
    "rule": "weak_class",
    "evidence": "3 of 9 test images of '<b>|x' are \x1b[2Jnamed rightly",
    "remedy": "Look at [what](http://it) is taken for",
    "command": "keras-vit evaluate 'runs/a\nb'",
    "priority": 6,
}


def test_nothing_to_say():
    assert next_table({}) == next_table({"next": []}) == ""
    assert next_lines({}) == next_lines({"next": []}) == []


def test_hostile_names_are_inert():
    table = next_table({"next": [ADVICE]})
    assert table.startswith("what next:\n1. 3 of 9 test images") and "\x1b" not in table
    assert table.endswith(r"     keras-vit evaluate 'runs/a\nb'")
    page = "\n".join(next_lines({"next": [ADVICE]}))
    assert "<b>" not in page and "\\[what\\]" in page and "\x1b" not in page
    assert "\n       keras-vit evaluate" in page
