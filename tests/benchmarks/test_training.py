# SPDX-License-Identifier: MIT
"""What the benchmarks of a train step count, and the tables of how it grows, without their runs."""

import importlib
from pathlib import Path

import pytest

from keras_vit import ViTConfig

FOLDER = Path(__file__).parents[2] / "benchmarks" / "training"


@pytest.fixture
def module(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    monkeypatch.setattr("os.environ", {})  # a contender says how many threads there are
    return importlib.import_module


@pytest.mark.parametrize("name", ["Ti/16", "S/16"])
def test_operations_are_those_that_the_library_counts(name, module):
    step = module("step")
    counted = step.multiply_adds(**step.MODELS[name], batch=3)
    assert 2 * counted == 3 * ViTConfig.of(name).forward_flops()


def test_linear_growth_is_one_at_all_sizes(module, capsys):
    growth = module("growth")
    rows = {
        (axis, size): {"flops": size * 1e9, "seconds": size / 50, "megabytes": 600 + 20 * size}
        for axis, sizes in growth.AXES.items()
        for size in sizes
    }
    growth.print_steps(rows)
    printed = capsys.readouterr().out
    assert "| tokens 1,024 | 1024.0 | 20.480 | 50 | 1.00 |" in printed
    assert "an image: 20.0 MB" in printed
    rows["batch", 1]["seconds"] *= 2
    assert growth.to_linear(rows, "batch", 1) == pytest.approx(2)
