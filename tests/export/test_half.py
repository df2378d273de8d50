# SPDX-License-Identifier: MIT
import dataclasses

import keras
import numpy as np
import pytest

from keras_vit import vit
from keras_vit.export import folding, open_runner, to_onnx, to_tflite
from keras_vit.export.folding import fold
from keras_vit.export.forward import forward
from keras_vit.export.half import HalfOps, half_logits
from keras_vit.export.residual import residual_scale, scaled
from keras_vit.export.tensorflow_ops import TensorFlowOps
from keras_vit.models.variables import variables_of
from tests.contracts import randomize, slow_but, to_numpy
from tests.export.test_forward import ALL
from tests.models.test_vit import tiny

IMAGES = np.random.default_rng(4).integers(0, 256, (2, 16, 24, 3)).astype("float32")


def model_of(**options):
    keras.utils.set_random_seed(0)
    model = vit(tiny(**options))
    randomize(model)
    return model


NAMES = (
    "plain",
    "average",
    "map",
    "distillation",
    "representation_size",
    "CLIP",
    "EVA-02",
    "AIMv2",
)


@pytest.mark.parametrize("name", slow_but(NAMES[::2], NAMES))
def test_float16_is_near_float32(name):
    model = model_of(**ALL[name])
    found = half_logits(fold(model), IMAGES)
    # A number of float16 has 11 bits; errors of some dozen operators add up.
    np.testing.assert_allclose(found, to_numpy(model(IMAGES)), atol=2e-2)


def with_outliers(size, **options):
    """A token with a channel of many times the size, as trained models have them.

    Its position has it, so that it is in the stream from the first block to the last.
    """
    model = model_of(**options)
    table = model.get_layer("patch_encoder").position_embedding
    values = to_numpy(table).copy()
    values[:, 2, 3] += size
    table.assign(values)
    return model


# Logits may move by this part of the distance between the images. With six seeds they moved by up
# to 0.008, and by 0.045 next to a channel of 5,000, where small numbers lose their last bits.
@pytest.mark.parametrize(
    "size, moved",
    [pytest.param(100.0, 0.02, marks=pytest.mark.slow), (1000.0, 0.02), (5000.0, 0.1)],
)
@pytest.mark.parametrize("name", ["plain", "average", "layer scale and QK-norm"])
def test_channels_of_thousands_survive(name, size, moved):
    model = with_outliers(size, **ALL[name])
    expected = to_numpy(model(IMAGES))
    distance = np.abs(expected[0] - expected[1]).max()
    assert np.abs(half_logits(fold(model), IMAGES) - expected).max() < moved * distance


@pytest.mark.parametrize("size", [0.0, 100.0, 1000.0])
def test_the_stream_is_divided_as_far_as_needed(size):
    scale = residual_scale(with_outliers(size))
    assert scale == {0.0: 1, 100.0: 1 / 2, 1000.0: 1 / 16}[size]  # 64 or less are left


def undivided(folded):
    """The same weights with the residual stream as the model has it."""
    scale, config = folded.residual_scale, folded.config
    weights = scaled(folded.weights, 1 / scale, config)
    weights = {name: np.asarray(array, "float32") for name, array in weights.items()}
    return dataclasses.replace(folded, weights=weights, residual_scale=1.0)


def test_without_the_division_it_overflows():
    """The square of a channel is above 65,504: LayerNorm then divides by infinity."""
    folded = fold(with_outliers(1000.0))
    assert np.isfinite(half_logits(folded, IMAGES)).all()
    assert not np.isfinite(half_logits(undivided(folded), IMAGES)).all()


def test_the_division_changes_no_number_of_float32():
    folded = fold(with_outliers(1000.0, **ALL["average"]))
    assert folded.residual_scale < 1
    # A power of two moves the exponent alone; the epsilon is rounded once more.
    np.testing.assert_allclose(
        logits_of(folded), logits_of(undivided(folded)), rtol=1e-6, atol=1e-7
    )


@pytest.mark.parametrize("export", [to_tflite, to_onnx])
def test_files_are_right_with_a_divided_stream(export, tmp_path):
    model = with_outliers(1000.0)
    path = export(model, tmp_path / ("m.onnx" if export is to_onnx else "m.tflite"))
    # As the exports of other models: sums run in another order.
    np.testing.assert_allclose(open_runner(path)(IMAGES), to_numpy(model(IMAGES)), atol=1e-5)


def logits_of(folded):
    return forward(TensorFlowOps(folded.weights), folded.config, IMAGES)["logits"].numpy()


# A norm inside a branch, and where it reads a channel of a thousand.
INNER = {
    "after attention": ({"norm_placement": "after"}, "attention/attention_output/bias"),
    "after the MLP": ({"norm_placement": "after"}, "mlp/output_projection/bias"),
    "of RMS, after": (
        {"norm_placement": "after", "norm": "rms", "final_norm": False},
        "attention/attention_output/bias",
    ),
    "of the joined heads": ({"attention_inner_norm": True}, "attention/value/bias"),
    "in a gated MLP": (
        {"mlp_inner_norm": True, "gated_mlp": True, "activation": "silu"},
        "mlp/hidden/bias",
    ),
    "after GELU": ({"mlp_inner_norm": True}, "mlp/hidden/bias"),
    "after quick GELU": ({"mlp_inner_norm": True, "activation": "quick_gelu"}, "mlp/hidden/bias"),
    "after ReLU": ({"mlp_inner_norm": True, "activation": "relu"}, "mlp/hidden/bias"),
    "in a pool": (
        {"pool": "map", "class_token": False, "final_norm": False},
        "pool/attention/attention_output/bias",
    ),
    "in a pool, without classes": (
        {"pool": "map", "class_token": False, "num_classes": 0},
        "pool/attention/attention_output/bias",
    ),
    "of patches": ({"patch_norm": True}, "patch_encoder/projection/bias"),
}


def with_inner_outlier(name):
    """A bias of which one number is 1,000."""
    options, path = INNER[name]
    model = model_of(**options)
    variables = variables_of(model)
    for prefix in ("", "block_00/", "block_01/"):
        if prefix + path in variables:
            variable = variables[prefix + path]
            values = to_numpy(variable).copy()
            values.flat[3] += 1000.0
            variable.assign(values)
    return model


@pytest.mark.parametrize("name", slow_but(list(INNER)[::2], INNER))
def test_what_inner_norms_read_survives(name, monkeypatch):
    model = with_inner_outlier(name)
    expected = to_numpy(model(IMAGES))
    folded = fold(model)
    monkeypatch.setattr(folding, "inner_scaled", lambda weights, *_: weights)
    undivided = fold(model)
    output = "logits" if model.config.num_classes else "features"
    found = half_outputs(folded, output)
    assert not np.isfinite(half_outputs(undivided, output)).all()
    # Next to the outlier the other channels have the bits of its size: 1,000 / 2^11.
    spread = max(1.0, np.abs(expected).max())
    assert np.isfinite(found).all() and np.abs(found - expected).max() < 0.05 * spread
    # Powers of two change no number of float32; epsilons are rounded once more.
    exact = forward(TensorFlowOps(folded.weights), model.config, IMAGES, (output,))[output]
    same = forward(TensorFlowOps(undivided.weights), model.config, IMAGES, (output,))[output]
    np.testing.assert_allclose(exact, same, rtol=1e-5, atol=1e-6)


def half_outputs(folded, output):
    with np.errstate(all="ignore"):
        return forward(HalfOps(folded.weights), folded.config, IMAGES, (output,))[output]


@pytest.mark.slow
def test_nothing_is_divided_without_need():
    """One multiplication more after GELU, and only there."""
    assert "block_00/mlp_inner/scale" in fold(with_inner_outlier("after GELU")).weights
    for name, (options, _) in INNER.items():
        plain = fold(model_of(**options)).weights
        assert not any(weight.endswith("/scale") for weight in plain), name


def test_weights_of_nan_divide_nothing():
    assert residual_scale(with_outliers(np.nan)) == 1.0
