# SPDX-License-Identifier: MIT
"""Words of strangers on their way out: to a terminal, a Markdown page or a table.

Names of files and classes are chosen by whoever made them. An escape code clears the screen of a
terminal, a `|` or a line end breaks a table, `<script>` runs in a page, and a spreadsheet computes
a cell that begins with `=`.
"""

import codecs
import re

# Control characters (but for the line end), line and paragraph separators, the signs that turn the
# direction of text around, and halves of surrogate pairs: how Python holds bytes that are no UTF-8.
_INVISIBLE = "\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
_INVISIBLE += "\ud800-\udfff\ufff9-\ufffb\U000e0000-\U000e007f"
_UNSAFE_IN_LINE = re.compile(f"[\n{_INVISIBLE}]")
_UNSAFE_IN_TEXT = re.compile(f"[{_INVISIBLE}]")
# What Markdown reads as markup, GitHub's links and mentions included; `_` within a word is none.
_MARKDOWN = re.compile(r"[\\`*\[\]<>#|&~$:@]|\b_|_\b")
# What a spreadsheet takes for a formula; full-width forms are formulas in some languages.
_FORMULA = re.compile("'*[=+\\-@\t\r\n\uff0b\uff0d\uff1d\uff20]")
ESCAPING = "keras_vit.escaping"  # an error handler for output streams


def visible(text: object) -> str:
    r"""One line for a terminal: what would not be seen is spelled out, as in `a\x1b[2Jb`."""
    return _UNSAFE_IN_LINE.sub(_spelled, str(text))


def visible_lines(text: object) -> str:
    """The same for text of several lines."""
    return _UNSAFE_IN_TEXT.sub(_spelled, str(text))


def markdown(text: object) -> str:
    """Text for a Markdown page, also in a cell of a table: no markup, no HTML, no link, one line.

    Words, numbers and spaces stay as they are, so that a page reads well unrendered.
    """
    return _MARKDOWN.sub(r"\\\g<0>", visible(text)).replace("\\<", "&lt;").replace("\\&", "&amp;")


def csv_cell(text: object) -> str:
    """Text for a cell of a CSV file: a `'` in front of what a spreadsheet would compute.

    The quoting of commas and quotes is left to `csv.writer`. `from_csv_cell` is the inverse.
    """
    text = str(text)
    return f"'{text}" if _FORMULA.match(text) else text


def from_csv_cell(cell: str) -> str:
    """What `csv_cell` was given."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


class Line:
    """Whether text may name something: one line that a terminal and a file can hold as it is.

    For `keras_vit.untrusted.schema`, as in `Annotated[str, Line()]`.
    """

    def __call__(self, text: str) -> bool:
        """Whether a text fits."""
        return bool(text.strip()) and not _UNSAFE_IN_LINE.search(text)

    def __str__(self) -> str:
        return "of one line without control characters"


def _spelled(match: re.Match) -> str:
    return match[0].encode("unicode_escape").decode("ascii")


def _escaping(error: UnicodeError) -> tuple[str | bytes, int]:
    """Writes bytes of file names as they were, and spells out what an encoding does not have."""
    try:
        return codecs.lookup_error("surrogateescape")(error)
    except UnicodeEncodeError:
        return codecs.lookup_error("backslashreplace")(error)


codecs.register_error(ESCAPING, _escaping)
