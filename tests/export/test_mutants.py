# SPDX-License-Identifier: MIT
"""Hundreds of damaged model files: each gives logits or one line, and none takes this process with
it or holds it up."""

import shutil
import time

import numpy as np
import pytest

from keras_vit import UserError, vit
from keras_vit.export import Metadata, to_onnx, to_saved_model, to_tflite
from keras_vit.predictor import Predictor
from tests.contracts import slow_but
from tests.models.test_vit import tiny

IMAGES = np.random.default_rng(0).integers(0, 256, (2, 16, 24, 3)).astype("float32")
SECONDS = 100  # for one mutant: less than a call may take, and a SavedModel imports TensorFlow


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder, model = tmp_path_factory.mktemp("mutants"), vit(tiny())
    metadata = Metadata("tiny", ("a", "b", "c"), (16, 24), 3)
    return {
        "litert": to_tflite(model, folder / "model.tflite", metadata),
        "onnx": to_onnx(model, folder / "model.onnx", metadata),
        "saved_model": to_saved_model(model, folder / "saved_model", metadata),
    }


def mutate(contents: bytes, random: np.random.Generator, subtle: bool = False) -> bytes:
    """A few changes of the kinds that find most: other bytes, other numbers, and parts that are
    missing, swapped or written twice; `subtle` is one other byte, which a check of the structure
    often lets pass."""
    data = bytearray(contents)
    for _ in range(1 if subtle else random.integers(1, 4)):
        place, length = int(random.integers(len(data))), int(random.integers(1, 64))
        kind = random.integers(2 if subtle else 6)
        if kind == 0:
            data[place] ^= 1 << int(random.integers(8))
        elif kind == 1:
            data[place] = int(random.choice([0, 1, 0x7F, 0x80, 0xFF]))
        elif kind == 2:  # a length, an offset or an index
            place -= place % 4
            number = int(random.choice([0, 1, 2**31 - 1, 2**32 - 1, len(data), 2**16]))
            data[place : place + 4] = number.to_bytes(4, "little")
        elif kind == 3:
            del data[place : place + length]
        elif kind == 4:
            data[place:place] = data[place : place + length]
        else:
            other = int(random.integers(len(data)))
            data[place : place + length] = data[other : other + length]
    return bytes(data)


def use(path) -> str:
    """Opens a file and asks it for logits: "runs", or the line that says why not."""
    began = time.monotonic()
    try:
        predictor = Predictor.open(path)
        predictor.runner(IMAGES)
        said = "runs"
    except UserError as error:
        said = str(error)
        assert path.name in said and "\n" not in said
    assert time.monotonic() - began < SECONDS, said
    return said


@pytest.mark.slow
@pytest.mark.parametrize(("format", "count"), [("litert", 250), ("onnx", 250)])
def test_files(files, tmp_path, format, count):
    contents, said = files[format].read_bytes(), []
    # Most of a file is weights, where a change is another weight: every other mutant elsewhere.
    structure = {"litert": slice(-12_000, None), "onnx": slice(0, 6_000)}[format]
    for i in range(count):
        random = np.random.default_rng(i)
        data = contents
        if i % 2:
            part = contents[structure]
            data = contents.replace(part, mutate(part, random, subtle=True))
        path = tmp_path / files[format].name
        path.write_bytes(data if i % 2 else mutate(contents, random))
        said.append(use(path))
    assert 0.05 < said.count("runs") / count < 0.95  # neither untouched nor all refused at once


@pytest.mark.slow
def test_saved_models(files, tmp_path):
    names = ("saved_model.pb", "variables/variables.index", "assets.extra/metadata.json")
    said = []
    for i in range(30):  # each imports TensorFlow
        folder = tmp_path / "saved_model"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(files["saved_model"], folder)
        file = folder / names[i % 3]
        file.write_bytes(mutate(file.read_bytes(), np.random.default_rng(i)))
        said.append(use(folder))
    assert said.count("runs") < 30


@pytest.mark.parametrize("format", slow_but(["onnx"], ["litert", "onnx"]))
def test_a_few(files, tmp_path, format):
    for i in range(8):
        path = tmp_path / files[format].name
        path.write_bytes(mutate(files[format].read_bytes(), np.random.default_rng(1_000 + i)))
        use(path)
