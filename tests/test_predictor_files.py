# SPDX-License-Identifier: MIT
"""A model file from a stranger, from its opening to its classes; what ends a process is
tests/export/test_worker.py's."""

import dataclasses
import json
import os
import signal
import sys

import numpy as np
import pytest

from keras_vit import UserError, predictor, vit
from keras_vit.export import Metadata, to_onnx, to_saved_model, to_tflite, worker
from keras_vit.model_file import ModelFile
from keras_vit.predictor import Predictor
from tests.contracts import slow_but
from tests.models.test_vit import tiny

METADATA = Metadata("tiny", ("a", "b", "c"), (16, 24), 3)


@pytest.fixture(scope="module")
def model():
    return vit(tiny(depth=1))


@pytest.fixture(autouse=True)
def at_most_a_minute():
    signal.alarm(60)
    yield
    signal.alarm(0)


@pytest.mark.parametrize("name", ["model.tflite", "model.onnx", "model.keras"])
def test_a_pipe_or_a_device_is_no_model(tmp_path, name):
    os.mkfifo(tmp_path / name)
    with pytest.raises(UserError, match=rf"{name}: expected a file, received a named pipe"):
        Predictor.open(tmp_path / name)
    (tmp_path / name).unlink()
    (tmp_path / name).symlink_to("/dev/zero")
    with pytest.raises(UserError, match=rf"{name}: expected a file, received a device"):
        Predictor.open(tmp_path / name)


@pytest.mark.parametrize("write", slow_but([to_onnx], [to_tflite, to_onnx]))
def test_metadata_of_another_model_are_told(model, tmp_path, write, photos):
    suffix = {to_tflite: "tflite", to_onnx: "onnx"}[write]
    other = dataclasses.replace(METADATA, image_size=(24, 16))
    path = write(model, tmp_path / f"size.{suffix}", other)
    with pytest.raises(UserError, match=r"takes images of shape \(16, 24, 3\).*\(24, 16, 3\)"):
        Predictor.open(path)
    for labels in (("a", "b"), tuple("abcd")):
        other = dataclasses.replace(METADATA, labels=labels)
        path = write(model, tmp_path / f"{len(labels)}.{suffix}", other)
        expected = f"has 3 outputs, and its metadata name {len(labels)} classes"
        with pytest.raises(UserError, match=expected):
            list(Predictor.open(path).predict([next(photos.rglob("*.png"))]))


WRONG = {
    "labels": [[], "abc", [1, 2, 3], None, ["a", "", "c"], {"a": 1}, ["a\nb", "b", "c"]],
    "image_size": [[16], 16, [0, 24], [-16, 24], [60000, 60000], ["16", "24"], [16.5, 24], None],
    "channels": [0, 2, -3, "3", None, 3.5, True],
    "crop": [0, -1, 2, "x", None, [1], True],
    "task": ["both", 1, None, []],
    "name": [None, 3, ["tiny"]],
    "flops": ["many", [1], 1.5],
}


@pytest.mark.parametrize("field", WRONG)
def test_every_field_of_the_metadata_is_checked(tmp_path, field):
    (tmp_path / "saved_model.pb").write_bytes(b"")
    (tmp_path / "assets.extra").mkdir()
    whole = dataclasses.asdict(METADATA)
    for value in WRONG[field]:
        text = json.dumps({**whole, field: value})
        (tmp_path / "assets.extra" / "metadata.json").write_text(text, encoding="utf-8")
        with pytest.raises(UserError, match=rf"its metadata\.json: {field}"):
            Metadata.read(tmp_path)


def test_a_large_image_does_not_take_all_memory(model, tmp_path, monkeypatch, photos):
    """Fewer images then go through at a time."""
    opened = Predictor.open(to_tflite(model, tmp_path / "m.tflite", METADATA))
    sizes = []

    def run(pixels):
        sizes.append(len(pixels))
        return np.zeros((len(pixels), 3), "float32")

    opened = dataclasses.replace(opened, runner=run)
    monkeypatch.setattr(predictor, "_BATCH_BYTES", 4 * 16 * 24 * 3 * 5)
    assert len(list(opened.predict(sorted(photos.rglob("*.png"))))) == 24
    assert sizes == [5, 5, 5, 5, 4]


@pytest.mark.slow
def test_a_saved_model_runs_without_keras_here(model, tmp_path, photos):
    path = to_saved_model(model, tmp_path / "m", METADATA)
    assert not ModelFile.find(path).needs_keras
    assert Predictor.open(path).runner.input_shape == (None, 16, 24, 3)


def test_a_process_that_ends_is_one_line(model, tmp_path, monkeypatch, photos):
    """As the command says it, with the name of the file."""
    path = to_tflite(model, tmp_path / "m.tflite", METADATA)
    script = tmp_path / "dies.py"
    script.write_text("import os; os.kill(os.getpid(), 11)")
    monkeypatch.setattr(worker, "python_command", lambda module: [sys.executable, str(script)])
    with pytest.raises(UserError, match=r"m\.tflite: its process ended \(SIGSEGV\)\. The file is"):
        Predictor.open(path)
