# SPDX-License-Identifier: MIT
import importlib.util

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from keras_vit import vit
from keras_vit.export import Metadata, open_runner, operators, to_tflite
from keras_vit.export.folding import fold
from keras_vit.export.quantization import MODES, layer_signal_to_noise, signal_to_noise
from tests.contracts import randomize, slow_but, to_numpy
from tests.export.test_forward import ALL
from tests.models.test_vit import tiny

METADATA = Metadata("tiny", ("cat", "dog", "bird"), (16, 24), 3)
IMAGES = np.random.default_rng(5).integers(0, 256, (24, 16, 24, 3)).astype("float32")
needs_quantizer = pytest.mark.skipif(
    importlib.util.find_spec("litert_quantizer") is None,
    reason="the extra `quantize` is not installed",
)


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    model = vit(tiny(width=32))  # the converter leaves matrices of less than 1,024 numbers alone
    randomize(model)
    return model


@pytest.fixture(scope="module")
def float32(model, tmp_path_factory):
    return to_tflite(model, tmp_path_factory.mktemp("float32") / "m.tflite", METADATA)


# About 6 dB for each bit of a number, less what a dozen layers add to each other's errors, and more
# with one range for all tokens; a file that computes something else has 0 dB or less.
DECIBELS = {"float16": 50, "dynamic_int8": 20, "static_int8": 12, "int8_io": 10}
MODES_HERE = [
    pytest.param(mode, marks=needs_quantizer) if mode == "static_int8" else mode
    for mode in DECIBELS
]


# `test_static_int8.py` has the mode that is left out here.
@pytest.mark.parametrize(
    "mode", slow_but(["dynamic_int8", "int8_io"], [m for m in DECIBELS if m != "static_int8"])
)
def test_a_mode_is_smaller_and_close(model, float32, mode, tmp_path):
    path = to_tflite(model, tmp_path / "m.tflite", METADATA, quantize=mode, calibration=IMAGES)
    assert signal_to_noise(to_numpy(model(IMAGES)), open_runner(path)(IMAGES)) > DECIBELS[mode]
    assert Metadata.read(path) == METADATA
    assert not [name for name in operators(path) if "CUSTOM" in name]
    weights = 4 * model.count_params()
    saved = float32.stat().st_size - path.stat().st_size
    assert saved > 0.6 * (1 - MODES[mode].share) * weights  # biases and tables stay float32


def test_int8_io_takes_and_gives_integers(model, tmp_path):
    for dtype, wanted in (("float32", np.int8), ("uint8", np.uint8)):
        path = to_tflite(
            *(model, tmp_path / f"{dtype}.tflite"),
            quantize="int8_io",
            input_dtype=dtype,
            calibration=IMAGES,
        )
        interpreter = Interpreter(model_path=str(path))
        assert interpreter.get_input_details()[0]["dtype"] == wanted
        assert interpreter.get_output_details()[0]["dtype"] == np.int8


@pytest.mark.parametrize("attention", [False, True])
def test_every_layer_is_measured_by_name(model, float32, attention, tmp_path):
    layers = fold(model).dense_layers(attention)
    assert ("block_01/key" in layers) is not attention
    if attention:
        float32 = to_tflite(model, tmp_path / "float32.tflite", attention=True)
    path = to_tflite(model, tmp_path / "m.tflite", quantize="dynamic_int8", attention=attention)
    found = layer_signal_to_noise(float32, path, layers, IMAGES[:2])
    assert tuple(found) == layers
    assert all(10 < value < 70 for value in found.values())
    same = layer_signal_to_noise(float32, float32, layers, IMAGES[:1])
    assert set(same.values()) == {float("inf")}
    assert layer_signal_to_noise(float32, path, layers[1:], IMAGES[:1]) == {}


def test_signal_to_noise():
    assert signal_to_noise(np.array([10.0]), np.array([11.0])) == pytest.approx(20)
    assert signal_to_noise(np.ones(3), np.ones(3)) == float("inf")


# A product of two layers, and what is turned, fill one range for all tokens less evenly.
NEWER_DECIBELS = {**DECIBELS, "int8_io": 6}
NEWER = ("CLIP", "EVA-02", "BEiT", "AIMv2", "norms after the branches", "both pools, RMS")


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES_HERE)
@pytest.mark.parametrize("name", NEWER)
def test_every_mode_of_the_newer_options(name, mode, tmp_path):
    keras.utils.set_random_seed(0)
    model = vit(tiny(**{**ALL[name], "width": 32, "mlp_dim": 64}))
    randomize(model)
    path = to_tflite(model, tmp_path / "m.tflite", quantize=mode, calibration=IMAGES)
    found = signal_to_noise(to_numpy(model(IMAGES)), open_runner(path)(IMAGES))
    assert found > NEWER_DECIBELS[mode]
