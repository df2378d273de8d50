# SPDX-License-Identifier: MIT
"""The examples run, as their docstrings say; docs/examples.md shows what they print."""

import json
import sys

import pytest

from tests.pages import ROOT, make_folder, shell

EXAMPLES = ROOT / "examples"
NOTEBOOK = EXAMPLES / "vit_from_patches.ipynb"


def test_every_example_is_listed_and_shown():
    readme = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    page = (ROOT / "docs" / "examples.md").read_text(encoding="utf-8")
    for path in [*EXAMPLES.glob("*.py"), *EXAMPLES.glob("*.ipynb")]:
        assert f"`{path.name}`" in readme
        assert f"examples/{path.name}" in page


def test_the_layers_take_some_forty_lines():
    text = (EXAMPLES / "keras_only.py").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 45


def test_notebook_is_small_and_has_run_from_top_to_bottom():
    assert NOTEBOOK.stat().st_size < 300_000
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    counts = [cell["execution_count"] for cell in cells if cell["cell_type"] == "code"]
    assert counts == list(range(1, len(counts) + 1))


@pytest.mark.slow
def test_notebook(tmp_path):
    """Its cells print what the notebook keeps."""
    make_folder(tmp_path)
    shell(f"{sys.executable} {ROOT}/tests/notebook.py --check {NOTEBOOK}", tmp_path)
