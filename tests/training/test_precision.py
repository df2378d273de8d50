# SPDX-License-Identifier: MIT
"""Which number format a run gets."""

import pytest

from keras_vit import hardware
from keras_vit.training import precision


@pytest.mark.parametrize(
    ("capabilities", "flags", "width", "expected"),
    [
        ([], {"avx512_bf16"}, 192, "mixed_bfloat16"),
        ([], {"amx_bf16"}, 768, "mixed_bfloat16"),
        ([], {"avx512_bf16"}, 64, "float32"),
        ([], {"avx2"}, 768, "float32"),
        ([(8, 0)], set(), 768, "mixed_bfloat16"),
        ([(9, 0), (7, 5)], {"avx512_bf16"}, 768, "float32"),
    ],
)
def test_precision_rule(monkeypatch, capabilities, flags, width, expected):
    monkeypatch.setattr(precision, "gpu_compute_capabilities", lambda: capabilities)
    monkeypatch.setattr(hardware, "cpu_flags", lambda: frozenset(flags))
    assert precision.choose_precision("auto", width) == expected
    assert precision.choose_precision("float32", width) == "float32"
    assert precision.choose_precision("mixed_bfloat16", 8) == "mixed_bfloat16"
