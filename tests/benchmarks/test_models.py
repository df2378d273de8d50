# SPDX-License-Identifier: MIT
"""The tables of published models say what the catalog says."""

import re
import runpy

from keras_vit.weights.catalog import catalog
from tests.pages import ROOT

models = runpy.run_path(str(ROOT / "benchmarks" / "models.py"))


def test_the_page_is_as_it_would_be_written():
    page = models["PAGE"].read_text(encoding="utf-8")
    assert models["written"](page, models["times_of"](page)) == page


def test_the_readme_counts_them():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    published = [entry for entry in catalog().values() if entry.packaged is None]
    assert f"the {len(published)} published checkpoints" in readme


def test_the_page_shows_every_checkpoint():
    rows = models["rows_of"](models["PAGE"].read_text(encoding="utf-8"))
    assert set(rows) == set(catalog())
    assert all(re.fullmatch(r"-|[\d.]+", row[5]) for row in rows.values())
