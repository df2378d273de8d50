# SPDX-License-Identifier: MIT
"""YAML that says what it was given, whoever chose the names."""

import pytest
import yaml

from keras_vit.reports.front_matter import front_matter, scalar
from keras_vit.untrusted.text import visible

HOSTILE = [
    *("yes", "No", "null", "~", "1e3", "0x1f", "1:30", "2026-01-01", "=", "<<", "", " ", "a b"),
    *(
        "a: b",
        "- a",
        "# a",
        "a #b",
        "'",
        '"',
        "\\",
        "\\x41",
        "{a: 1}",
        "[a]",
        "&a",
        "*a",
        "!!x",
    ),
    *("!!python/object/apply:os.system ['id']", "---", "...", "%YAML 1.1", "|", ">", "@a", "`a`"),
    *("a\nb: c", "a\r\n---\n", "\t", "\x00", "\x1b[2J", "\x85", "\u2028", "\u202e", "\ufeff"),
    *("\ufffe", "\uffff", "\ud800", "\U0001f600", "\U0001fffe", "\u00e9t\u00e9", "x" * 5000),
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_text_stays_that_text(text):
    written = scalar(text)
    assert "\n" not in written
    assert yaml.safe_load(f"key: {written}") == {"key": visible(text)}
    lines = front_matter({"tags": [text, {"name": text, "more": [text]}], "last": text})
    found = yaml.safe_load("\n".join(lines[1:-1]))
    seen = visible(text)
    assert found == {"tags": [seen, {"name": seen, "more": [seen]}], "last": seen}


def test_what_is_plain_stays_plain():
    values = {"license": "apache-2.0", "tags": ["a"], "value": 0.98, "count": 3, "one": True}
    lines = front_matter(values)
    assert lines[1] == "license: apache-2.0" and lines[2:4] == ["tags:", "  - a"]
    assert yaml.safe_load("\n".join(lines[1:-1])) == values
