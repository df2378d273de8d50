# SPDX-License-Identifier: MIT
import functools
import sys

import keras
import numpy as np
import pytest

from keras_vit import UserError, vit
from keras_vit.export import Metadata, open_runner, to_tflite
from keras_vit.export.graph import read_graph
from keras_vit.export.quantization import signal_to_noise
from tests.contracts import randomize, to_numpy
from tests.export.test_litert import graph
from tests.export.test_quantization import DECIBELS, IMAGES, METADATA, needs_quantizer
from tests.models.test_vit import tiny

ATTENTION = {
    "class token": {},
    "keys that are normalised": {"qk_norm": True, "pool": "average"},
}


@functools.cache
def model_of(name="class token"):
    keras.utils.set_random_seed(0)
    model = vit(tiny(**{"width": 32, **ATTENTION[name]}))
    randomize(model)
    return model


def products_of(path):
    """Products of attention of all tokens."""
    found = [o for o in read_graph(path).operators if o.kind == "BATCH_MATMUL"]
    return [o for o in found if len(o.outputs[0].shape) == 4]


@needs_quantizer
def test_dense_layers_and_attention_are_int8(tmp_path):
    model = model_of()
    path = to_tflite(
        model, tmp_path / "m.tflite", METADATA, quantize="static_int8", calibration=IMAGES
    )
    assert (
        signal_to_noise(to_numpy(model(IMAGES)), open_runner(path)(IMAGES))
        > (DECIBELS["static_int8"])
    )
    assert Metadata.read(path) == METADATA
    kernels = [o.inputs[1] for o in read_graph(path).operators if o.kind == "FULLY_CONNECTED"]
    assert all(kernel.dtype == np.int8 for kernel in kernels if kernel.values.size >= 1024)
    products = products_of(path)
    assert len(products) == 2 * (model.config.depth - 1)  # the last block computes one token
    for scores, values in zip(products[::2], products[1::2], strict=True):
        for tensor in (*scores.inputs, *scores.outputs, *values.inputs, *values.outputs):
            assert tensor.dtype == np.int8
        # XNNPACK takes no other second factor, and what is moved has one range.
        query, key, value = (*scores.inputs, values.inputs[1])
        assert query.zero_point == key.zero_point == value.zero_point == 0
        assert query.scale == key.scale == value.scale
        assert values.inputs[0].zero_point == -128  # of numbers that are 0 or more
    moves = [o for o in read_graph(path).operators if o.kind == "SPLIT"]
    assert {tensor.dtype for o in moves for tensor in o.outputs} == {np.dtype("int8")}
    assert graph(path)[1] == 1


@pytest.mark.slow
@needs_quantizer
def test_what_is_computed_between_is_float(tmp_path):
    model = model_of("keys that are normalised")
    path = to_tflite(model, tmp_path / "m.tflite", quantize="static_int8", calibration=IMAGES)
    assert (
        signal_to_noise(to_numpy(model(IMAGES)), open_runner(path)(IMAGES))
        > (DECIBELS["static_int8"])
    )
    products = products_of(path)
    assert len(products) == 2 * model.config.depth
    assert all(o.inputs[1].zero_point == 0 for o in products)
    moves = [o for o in read_graph(path).operators if o.kind == "SPLIT"]
    assert {tensor.dtype for o in moves for tensor in o.outputs} == {np.dtype("float32")}
    assert graph(path)[1] == 1


def test_static_int8_without_its_package(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "litert_quantizer", None)
    with pytest.raises(UserError, match=r"pip install 'keras-vit-toolkit\[quantize\]'"):
        to_tflite(model_of(), tmp_path / "m.tflite", quantize="static_int8", calibration=IMAGES)
    assert not list(tmp_path.iterdir())
