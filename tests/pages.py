# SPDX-License-Identifier: MIT
"""Pages whose examples are run: README.md and docs/.

A block of `sh` or `python` on a page is an example. A block of `text` right after one is what it
prints, and is compared. Before that block a comment may say how:

    <!-- output: numbers within 0.02 -->     words are equal, each number is that near
    <!-- output: numbers -->                 words are equal, numbers are those of one machine
    <!-- output: measured with ... -->       not compared: a long run, by the command named there

A line of `...` stands for any number of lines. Before an example, `<!-- not run: why -->` leaves it
out. Each block of Python has a process of its own, as one who pastes it has. A page that has the
comment `<!-- begins after start.md -->` finds the runs of that page.

    python tests/pages.py docs/exports.md    writes what each example prints now into the page
"""

import argparse
import dataclasses
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
INSTALL = "pip install"  # these lines belong to .ci/run, which starts from an empty environment
_BLOCK = re.compile(
    r"(?:^<!-- (?P<note>[^\n]*?) -->\n+)?^```(?P<kind>\w+)\n(?P<text>.*?)^```$",
    flags=re.MULTILINE | re.DOTALL,
)
_NUMBER = re.compile(r"[-+]?\d[\d,]*\.?\d*(?:e[-+]?\d+)?")


@dataclasses.dataclass(frozen=True)
class Block:
    """A block of a page.

    Attributes:
        kind: the word after its three backticks.
        text: its lines.
        note: what the comment before it says, or "".
        follows: whether nothing but space lies between it and an example that is run.
        span: where its text stands in the page.
    """

    kind: str
    text: str
    note: str
    follows: bool
    span: tuple[int, int]

    @property
    def is_example(self) -> bool:
        told = self.note.startswith("not run:") or INSTALL in self.text
        return self.kind in ("sh", "python") and not told

    @property
    def is_compared(self) -> bool:
        return self.kind == "text" and self.follows and not self.note.startswith("output: measured")


def blocks_of(page: str) -> list[Block]:
    """The blocks of a page of Markdown, in its order."""
    found: list[Block] = []
    end = 0
    for match in _BLOCK.finditer(page):
        near = bool(found) and found[-1].is_example and not page[end : match.start()].strip()
        note = match["note"] or ""
        found.append(Block(match["kind"], match["text"], note, near, match.span("text")))
        end = match.end()
    return found


def run(block: Block, folder: Path) -> str:
    """Runs an example as its reader does; returns what it prints on standard output."""
    if block.kind == "sh":
        return shell(block.text, folder)
    (folder / "block.py").write_text(block.text, encoding="utf-8")
    return shell(f"{sys.executable} block.py", folder)


def shell(script: str, folder: Path) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euc", script],
        cwd=folder,
        env={**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "COLUMNS": "100"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def check_output(shown: Block, printed: str) -> None:
    """Raises `AssertionError` where a page shows something else than its example prints."""
    rule = shown.note.removeprefix("output: ")
    pieces = re.split(r"^\.\.\.$\n?", shown.text, flags=re.MULTILINE)
    lines = [line.rstrip() for line in printed.splitlines()]
    wanted = [[line.rstrip() for line in piece.splitlines()] for piece in pieces]
    told = f"the page shows\n{shown.text}\nand its example prints\n{printed}"
    if len(wanted) == 1:
        assert len(wanted[0]) == len(lines), told
    at = 0
    for number, piece in enumerate(wanted):
        starts = [at] if number == 0 else range(at, len(lines) - len(piece) + 1)
        for start in starts:
            if all(map(lambda a, b: _same(a, b, rule), piece, lines[start : start + len(piece)])):
                at = start + len(piece)
                break
        else:
            raise AssertionError(told)


def _same(shown: str, printed: str, rule: str) -> bool:
    if not rule.startswith("numbers"):
        return shown == printed
    words = [re.sub(r"[\s-]+", " ", _NUMBER.sub("0", line)) for line in (shown, printed)]
    if words[0] != words[1]:
        return False
    within = re.search(r"within ([\d.]+)", rule)
    numbers = [[float(x.replace(",", "")) for x in _NUMBER.findall(y)] for y in (shown, printed)]
    return within is None or all(
        abs(a - b) <= float(within[1]) for a, b in zip(*numbers, strict=True)
    )


def make_folder(folder: Path) -> Path:
    """An empty folder but for the examples of the repository, where a page begins."""
    folder.mkdir(exist_ok=True)
    (folder / "examples").symlink_to(ROOT / "examples")
    return folder


@dataclasses.dataclass
class Reader:
    """Goes through pages, one folder each, and through each page once.

    Attributes:
        scratch: where the folders are made.
        printed: of the pages that are read already, by their names; see `read`.
    """

    scratch: Path
    printed: dict[str, list[tuple[Block, str]]] = dataclasses.field(default_factory=dict)

    def read(self, path: Path) -> list[tuple[Block, str]]:
        """Runs the examples of a page in their order; returns each output that is shown, with what
        its example prints."""
        if path.name in self.printed:
            return self.printed[path.name]
        page, found, printed = path.read_text(encoding="utf-8"), [], ""
        folder = make_folder(self.scratch / path.stem)
        before = re.search(r"^<!-- begins after (\S+)\.md -->$", page, flags=re.MULTILINE)
        if before:
            self.read(path.with_name(f"{before[1]}.md"))
            shutil.copytree(self.scratch / before[1] / "runs", folder / "runs")
        for block in blocks_of(page):
            if block.is_example:
                printed = run(block, folder)
            elif block.is_compared:
                found.append((block, printed))
        self.printed[path.name] = found
        return found


def rewrite(path: Path, reader: Reader) -> None:
    """Runs a page and writes what its examples print into it."""
    page, replaced = path.read_text(encoding="utf-8"), []
    for block, printed in reader.read(path):
        try:
            check_output(block, printed)
        except AssertionError:
            replaced.append((block.span, printed))
    for (start, end), text in reversed(replaced):
        text = "".join(f"{line.rstrip()}\n" for line in text.splitlines())
        page = page[:start] + text + page[end:]
    path.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    os.environ["KERAS_VIT_PROGRESS"] = "off"
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pages", nargs="+", type=Path)
    with tempfile.TemporaryDirectory() as scratch:
        reader = Reader(Path(scratch))
        for page in parser.parse_args().pages:
            rewrite(page, reader)
