# SPDX-License-Identifier: MIT
"""Parameters and operations of each published family, against those that PyTorch counts in timm."""

import json
from pathlib import Path

import pytest

from keras_vit.config import ViTConfig

FILE = Path(__file__).parents[1] / "fixtures" / "timm" / "counts.json"
ROWS = json.loads(FILE.read_text(encoding="utf-8"))
# timm makes these numbers in the model: relative positions by an MLP, which costs operations and
# has other parameters than the table that it makes, and positions out of a table of 16 x 16.
MADE_THERE = {"vit_relpos_base_patch16_224": 81_792, "naflexvit_base_patch16_siglip": 245_760}


@pytest.mark.parametrize("name", ROWS)
def test_parameters_and_operations_are_those_of_timm(name):
    row = ROWS[name]
    config = ViTConfig.from_dict(row["config"])
    assert config.num_parameters - row["parameters"] == MADE_THERE.get(name, 0)
    if name.startswith("vit_relpos"):
        assert config.forward_flops() == pytest.approx(row["flops"], rel=1e-3)
    else:
        assert config.forward_flops() == row["flops"]
