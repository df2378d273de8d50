# SPDX-License-Identifier: MIT
import functools

import keras
import numpy as np
import pytest

from keras_vit import vit
from keras_vit.export import fold, open_runner, to_tflite
from keras_vit.export.forward import forward
from keras_vit.export.numpy_ops import NumpyOps
from keras_vit.export.quantization import signal_to_noise
from keras_vit.export.value_means import without_value_means
from tests.contracts import randomize, slow_but, to_numpy
from tests.export.test_quantization import IMAGES, needs_quantizer
from tests.models.test_vit import tiny

OPTIONS = {
    "the last block for one token": {},
    "the last block for all": {"pool": "average", "class_token": False},
    "no biases": {"qkv_bias": "none", "dense_bias": False},
    "norms after the branches": {"norm_placement": "after"},
    "keys that are normalised": {"qk_norm": True},
    "rotary": {"rotary": "axial"},
}


@functools.cache
def folded_of(name):
    keras.utils.set_random_seed(0)
    model = vit(tiny(**OPTIONS[name]))
    randomize(model)
    return fold(model)


def logits_of(folded):
    ops = NumpyOps({name: np.asarray(a, "float64") for name, a in folded.weights.items()})
    return forward(ops, folded.config, IMAGES.astype("float64"), merge=folded.merge)["logits"]


@pytest.mark.parametrize("name", OPTIONS)
def test_no_output_changes(name):
    before = folded_of(name)
    after = without_value_means(before, IMAGES)
    # The biases are rounded to float32.
    assert signal_to_noise(logits_of(before), logits_of(after)) > 120
    moved = {n for n, a in after.weights.items() if not np.array_equal(a, before.weights.get(n))}
    assert {n.split("/", 1)[1] for n in moved} == {"qkv/bias", "attention_output/bias"}


def test_merged_patches_weigh_one_together_too():
    before = folded_of("the last block for all").merging(0.4)
    after = without_value_means(before, IMAGES)
    assert after.merge == 0.4
    assert signal_to_noise(logits_of(before), logits_of(after)) > 120


def test_it_is_measured_once():
    after = without_value_means(folded_of("rotary"), IMAGES)
    assert without_value_means(after, IMAGES) is after


def test_models_that_are_left_alone():
    """Nothing between attention and the layer after it may see the constant."""
    for options in ({"attention_inner_norm": True}, {"resnet_stages": (), "patch_size": 1}):
        model = vit(tiny(**options))
        folded = fold(model)
        assert without_value_means(folded, IMAGES) is folded


@needs_quantizer
@pytest.mark.parametrize("mode", slow_but(["static_int8"], ["static_int8", "int8_io"]))
def test_int8_comes_nearer(mode, tmp_path, monkeypatch):
    """One head looks at few tokens, so that a step is 1/255, and the other at all 577 alike."""
    images = np.random.default_rng(0).integers(0, 256, (4, 96, 96, 3)).astype("float32")
    sizes = {"width": 32, "num_heads": 2, "image_size": (96, 96), "patch_size": (4, 4)}
    model = vit(tiny(**sizes, depth=1, pool="average"))
    randomize(model)
    for variable in model.variables:
        if variable.path.endswith(("attention/query/kernel", "attention/query/bias")):
            heads = to_numpy(variable).reshape(-1, 2, 16) * [[[30.0], [0.0]]]
            variable.assign(heads.reshape(variable.shape))
        if variable.path.endswith("attention/value/bias"):
            variable.assign(variable + 1.0)
    expected = to_numpy(model(images))

    def quality(name):
        path = to_tflite(model, tmp_path / name, quantize=mode, calibration=images)
        return signal_to_noise(expected, open_runner(path)(images))

    better = quality("m.tflite")
    monkeypatch.setattr("keras_vit.export.litert.without_value_means", lambda folded, _: folded)
    assert better > quality("as_before.tflite") + 10  # dB
