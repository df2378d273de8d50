# SPDX-License-Identifier: MIT
"""The table of published models says what the catalog says."""

import re
import runpy

from tests.pages import ROOT

models = runpy.run_path(str(ROOT / "benchmarks" / "models.py"))


def test_the_page_shows_every_checkpoint_with_its_facts():
    page = (ROOT / "docs" / "which-model.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines()]
    rows = [row for row in rows if len(row) == 8 and row[0].startswith("`")]
    times = {}
    for row, (name, entry) in zip(rows, models["worth_showing"]().items(), strict=True):
        assert row[:5] + row[6:] == models["facts"](name, entry)
        assert re.fullmatch(r"-|[\d.]+", row[5])
        assert times.setdefault((entry.model, entry.image_size), row[5]) == row[5]
    assert models["HEADER"] in page
