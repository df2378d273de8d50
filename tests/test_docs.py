# SPDX-License-Identifier: MIT
"""What stands on the pages of docs/ is true: examples run and print what is shown."""

import re
from pathlib import Path

import pytest

from tests.pages import Block, blocks_of, check_output, make_folder, run

ROOT = Path(__file__).parent.parent
PAGES = sorted(path.name for path in (ROOT / "docs").glob("*.md"))


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def test_every_page_is_in_the_contents():
    listed = re.findall(r"^\w[\w-]*$", page("index.md"), flags=re.MULTILINE)
    assert sorted(f"{name}.md" for name in {*listed, "index"}) == PAGES


@pytest.mark.parametrize("name", PAGES)
def test_blocks_are_of_known_kinds(name):
    for block in blocks_of(page(name)):
        assert block.kind in ("sh", "python", "text"), f"{name}: {block.kind}"
        if block.kind == "text" and not block.follows:
            assert "keras-vit " not in block.text, f"{name}: hides a command\n{block.text}"


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_somewhere(name):
    for target in re.findall(r"\]\((?!https?:|#)([^)#\s]+)", page(name)):
        assert (ROOT / "docs" / target).resolve().exists(), f"{name}: {target}"


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [name for name in PAGES if any(block.is_example for block in blocks_of(page(name)))]
)
def test_examples(name, tmp_path):
    """In the order of the page, in one folder, as a reader would go through it."""
    make_folder(tmp_path)
    printed = ""
    for block in blocks_of(page(name)):
        if block.is_example:
            printed = run(block, tmp_path)
        elif block.is_compared:
            check_output(block, printed)


def shown(text: str, note: str = "") -> Block:
    return Block("text", text, note, True, (0, 0))


def test_the_comparison_itself():
    check_output(shown("a 1\nb 2\n"), "a 1\nb 2\n")
    check_output(shown("a 1\n...\nd 4\n"), "a 1\nb 2\nc 3\nd 4\n")
    check_output(shown("a  1.50 ms\n", "output: numbers"), "a 12,000 ms\n")
    check_output(shown("top-1 98.6%\n", "output: numbers within 1"), "top-1 97.9%\n")
    for wrong, printed, note in (
        ("a 1\n", "a 2\n", ""),
        ("a 1\n", "a 1\nb\n", ""),
        ("a\n...\nx\n", "a\nb\n", ""),
        ("a 1 ms\n", "a 1 s\n", "output: numbers"),
        ("top-1 98.6%\n", "top-1 97.5%\n", "output: numbers within 1"),
    ):
        with pytest.raises(AssertionError):
            check_output(shown(wrong, note), printed)


def test_what_follows_an_example_is_its_output():
    text = "```sh\nls\n```\n\n<!-- output: numbers -->\n```text\n1\n```\n\nA word.\n\n```text\n2\n```\n"
    example, output, other = blocks_of(text)
    assert example.is_example and output.is_compared and not other.is_compared
    assert output.note == "output: numbers"
