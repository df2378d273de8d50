# SPDX-License-Identifier: MIT
"""Tests stand where the code stands: `data/test_images.py` tests `keras_vit/data/images.py`.

A file that tests no module alone says in its first line what it tests.
"""

import ast
from pathlib import Path

TESTS = Path(__file__).parent
ROOT = TESTS.parent
NO_TESTS = {Path("fixtures")}  # what other programs computed, and the scripts that asked them


def code_folder(tests: Path) -> Path:
    """The folder of the code that a folder of tests is for."""
    top = tests.parts[0] if tests.parts else ""
    return ROOT / tests if top in ("apps", "benchmarks") else ROOT / "keras_vit" / tests


def test_every_folder_has_a_room():
    folders = {path.parent.relative_to(TESTS) for path in TESTS.rglob("*.py")}
    lost = [str(folder) for folder in folders - NO_TESTS if not code_folder(folder).is_dir()]
    assert not lost


def test_every_file_has_a_module_or_a_subject():
    lost = []
    for path in TESTS.rglob("test_*.py"):
        code = code_folder(path.parent.relative_to(TESTS)) / path.stem.removeprefix("test_")
        is_of_a_module = code.is_dir() or code.with_suffix(".py").is_file()
        if not is_of_a_module and not ast.get_docstring(ast.parse(path.read_text("utf-8"))):
            lost.append(path.relative_to(TESTS).as_posix())
    assert not lost
