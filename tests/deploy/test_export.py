# SPDX-License-Identifier: MIT
from types import SimpleNamespace

import numpy as np
import pytest

from keras_vit import UserError, vit
from keras_vit.deploy import ExportOptions, candidates
from keras_vit.deploy import export as delivery
from keras_vit.deploy.export import export_and_check, export_run
from keras_vit.export import Metadata, open_runner
from keras_vit.export.runner import keras_runner
from keras_vit.reports import quantization_table
from tests.contracts import randomize
from tests.models.test_vit import tiny

METADATA = Metadata("tiny", ("cat", "dog", "bird"), (16, 24), 3)
IMAGES = np.random.default_rng(5).integers(0, 256, (20, 16, 24, 3)).astype("float32")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    model = vit(tiny(width=32))
    randomize(model)
    path = tmp_path_factory.mktemp("model") / "model.keras"
    model.save(path)
    return model, path


def export(model, folder, formats=("litert",), **options):
    labels = options.pop("labels", None)
    return export_and_check(
        *(*model, METADATA, folder, [IMAGES[:10], IMAGES[10:]], labels, formats),
        options=ExportOptions(**options),
        calibration=IMAGES,
    )


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.slow
def test_three_formats(model, tmp_path):
    report = export(model, tmp_path, ("saved_model", "litert", "onnx"))
    assert names(tmp_path) == ["model.onnx", "model.tflite", "saved_model"]
    for entry in report["exports"]:
        assert entry["ok"] and entry["agreement"] == 1 and entry["max_abs_diff"] < 1e-4
        assert entry["top1"] is None
    with pytest.raises(UserError, match="never overwritten"):
        export(model, tmp_path)


def test_a_rejected_file_overwrites_nothing(model, tmp_path, monkeypatch):
    monkeypatch.setattr(
        delivery, "open_runner", lambda path: lambda x: np.roll(open_runner(path)(x), 1, axis=1)
    )
    for expected in (
        ["model.tflite.rejected"],
        ["model.tflite.rejected", "model.tflite.rejected-2"],
    ):
        entry = export(model, tmp_path)["exports"][0]
        assert not entry["ok"] and "get another class" in entry["problem"]
        assert names(tmp_path) == expected


def test_a_file_without_its_weights_is_rejected(model, tmp_path, monkeypatch):
    monkeypatch.setattr(candidates, "size_in_bytes", lambda path: 1000)
    entry = export(model, tmp_path)["exports"][0]
    assert "1,000 bytes, expected" in entry["problem"]


def test_a_new_process_that_disagrees_is_noticed(model, tmp_path, monkeypatch):
    monkeypatch.setattr(
        delivery, "run_in_new_process", lambda path, images: np.full((8, 3), np.nan)
    )
    entry = export(model, tmp_path)["exports"][0]
    assert entry["problem"] == "a new process gives other logits"


def test_a_batch_that_disagrees_is_noticed(model, tmp_path, monkeypatch):
    def broken(path):
        run = open_runner(path)
        return lambda x: run(x) + (len(x) == 7)

    monkeypatch.setattr(delivery, "open_runner", broken)
    entry = export(model, tmp_path)["exports"][0]
    assert entry["problem"] == "a batch of 7 gives other logits"


def timed(int8):
    """Stands for `measure`: int8 takes so many times as long as the rest."""

    def measure(files, image_shape, seconds):
        return [SimpleNamespace(name=n, median_ms=int8 if "int8" in n else 1.0) for n in files]

    return measure


def test_auto_keeps_the_smallest_that_is_good_enough(model, tmp_path, monkeypatch):
    monkeypatch.setattr(delivery, "measure", timed(int8=1.0))
    labels = keras_runner(model[0])(IMAGES).argmax(axis=1)
    options = {"quantize": "auto", "labels": labels}
    report = export(model, tmp_path / "a", max_drop=100, **options)
    assert report["exports"][0]["quantize"] == "dynamic_int8"
    card = report["quantization"]
    assert [row["quantize"] for row in card if row["kept"]] == ["dynamic_int8"]
    rows = {row["quantize"]: row for row in card}
    assert rows["dynamic_int8"]["size_ratio"] < rows["float16"]["size_ratio"] < 1
    assert len(rows["dynamic_int8"]["worst_layers"]) == 5
    assert "noisiest layers: " in quantization_table(card)

    report = export(model, tmp_path / "b", max_drop=-1, **options)  # nothing loses less than that
    assert report["exports"][0]["quantize"] == "none"
    assert "top-1 falls by" in report["quantization"][0]["notes"][0]


def test_auto_says_what_was_refused_and_what_is_slower(model, tmp_path, monkeypatch):
    def refuse(path):
        if "float16" in path.parts:
            raise UserError("no such kernel")
        return open_runner(path)

    monkeypatch.setattr(delivery, "measure", timed(int8=2.0))
    monkeypatch.setattr(delivery, "open_runner", refuse)
    report = export(model, tmp_path, quantize="auto", max_drop=100)
    rows = {row["quantize"]: row for row in report["quantization"]}
    assert rows["dynamic_int8"]["notes"] == ["slower than float32"]
    assert rows["float16"]["notes"] == ["refused: no such kernel"]
    assert report["exports"][0]["quantize"] == "none"
    table = quantization_table(report["quantization"])
    assert "refused: no such kernel" in table and "slower than float32" in table


def test_a_mode_that_was_asked_for_and_costs_too_much_is_rejected(model, tmp_path):
    report = export(model, tmp_path, quantize="dynamic_int8", max_drop=-1)
    assert report["exports"][0]["path"] == "model.tflite.rejected"


def test_whole_numbers(model, tmp_path):
    report = export(model, tmp_path, ("litert", "onnx"), input_dtype="uint8", attention=True)
    assert all(entry["ok"] for entry in report["exports"])


def test_modes_that_do_not_exist(model, tmp_path):
    with pytest.raises(UserError, match="Did you mean float16"):
        export(model, tmp_path / "a", quantize="float-16")
    with pytest.raises(UserError, match="does not go with the format onnx"):
        export(model, tmp_path / "b", ("onnx",), quantize="float16")


def test_a_saved_model_alone_is_not_quantised(model, tmp_path):
    plan = candidates.plan
    with pytest.raises(UserError, match="--quantize auto: a SavedModel is always float32"):
        plan(["saved_model"], ExportOptions(quantize="auto"), tmp_path)
    assert len(plan(["saved_model", "onnx"], ExportOptions(quantize="auto"), tmp_path)) > 2


@pytest.mark.parametrize("inside", [".", "export", "new/folder"])
def test_a_run_takes_no_second_set_of_exports(tmp_path, inside):
    for name in ("recipe.json", "command.txt"):
        (tmp_path / name).write_text("{}")
    with pytest.raises(UserError, match=r"--out: .* belongs to the run .*outside of it"):
        export_run(tmp_path, tmp_path / inside, ["litert"])
    assert len(list(tmp_path.iterdir())) == 2
