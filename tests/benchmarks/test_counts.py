# SPDX-License-Identifier: MIT
"""The table of what families have and cost is today's."""

import importlib
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "benchmarks"


def test_the_table_is_what_the_script_writes(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    assert (FOLDER / "counts.md").read_text() == importlib.import_module("counts").table()
