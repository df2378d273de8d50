# SPDX-License-Identifier: MIT
"""Each command on a real run, as a user types it."""

import csv
import dataclasses
import functools
import io
import json
import re
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from keras_vit import Predictor, UserError, config_of
from keras_vit.data import load
from keras_vit.export import Metadata
from keras_vit.training.objectives import classify
from tests.conftest import untraced_runs
from tests.contracts import slow_but
from tests.deploy.originals import here


@pytest.fixture(scope="module")
def photos_run(photos, tmp_path_factory, in_process):
    """A model that tells dark from light."""
    folder = tmp_path_factory.mktemp("photos_run") / "run"
    settings = ["epochs=6", "batch_size=8", "model.image_size=8", "optimizer.learning_rate=1e-2"]
    flags = [word for setting in settings for word in ("--set", setting)]
    with pytest.MonkeyPatch.context() as patch, untraced_runs():
        # `digits_run` checks its exports in processes of their own.
        patch.setattr(classify, "deliver", functools.partial(classify.deliver, runners=here()))
        result = in_process(
            *("train", photos, "--recipe", "cifar10_seed", "--debug", "--workdir", folder), *flags
        )
    assert result.code == 0, result.err
    return folder


@pytest.fixture
def digit_files(tmp_path):
    """Eight test digits as PNG files in a folder for each class."""
    images, _ = load("digits")
    for i in range(8):
        folder = tmp_path / "digits" / images.classes[images.test.labels[i]]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(images.test.pixels[i, ..., 0]).save(folder / f"{i}.png")
    return tmp_path / "digits"


def test_train_prints_the_table_alone_on_stdout(digits_run):
    _, result = digits_run
    lines = result.out.splitlines()
    assert lines[0].startswith("format") and len(lines) == 4
    assert [line.split()[0] for line in lines[1:]] == ["keras", "saved_model", "litert"]
    assert all("100 %" in line for line in lines[2:])
    assert "epoch 3/3" in result.err and "left" in result.err


def test_train_on_a_folder_learns(photos_run):
    report = json.loads((photos_run / "report.json").read_text())
    assert report["top1"] == 1.0
    assert report["data"]["classes"] == 2


NAMES = ["", "model.keras", "export/saved_model", "export/model.tflite"]


# The file of a run is found by its folder; its check after training has read the SavedModel.
@pytest.mark.parametrize("name", slow_but(["", "export/model.tflite"], NAMES))
def test_evaluate_gives_the_report_s_accuracy(digits_run, in_process, name):
    folder, _ = digits_run
    result = in_process("evaluate", folder / name, "--format", "json")
    report = json.loads((folder / "report.json").read_text())
    measured = json.loads(result.out)
    assert result.code == 0
    assert measured["images"] == 359
    assert measured["top1"] == report["top1"]
    assert measured["top5"] == report["top5"]
    assert measured["top1_interval"][0] < measured["top1"] < measured["top1_interval"][1]
    assert np.sum(measured["confusion_matrix"]) == 359
    assert [row["class"] for row in measured["per_class"]] == list("0123456789")
    assert 0 <= measured["ece"] <= 1 and 0 <= measured["macro_f1"] <= 1


def test_exports_carry_their_operations(digits_run):
    folder, _ = digits_run
    config = config_of(keras.saving.load_model(folder / "model.keras", compile=False))
    assert Metadata.read(folder / "export" / "model.tflite").flops == config.forward_flops()


def test_evaluate_on_a_folder(photos_run, photos, digit_files, in_process):
    result = in_process("evaluate", photos_run / "export/model.tflite", photos / ".." / photos.name)
    assert "top-1   100.00%" in result.out
    assert "24 images" in result.out
    assert "95 % interval" in result.out and "no class was taken for another" in result.out
    with pytest.raises(UserError, match="expected some of the 2 classes"):
        in_process("evaluate", photos_run / "export/model.tflite", digit_files)


def test_evaluate_refuses_logits_that_are_not_finite(photos_run):
    """A model that says NaN of the second image."""
    predictor = Predictor.open(photos_run / "export/model.tflite")
    logits = np.array([[0.0, 1.0], [np.nan, 0.0]], "float32")
    broken = dataclasses.replace(predictor, runner=lambda pixels: logits)
    split = load("digits")[0].test.take(np.arange(2))
    with pytest.raises(UserError, match=r"for 1 of 2 images, first train/[0-9]+"):
        broken.evaluate(split)


def test_predict_in_every_format(photos_run, photos, in_process):
    paths = [photos / "dark" / "00.png", photos / "light" / "00.png"]
    table = in_process("predict", photos_run, *paths)
    assert [line.split()[1] for line in table.out.splitlines()] == ["dark", "light"]

    text = in_process("predict", photos_run, *paths, "--format", "csv", "--top_k", "2").out
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["path"] for row in rows] == [str(path) for path in paths]
    assert [row["class_1"] for row in rows] == ["dark", "light"]
    assert float(rows[0]["score_1"]) + float(rows[0]["score_2"]) == pytest.approx(1, abs=1e-5)

    text = in_process("predict", photos_run, *paths, "--format", "jsonl").out
    rows = [json.loads(line) for line in text.splitlines()]
    assert [row["predictions"][0]["class"] for row in rows] == ["dark", "light"]


@pytest.mark.slow
def test_predictions_of_every_format_agree(photos_run, photos, in_process):
    outputs = [
        in_process("predict", photos_run / name, photos, "--format", "jsonl").out
        for name in ("", "export/saved_model", "export/model.tflite")
    ]
    rows = [[json.loads(line) for line in out.splitlines()] for out in outputs]
    assert len(rows[0]) == 24
    for other in rows[1:]:
        for a, b in zip(rows[0], other, strict=True):
            assert a["path"] == b["path"]
            assert a["predictions"][0]["class"] == b["predictions"][0]["class"]
            first, second = a["predictions"][0]["score"], b["predictions"][0]["score"]
            assert first == pytest.approx(second, abs=1e-4)  # float32 in another order


def test_predict_reads_names_from_stdin_and_goes_on_past_bad_files(
    photos_run, photos, tmp_path, keras_vit_command
):
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"<html>")
    names = [photos / "dark/00.png", bad, tmp_path / "missing.png", photos / "light/00.png"]
    result = keras_vit_command(
        *("predict", photos_run / "export/model.tflite", "-", "--format", "csv"),
        stdin="\n".join(map(str, names)) + "\n",
    )
    assert result.code == 1
    rows = list(csv.DictReader(io.StringIO(result.out)))
    assert [row["class_1"] for row in rows] == ["dark", "light"]
    assert f"{bad}: is not a readable image" in result.err
    assert "missing.png: no such file" in result.err
    assert "2 of 4 files failed" in result.err


@pytest.mark.parametrize("command", ["predict", "evaluate"])
def test_a_tflite_file_is_used_without_tensorflow(photos_run, photos, command, without_keras):
    images = {"predict": f"{photos}/*/0*.png", "evaluate": photos}[command]
    done = without_keras(command, photos_run / "export/model.tflite", images)
    assert done.code == 0, done.err
    assert len(done.out.splitlines()) == {"predict": 20, "evaluate": 11}[command]


def test_an_exported_file_stands_alone(photos_run, photos, tmp_path, in_process):
    shutil.copy(photos_run / "export/model.tflite", tmp_path / "moved.tflite")
    result = in_process("predict", tmp_path / "moved.tflite", photos / "dark/00.png")
    assert result.out.split()[1] == "dark"
    shutil.copy(photos_run / "model.keras", tmp_path / "moved.keras")
    with pytest.raises(UserError, match="nothing says its labels"):
        in_process("predict", tmp_path / "moved.keras", photos / "dark/00.png")


def test_export_checks_and_never_overwrites(photos_run, tmp_path, in_process):
    out = tmp_path / "out"
    result = in_process("export", photos_run, "--format", "litert", "--out", out)
    assert result.code == 0
    assert result.out.splitlines()[2].split()[:4] == ["litert", "100.0%", "100", "%"]
    before = (out / "model.tflite").read_bytes()
    with pytest.raises(UserError, match="never overwritten"):
        in_process("export", photos_run, "--format", "litert", "--out", out)
    assert (out / "model.tflite").read_bytes() == before
    with pytest.raises(UserError, match="Did you mean litert"):
        in_process("export", photos_run, "--format", "litrt", "--out", out)


@pytest.mark.slow
def test_export_to_onnx_and_small_numbers(photos_run, photos, tmp_path, in_process):
    out = tmp_path / "out"
    result = in_process(
        *("export", photos_run, "--format", "litert,onnx", "--out", out),
        *("--quantize", "dynamic_int8", "--max_drop", "100", "--input", "uint8"),
    )
    assert result.code == 0, result.err
    assert "litert dynamic_int8" in result.out and "noisiest layers: " in result.out
    card = json.loads((out / "quantization.json").read_text())
    assert [row["quantize"] for row in card if row["kept"]] == ["dynamic_int8"] * 2
    for name in ("model.tflite", "model.onnx"):
        found = in_process("predict", out / name, photos / "dark/00.png", photos / "light/00.png")
        assert [line.split()[1] for line in found.out.splitlines()] == ["dark", "light"]


def test_visualize(photos_run, digits_run, photos, tmp_path, in_process, monkeypatch):
    # `test_visualize_draws_what_is_asked_for` examines maps on 100 images.
    monkeypatch.setattr("keras_vit.reports.explanations.EXAM_IMAGES", 4)
    folder, _ = digits_run
    result = in_process("visualize", folder, "--out", tmp_path, "--count", "3")
    sheet, *pictures = result.out.split()
    assert len(pictures) == 3
    assert all(np.asarray(Image.open(picture)).shape == (370, 960, 4) for picture in pictures)
    names = [Path(picture).name for picture in pictures]
    assert [re.sub(r"\d+", "N", name) for name in names] == 3 * ["N-digits-example-N.png"]
    assert Path(sheet).name == "contact-sheet.png"
    again = in_process("visualize", folder, "--out", tmp_path, "--count", "3").out.split()
    assert not set(again) & set(pictures)

    bad = tmp_path / "bad.png"
    bad.write_bytes(b"")
    result = in_process("visualize", photos_run, photos / "dark/00.png", bad, "--out", tmp_path)
    assert result.code == 1
    assert [Path(path).name for path in result.out.split()] == [
        *("contact-sheet-3.png", "dark-00.png")
    ]
    assert "bad.png: is empty" in result.err
    assert "not examined: 1 of the 8 images that it takes are there" in result.err


def test_visualize_draws_what_is_asked_for(digits_run, tmp_path, in_process):
    kinds = "relevance,attention,heads,distance,positions,filters"
    result = in_process(
        "visualize", digits_run[0], "--out", tmp_path, "--count", "1", "--what", kinds
    )
    assert result.code == 0, result.err
    names = [re.sub(r"\d+", "N", Path(path).name) for path in result.out.split()]
    assert names == [
        *("contact-sheet-relevance.png", "N-digits-example-N-relevance.png"),
        *("contact-sheet-attention.png", "N-digits-example-N-attention.png"),
        *("N-digits-example-N-heads.png", "distance.png", "positions.png", "filters.png"),
    ]
    for method in ("relevance", "attention"):
        assert f"{method}: of the class's probability " in result.err
    assert "chance" in result.err and "(100 images)" in result.err
    with pytest.raises(UserError, match="Did you mean relevance"):
        in_process("visualize", digits_run[0], "--out", tmp_path, "--what", "relevanze")


@pytest.mark.slow
def test_doctor(keras_vit_command):
    result = keras_vit_command("doctor")
    assert result.code == 0
    for word in ("tensorflow", "cpu features", "free disk", "gpus", "precision"):
        assert word in result.out
    assert "Could not find cuda" not in result.err


@pytest.mark.slow
def test_a_loss_that_is_not_finite_exits_with_1(tmp_path, in_process, monkeypatch):
    def broken(objective, counts):
        return lambda labels, logits: keras.ops.sum(logits) * float("nan")

    monkeypatch.setattr(classify, "make_loss", broken)
    result = in_process("train", "--debug", "--workdir", tmp_path / "run")
    assert result.code == 1
    assert "the loss became nan at step 1." in result.err
    assert "There is no checkpoint yet" in result.err
    assert not list(tmp_path.rglob("*.keras"))
