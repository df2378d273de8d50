# SPDX-License-Identifier: MIT
"""What stands on the pages of docs/ is true: examples run and print what is shown."""

import ast
import re
import runpy

import pytest

from tests.pages import ROOT, Block, Reader, blocks_of, check_output
from tests.test_floors import FLOORS

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


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    return Reader(tmp_path_factory.mktemp("pages"))


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [name for name in PAGES if any(block.is_example for block in blocks_of(page(name)))]
)
def test_examples(name, reader):
    """In the order of the page, in one folder, as a reader would go through it."""
    for block, printed in reader.read(ROOT / "docs" / name):
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
    text = "```sh\nls\n```\n\n<!-- output: numbers -->\n```text\n1\n```\n\n"
    text += "A word.\n\n```text\n2\n```\n"
    example, output, other = blocks_of(text)
    assert example.is_example and output.is_compared and not other.is_compared
    assert output.note == "output: numbers"


def names_in(path: str) -> set[str]:
    """What a file defines at its top, and the members of its classes as `Class.member`."""
    names = set()
    for node in ast.parse((ROOT / path).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
            inside = node.body if isinstance(node, ast.ClassDef) else []
            names |= {f"{node.name}.{x.name}" for x in inside if isinstance(x, ast.FunctionDef)}
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {target.id for target in targets if isinstance(target, ast.Name)}
    return names


def test_the_walks_lead_where_they_say():
    _, _, walks = page("architecture.md").partition("## Find it in two minutes")
    steps = re.findall(r"^\d\. `([^`]+)`: ((?:`[^`]+`(?:, )?)+) - ", walks, flags=re.MULTILINE)
    assert len(steps) == len(re.findall(r"^\d\. ", walks, flags=re.MULTILINE)) >= 12
    for path, names in steps:
        assert set(re.findall(r"`([^`]+)`", names)) <= names_in(path), path
    assert "Agreement.ok" in names_in("keras_vit/deploy/comparison.py")
    assert "TOLERANCE" in names_in("keras_vit/deploy/comparison.py")


def test_paths_that_pages_name_exist():
    rooted = r"`((?:keras_vit|tests|benchmarks|examples|docs|apps|\.github|\.ci|fuzz)/[\w./-]*)`"
    for name in PAGES:
        for path in re.findall(rooted, page(name)):
            assert (ROOT / path).exists(), f"{name}: {path}"


def test_the_picture_of_the_floors_is_of_today():
    drawing = runpy.run_path(str(ROOT / "docs" / "floors.py"))["drawing"]
    assert (ROOT / "docs" / "floors.svg").read_text(encoding="utf-8") == drawing(FLOORS), (
        "type `python docs/floors.py`"
    )


def test_a_page_is_run_once_and_leaves_its_runs_to_others(tmp_path):
    pages, reader = tmp_path / "pages", Reader(tmp_path)
    pages.mkdir()
    first = "```sh\nmkdir -p runs/a; echo made\n```\n\n```text\nmade\n```\n"
    (pages / "first.md").write_text(first)
    (pages / "then.md").write_text(
        "<!-- begins after first.md -->\n\n```sh\nls runs\n```\n\n```text\na\n```\n"
    )
    for name in ("then.md", "first.md"):
        ((shown_block, printed),) = reader.read(pages / name)
        check_output(shown_block, printed)
