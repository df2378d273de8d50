# SPDX-License-Identifier: MIT
import contextlib
import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest

from keras_vit import UserError, vit
from keras_vit.deploy import ExportOptions, Original, export_model
from keras_vit.export import Metadata, open_runner
from keras_vit.export.folding import fold
from keras_vit.export.runner import keras_runner
from keras_vit.reports import export_table, quantization_table
from tests.deploy.originals import METADATA, PIXELS, here, images, original_in
from tests.models.test_vit import tiny


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    return original_in(tmp_path_factory.mktemp("original"))


def export(original, folder, formats=("litert",), labels=None, runners=None, **options):
    options = ExportOptions(**options)
    return export_model(original, folder, images(labels), formats, options, runners or here())


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def timed(int8):
    """Stands for `time_files`: int8 takes so many times as long as the rest."""

    def time(files, image_shape, seconds):
        return [SimpleNamespace(name=n, median_ms=int8 if "int8" in n else 1.0) for n in files]

    return time


@pytest.fixture(scope="module")
def auto(original, tmp_path_factory):
    """Every mode that "auto" tries in three formats: the report, the folder, and which layers the
    model was asked for."""
    folder = tmp_path_factory.mktemp("auto")
    labels = keras_runner(original.model)(PIXELS).argmax(axis=1)
    fresh, asked_for = dataclasses.replace(original), []  # which has folded nothing yet
    with listening(original.model, asked_for):
        report = export(
            *(fresh, folder, ("saved_model", "litert", "onnx"), labels, here(time=timed(1.0))),
            quantize="auto",
            max_drop=100,
        )
    return SimpleNamespace(report=report, folder=folder, asked_for=asked_for)


@contextlib.contextmanager
def listening(model, asked_for):
    """Notes which layers a model is asked for by name."""
    get_layer = model.get_layer
    model.get_layer = lambda name: asked_for.append(name) or get_layer(name)
    try:
        yield
    finally:
        model.get_layer = get_layer


def test_the_weights_are_folded_once(auto, original):
    modes = {row["quantize"] for row in auto.report["quantization"]}
    assert modes == {"dynamic_int8", "static_int8", "float16", "none"}
    asked_for = []
    with listening(original.model, asked_for):
        fold(original.model)
    assert asked_for and auto.asked_for == asked_for


def test_auto_keeps_the_smallest_that_is_good_enough(auto):
    saved_model, litert, onnx = auto.report["exports"]
    assert saved_model["quantize"] == "none"
    assert litert["quantize"] == onnx["quantize"] == "dynamic_int8"
    card = auto.report["quantization"]
    assert [row["quantize"] for row in card if row["kept"]] == ["dynamic_int8"] * 2
    rows = {row["quantize"]: row for row in card if row["format"] == "litert"}
    assert rows["dynamic_int8"]["size_ratio"] < rows["float16"]["size_ratio"] < 1
    assert len(rows["dynamic_int8"]["worst_layers"]) == 5
    # Its values have lost their mean in both files, which is no noise.
    assert "block_00/qkv" not in rows["static_int8"]["worst_layers"]
    assert "noisiest layers: " in quantization_table(card)


def test_files_have_their_names_only_at_the_end(auto, original):
    assert names(auto.folder) == ["model.onnx", "model.tflite", "saved_model"]
    assert all(entry["ok"] for entry in auto.report["exports"])
    with pytest.raises(UserError, match="never overwritten"):
        export(original, auto.folder)


@pytest.mark.slow
def test_three_formats(original, tmp_path):
    report = export(original, tmp_path, ("saved_model", "litert", "onnx"))
    assert names(tmp_path) == ["model.onnx", "model.tflite", "saved_model"]
    for entry in report["exports"]:
        assert entry["ok"] and entry["agreement"] == 1 and entry["max_abs_diff"] < 1e-4
        assert entry["top1"] is None


def test_a_rejected_file_overwrites_nothing(original, tmp_path):
    def rolled(path):
        return lambda x: np.roll(open_runner(path)(x), 1, axis=1)

    for expected in (
        ["model.onnx.rejected"],
        ["model.onnx.rejected", "model.onnx.rejected-2"],
    ):
        entry = export(original, tmp_path, ("onnx",), runners=here(open=rolled))["exports"][0]
        assert not entry["ok"] and "get another class" in entry["problem"]
        assert names(tmp_path) == expected


def test_auto_says_what_was_refused_and_what_is_slower(original, tmp_path):
    def refuse(path):
        if "float16" in path.parts:
            raise UserError("no such kernel")
        return open_runner(path)

    runners = here(time=timed(2.0), open=refuse)
    options = ExportOptions("auto", max_drop=100)
    without = images(calibration=None)
    report = export_model(original, tmp_path, without, ("litert",), options, runners)
    rows = {row["quantize"]: row for row in report["quantization"]}
    (refused,) = rows["static_int8"]["notes"]
    assert refused.startswith("refused: ") and "needs real images" in refused
    assert rows["dynamic_int8"]["notes"] == ["slower than float32"]
    assert rows["float16"]["notes"] == ["refused: no such kernel"]
    assert report["exports"][0]["quantize"] == "none"
    table = quantization_table(report["quantization"])
    assert "refused: no such kernel" in table and "slower than float32" in table


def test_a_mode_that_was_asked_for_and_costs_too_much_is_rejected(original, tmp_path):
    runners = here(time=timed(1.0))
    options = {"quantize": "dynamic_int8", "max_drop": -1}
    report = export(original, tmp_path, ("onnx",), runners=runners, **options)
    assert report["exports"][0]["path"] == "model.onnx.rejected"
    assert "top-1 falls by" in report["quantization"][0]["notes"][0]


def test_merging_is_accepted_by_what_it_costs(original, tmp_path):
    options = {"labels": keras_runner(original.model)(PIXELS).argmax(axis=1), "merge": 0.3}
    runners = here(time=timed(1.0))
    report = export(original, tmp_path / "a", ("onnx",), runners=runners, max_drop=100, **options)
    (entry,), (row, plain) = report["exports"], report["quantization"]
    assert entry["ok"] and entry["merge"] == row["merge"] == 0.3 and "merge" not in plain
    assert entry["max_abs_diff"] > 1e-3 > 1e-4 > 100 - 100 * plain["agreement"]
    assert row["kept"] and not plain["kept"] and row["drop"] >= plain["drop"] == 0
    assert Metadata.read(tmp_path / "a" / "model.onnx").merge == 0.3
    assert "onnx merge 0.3" in export_table({**report, "objective": "classify"})
    assert "none merge 0.3" in quantization_table(report["quantization"])
    report = export(original, tmp_path / "b", ("onnx",), runners=runners, max_drop=-1, **options)
    assert report["exports"][0]["path"] == "model.onnx.rejected"
    assert "top-1 falls by" in report["exports"][0]["problem"]


def test_a_model_that_merging_does_not_go_with_writes_nothing(tmp_path):
    model = vit(tiny(rotary="axial"))
    other = Original(model, tmp_path / "model.keras", METADATA)
    with pytest.raises(UserError, match="merge: does not go with rotary positions"):
        export(other, tmp_path / "out", merge=0.3)
    assert not any((tmp_path / "out").iterdir())


def test_whole_numbers(original, tmp_path):
    report = export(original, tmp_path, ("litert", "onnx"), input_dtype="uint8", attention=True)
    assert all(entry["ok"] for entry in report["exports"])
