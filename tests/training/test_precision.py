# SPDX-License-Identifier: MIT
"""Which number format a run gets."""

import pytest

from keras_vit import ViTConfig, hardware
from keras_vit.training import precision

FASTER = {"float32": 0.2, "mixed_bfloat16": 0.1}
SLOWER = {"float32": 0.1, "mixed_bfloat16": 0.15}
AS_FAST = {"float32": 0.1, "mixed_bfloat16": 0.099}


@pytest.fixture(autouse=True)
def _cache(monkeypatch, tmp_path):
    monkeypatch.setattr(precision, "cache_folder", lambda: tmp_path)


@pytest.mark.parametrize(
    ("capabilities", "flags", "width", "measured", "expected"),
    [
        ([], {"avx512_bf16"}, 192, FASTER, "mixed_bfloat16"),
        ([], {"amx_bf16"}, 768, FASTER, "mixed_bfloat16"),
        ([], {"amx_bf16"}, 768, SLOWER, "float32"),
        ([], {"amx_bf16"}, 768, AS_FAST, "float32"),
        ([], {"avx512_bf16"}, 64, None, "float32"),
        ([], {"avx2"}, 768, None, "float32"),
        ([(8, 0)], set(), 768, None, "mixed_bfloat16"),
        ([(9, 0), (7, 5)], {"avx512_bf16"}, 768, None, "float32"),
    ],
)
def test_precision_rule(monkeypatch, capabilities, flags, width, measured, expected):
    monkeypatch.setattr(precision, "gpu_compute_capabilities", lambda: capabilities)
    monkeypatch.setattr(hardware, "cpu_flags", lambda: frozenset(flags))
    monkeypatch.setattr(precision, "try_formats", lambda *_: measured)
    config = ViTConfig(width=width, num_heads=4)
    assert precision.choose_precision("auto", config, 8) == expected
    assert precision.choose_precision("float32", config, 8) == "float32"
    assert precision.choose_precision("mixed_bfloat16", config, 8) == "mixed_bfloat16"


def test_a_trial_is_made_once_for_a_machine_and_a_shape(monkeypatch, capsys, tmp_path):
    calls = []
    monkeypatch.setattr(precision, "gpu_compute_capabilities", list)
    monkeypatch.setattr(hardware, "cpu_flags", lambda: frozenset({"amx_bf16"}))
    monkeypatch.setattr(precision, "try_formats", lambda *args: calls.append(args) or FASTER)
    for config in (ViTConfig(), ViTConfig(), ViTConfig(num_heads=6)):
        assert precision.choose_precision("auto", config, 8) == "mixed_bfloat16"
    assert len(calls) == 2
    said = capsys.readouterr().err.splitlines()
    assert [line.split(". ")[1].split()[0] for line in said] == ["Tried", "Known", "Tried"]
    assert "197 tokens x 768, CPU time of a train step: float32 200 ms, mixed_bf" in said[0]
    for damaged in ("[", '{"a": 1}', "[" * 20_000):
        (tmp_path / "precision.json").write_text(damaged)
        precision.choose_precision("auto", ViTConfig(), 8)
    assert len(calls) == 5


def test_both_formats_are_tried(monkeypatch):
    monkeypatch.setattr(precision, "_STEPS", 1)
    config = ViTConfig(image_size=32, width=192, num_heads=3, mlp_dim=384)
    images = precision.images_of_a_trial(config, 4)
    assert images == 4 and precision.images_of_a_trial(ViTConfig.of("L/16"), 512) == 1
    measured = precision.try_formats(config, images)
    assert set(measured) == set(precision.FORMATS)
    assert all(0 < seconds < 5 for seconds in measured.values())
