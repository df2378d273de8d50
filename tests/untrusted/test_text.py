# SPDX-License-Identifier: MIT
"""Words of strangers cannot steer a terminal, a page or a spreadsheet."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_vit.untrusted.text import (
    ESCAPING,
    Line,
    csv_cell,
    from_csv_cell,
    markdown,
    visible,
    visible_lines,
)

ANY_TEXT = st.text(st.characters(categories=None), max_size=30)  # surrogates too


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("cat é 日本 👨‍👩‍👧", "cat é 日本 👨‍👩‍👧"),
        ("a\x1b[2Jb", r"a\x1b[2Jb"),
        ("a\nb\r\tc\x00", r"a\nb\r\tc\x00"),
        ("gpj.\u202eexe", r"gpj.\u202eexe"),
        ("\x9b31m", r"\x9b31m"),
        ("caf\udce9", r"caf\udce9"),
    ],
)
def test_what_a_terminal_sees(text, seen):
    assert visible(text) == seen
    assert visible_lines(f"1\n{text}") == f"1\n{visible_lines(text)}"


@pytest.mark.parametrize(
    ("text", "page"),
    [
        ("runs/photos_1, 95.0 % (-1)", "runs/photos_1, 95.0 % (-1)"),
        ("<script>", r"&lt;script\>"),
        ("a|b\nc", r"a\|b\\nc"),
        ("`a` *b* _c_", r"\`a\` \*b\* \_c\_"),
        ("[x](http://a.b)", r"\[x\](http\://a.b)"),
        ("&lt;", r"&amp;lt;"),
    ],
)
def test_what_a_page_shows(text, page):
    assert markdown(text) == page.replace(r"\\n", "\\\\n")


@given(ANY_TEXT)
def test_nothing_hides(text):
    assert "\n" not in visible(text)
    assert "\x1b" not in visible(text)
    visible(text).encode("utf-8")  # nothing is left that has no bytes
    assert visible(visible(text)) == visible(text)
    cell = markdown(text)
    assert "<" not in cell
    assert "|" not in cell.replace(r"\|", "")
    text.encode("utf-8", ESCAPING)
    text.encode("ascii", ESCAPING)


@given(ANY_TEXT | ANY_TEXT.map(lambda text: "'" + text) | ANY_TEXT.map(lambda text: "=" + text))
def test_cells_come_back(text):
    assert from_csv_cell(csv_cell(text)) == text
    assert csv_cell(text)[:1] not in {*"=+-@\t\r\n"}
    file = io.StringIO()
    csv.writer(file).writerow([csv_cell(text)])


def test_bytes_of_a_file_name_are_written_as_they_are():
    assert "caf\udce9 日".encode("utf-8", ESCAPING) == b"caf\xe9 " + "日".encode()
    assert "日\ud800".encode("latin-1", ESCAPING) == rb"\u65e5\ud800"


def test_names():
    assert all(map(Line(), ("cat", "é 日本", "n01440764", "a|b", "<b>")))
    assert not any(map(Line(), ("", " ", "a\nb", "\x1b[2J", "a\u2028b", "\udce9")))
