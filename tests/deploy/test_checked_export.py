# SPDX-License-Identifier: MIT
import dataclasses
from pathlib import Path

import numpy as np
import pytest

from keras_vit import UserError
from keras_vit.deploy import CheckedExport, ExportOptions, compare
from keras_vit.deploy.checked_export import choose, plan_exports

LOGITS = np.array([[1.0, 0.0], [0.0, 2.0]], "float32")
AUTO = ExportOptions(quantize="auto")


def found(mode="none", **fields):
    """A LiteRT file after its check."""
    fields = {
        "scores": {"top1": 0.5, "top5": 1.0},
        "agreement": compare(LOGITS, LOGITS + 1e-6),
        "bytes": 1000,
        "ms_per_image": 2.0,
        **fields,
    }
    return CheckedExport("litert", mode, Path("somewhere/model.tflite"), **fields)


def test_modes_that_do_not_exist(tmp_path):
    with pytest.raises(UserError, match="Did you mean float16"):
        plan_exports(["litert"], ExportOptions(quantize="float-16"), tmp_path)
    with pytest.raises(UserError, match="does not go with the format onnx"):
        plan_exports(["onnx"], ExportOptions(quantize="float16"), tmp_path)
    with pytest.raises(UserError, match="Did you mean litert"):
        plan_exports(["litrt"], ExportOptions(), tmp_path)


def test_a_saved_model_alone_is_not_quantised(tmp_path):
    with pytest.raises(UserError, match="--quantize auto: a SavedModel is always float32"):
        plan_exports(["saved_model"], AUTO, tmp_path)
    assert len(plan_exports(["saved_model", "onnx"], AUTO, tmp_path)) > 2


def test_float32_is_made_to_compare_with(tmp_path):
    planned = plan_exports(["litert"], ExportOptions(quantize="float16"), tmp_path)
    assert [(export.name, export.wanted) for export in planned] == [
        ("litert float16", True),
        ("litert", False),
    ]
    assert len({export.path for export in planned}) == 2


def test_a_plain_file_is_made_to_compare_what_merges_with(tmp_path):
    options = ExportOptions(quantize="float16", merge=0.3)
    planned = plan_exports(["litert"], options, tmp_path)
    assert [(export.name, export.wanted, export.lossy) for export in planned] == [
        ("litert float16 merge 0.3", True, True),
        ("litert", False, False),
    ]
    planned = plan_exports(["onnx"], ExportOptions("auto", merge=0.3), tmp_path)
    assert [export.name for export in planned] == [
        "onnx dynamic_int8 merge 0.3",
        "onnx merge 0.3",
        "onnx",
    ]
    assert len({export.path for export in planned}) == 3
    assert planned[1].merge == 0.3 and not planned[1].quantized
    for wrong in ({"merge": 0.6}, {"merge": 0.3, "quantize": "int8_io"}, {"merge": -1}):
        with pytest.raises(UserError, match="merge: "):
            plan_exports(["litert"], ExportOptions(**wrong), tmp_path)


def test_auto_keeps_the_first_that_is_good_and_not_slow():
    float32, small = found(), found("dynamic_int8", ms_per_image=2.1)  # within the noise
    assert choose([small, float32], "litert", AUTO) is small
    slow = dataclasses.replace(small, ms_per_image=2.3)
    assert choose([slow, float32], "litert", AUTO) is float32
    assert choose([small.against("top-1 falls"), float32], "litert", AUTO) is float32
    assert choose([dataclasses.replace(small, refused="no"), float32], "litert", AUTO) is float32
    broken = float32.against("other logits")
    assert choose([slow, broken], "litert", AUTO) is broken


def test_a_mode_that_was_asked_for_is_handed_over_however_slow():
    float32, slow = found(wanted=False), found("float16", ms_per_image=9.0)
    assert choose([slow, float32], "litert", ExportOptions(quantize="float16")) is slow


def test_the_first_problem_is_told():
    export = found().against(None).against("one").against("another").against(None)
    assert export.problem == "one"


def test_what_the_report_says():
    report = found(gpu="not run", float16="finite").to_report()
    # What wrote a page or a program around report.json reads these names.
    assert list(report) == [
        *("format", "path", "quantize", "top1", "agreement", "max_abs_diff", "bytes"),
        *("ms_per_image", "gpu", "float16", "ok"),
    ]
    assert (report["path"], report["top1"], report["ok"]) == ("model.tflite", 0.5, True)
    several = found(scores={"map": 0.25}).to_report()
    assert several["map"] == 0.25 and "top1" not in several
    assert found(scores={"top1": None, "top5": None}).to_report()["top1"] is None


def test_a_report_has_no_infinity():
    broken = found(agreement=compare(LOGITS, LOGITS * np.nan)).against("logits that are not finite")
    report = broken.to_report()
    assert "max_abs_diff" not in report
    assert (report["ok"], report["problem"]) == (False, "logits that are not finite")


def test_what_the_card_says():
    worst = {"head": 20.123, "block_00/qkv": np.inf}
    float32 = found()
    export = found("dynamic_int8", bytes=250, ms_per_image=4.0, drop=1.0, worst_layers=worst)
    row = export.to_card(float32)
    assert list(row) == [
        *("format", "quantize", "notes", "top1", "drop", "agreement", "bytes", "ms_per_image"),
        *("logit_sqnr", "size_ratio", "latency_ratio", "worst_layers"),
    ]
    assert (row["size_ratio"], row["latency_ratio"]) == (0.25, 2.0)
    assert row["logit_sqnr"] is None  # no error at all, which JSON has no number for
    assert row["worst_layers"] == {"head": 20.12, "block_00/qkv": None}
    assert row["notes"] == ["slower than float32"]
    assert export.against("bad").to_card(float32)["notes"] == [
        "rejected: bad",
        "slower than float32",
    ]
    refused = CheckedExport("litert", "float16", Path("m.tflite"), refused="no such kernel")
    assert refused.to_card(float32) == {
        "format": "litert",
        "quantize": "float16",
        "notes": ["refused: no such kernel"],
    }
