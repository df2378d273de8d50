# SPDX-License-Identifier: MIT
"""Token merging in the exported graph, compared with the method as its paper has it: sorting and
taking by index, one image at a time."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_vit import UserError, vit
from keras_vit.export import gpu, open_runner, to_onnx, to_saved_model, to_tflite
from keras_vit.export.folding import fold
from keras_vit.export.forward import forward
from keras_vit.export.half import half_logits
from keras_vit.export.merging import patches_after
from keras_vit.export.numpy_ops import NumpyOps
from keras_vit.export.quantization import signal_to_noise
from keras_vit.models.variables import variables_of
from tests.contracts import randomize, slow_but, to_numpy
from tests.export.test_forward import relative
from tests.export.test_gpu import on_a_gpu
from tests.export.test_litert import graph
from tests.models.test_vit import tiny

SHARE = 0.4
# The reference knows ReLU alone, which NumPy and every format compute alike.
MODELS = {
    "class token": {},
    "an odd number of patches": {"image_size": (20, 20), "register_tokens": 2},
    "distillation": {"distillation_token": True},
    "average": {"pool": "average", "class_token": False},
    "average of all": {"pool": "average", "pool_includes_prefix": True},
    "average, odd and alone": {"pool": "average", "class_token": False, "image_size": (12, 20)},
}


_OFTEN = ("an odd number of patches", "average, odd and alone")


@functools.cache
def model_of(name="class token", **options):
    """A model whose tokens are told apart: two that are equally alike but for 0.1 % are divided
    among both by the graph, which came about in 3 of 203 images of one of these models."""
    keras.utils.set_random_seed(0)
    options = {**MODELS[name], **options}
    model = vit(tiny(**{"depth": 4, "activation": "relu", **options}))
    randomize(model)
    return model


def images_for(config):
    shape = (3, *config.image_size, config.channels)
    return np.random.default_rng(7).integers(0, 256, shape).astype("float32")


def graph_logits(folded, images):
    return forward(NumpyOps(folded.weights), folded.config, images, merge=folded.merge)["logits"]


class Reference:
    """A model with token merging, in float64."""

    def __init__(self, model, share):
        self.config, self.left = model.config, patches_after(model.config, share)
        self.weights = {k: to_numpy(v).astype("float64") for k, v in variables_of(model).items()}
        self.tokens = type(model)(model.input, model.get_layer("patch_encoder").output)

    def logits(self, images):
        return np.stack([self._of_one(x) for x in to_numpy(self.tokens(images)).astype("float64")])

    def _of_one(self, x):
        sizes = np.ones(len(x))
        for i, left in enumerate(self.left):
            name = f"block_{i:02d}"
            branch, keys = self._attention(self._norm(x, f"{name}/attention_norm"), sizes, name)
            x = x + branch
            x, sizes = self._merge(x, sizes, keys, left)
            hidden = self._dense(self._norm(x, f"{name}/mlp_norm"), f"{name}/mlp/hidden")
            x = x + self._dense(np.maximum(hidden, 0), f"{name}/mlp/output_projection")
        x = self._norm(x, "encoder_norm")
        if self.config.pool == "average":
            start = self.config.pooled_from
            return self._dense(np.average(x[start:], axis=0, weights=sizes[start:]), "head")
        if self.config.distillation_token:
            return (self._dense(x[0], "head") + self._dense(x[1], "distillation_head")) / 2
        return self._dense(x[0], "head")

    def _attention(self, x, sizes, name):
        query, key, value = (
            np.einsum("td,dhe->hte", x, self.weights[f"{name}/attention/{part}/kernel"])
            + self.weights[f"{name}/attention/{part}/bias"][:, None]
            for part in ("query", "key", "value")
        )
        scores = query @ key.transpose(0, 2, 1) / np.sqrt(query.shape[-1]) + np.log(sizes)
        scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
        y = scores / scores.sum(axis=-1, keepdims=True) @ value
        kernel = self.weights[f"{name}/attention/attention_output/kernel"]
        bias = self.weights[f"{name}/attention/attention_output/bias"]
        return np.einsum("hte,hed->td", y, kernel) + bias, key.mean(axis=0)

    def _merge(self, x, sizes, keys, left):
        prefix = self.config.num_prefix_tokens
        start = prefix + (len(x) - prefix) % 2  # of an odd number the first patch stays alone
        count = len(x) - prefix - left
        first, second = np.arange(start, len(x), 2), np.arange(start + 1, len(x), 2)
        unit = keys / np.linalg.norm(keys, axis=1, keepdims=True)
        similar = unit[first] @ unit[second].T
        order = np.argsort(-similar.max(axis=1))
        sums, counts = x * sizes[:, None], sizes.copy()
        for i in order[:count]:
            partner = second[similar[i].argmax()]
            sums[partner] += sums[first[i]]
            counts[partner] += counts[first[i]]
        chosen = [*range(start), *first[order[count:]], *second]
        return (sums / counts[:, None])[chosen], counts[chosen]

    def _norm(self, x, name):
        x = x - x.mean(axis=-1, keepdims=True)
        x = x / np.sqrt(np.square(x).mean(axis=-1, keepdims=True) + self.config.norm_epsilon)
        return x * self.weights[f"{name}/gamma"] + self.weights[f"{name}/beta"]

    def _dense(self, x, name):
        return x @ self.weights[f"{name}/kernel"] + self.weights[f"{name}/bias"]


@pytest.mark.parametrize("name", slow_but(_OFTEN, MODELS))
def test_the_graph_merges_as_the_paper_does(name):
    model = model_of(name)
    images, folded = images_for(model.config), fold(model)
    expected = Reference(model, SHARE).logits(images)
    assert relative(graph_logits(folded.merging(SHARE), images), expected) < 1e-5  # float32
    # The reference without merging is the model, and merging does change something.
    assert relative(Reference(model, 0.0).logits(images), to_numpy(model(images))) < 1e-5
    assert relative(to_numpy(model(images)), expected) > 1e-3


def test_half_of_all_patches_merge_at_once():
    model = model_of(depth=2)
    images, folded = images_for(model.config), fold(model).merging(0.5)
    assert patches_after(model.config, 0.5) == (12, 12)  # none of the first set stays
    assert relative(graph_logits(folded, images), Reference(model, 0.5).logits(images)) < 1e-5


@pytest.mark.parametrize(
    "pool", slow_but(("map",), ("token", "average", "map", "token_and_average"))
)
def test_equal_patches_merge_without_a_trace(pool):
    """All are equally similar, so that this is about ties too: the sizes say how many there are."""
    model = model_of(pool=pool, position="none", qk_norm=pool == "map")
    images = np.full((2, 16, 24, 3), [200.0, 90.0, 30.0], "float32") * [[[[1.0]]], [[[0.5]]]]
    found = graph_logits(fold(model).merging(SHARE), images)
    assert relative(found, to_numpy(model(images))) < 1e-5


def test_a_share_of_nothing_is_the_plain_graph():
    model = model_of("average, odd and alone")
    folded, images = fold(model), images_for(model.config)
    assert folded.merging(SHARE).merging(0.0) == folded
    assert (graph_logits(folded.merging(0.0), images) == graph_logits(folded, images)).all()


@pytest.mark.slow
def test_float16_merges_the_same_patches():
    model = model_of()
    images, folded = images_for(model.config), fold(model).merging(SHARE)
    # Patches that are nearly as similar as others may be merged into those.
    np.testing.assert_allclose(half_logits(folded, images), graph_logits(folded, images), atol=2e-2)


@pytest.mark.parametrize("name", slow_but(_OFTEN[:1], MODELS))
def test_files_merge_as_the_paper_does(name, tmp_path):
    model = model_of(name)
    images, folded = images_for(model.config), fold(model).merging(SHARE)
    expected = Reference(model, SHARE).logits(images)
    litert, onnx = to_tflite(folded, tmp_path / "m.tflite"), to_onnx(folded, tmp_path / "m.onnx")
    for path in (litert, onnx):
        assert relative(open_runner(path)(images), expected) < 1e-5
    assert graph(litert)[1] == 1  # nothing that XNNPACK leaves out


@pytest.mark.slow
@pytest.mark.parametrize("quantize", ["float16", "dynamic_int8", "static_int8"])
def test_modes_that_go_with_merging(quantize, tmp_path):
    """With fewer bits patches that are nearly as alike may be merged instead: measured 53.3 to 53.1
    dB, 30.8 to 28.2 dB and 21.5 to 15.6 dB."""
    model = model_of(width=64, mlp_dim=96)
    images, folded = images_for(model.config), fold(model)
    decibels = []
    for share in (0.0, SHARE):
        path = tmp_path / f"{share}.tflite"
        to_tflite(folded.merging(share), path, quantize=quantize, calibration=images)
        assert graph(path)[1] == 1
        expected, found = Reference(model, share).logits(images), open_runner(path)(images)
        decibels.append(signal_to_noise(expected, found))
    assert decibels[1] > max(15, decibels[0] - 8)  # 15 is the least of `same_logits`


@pytest.mark.slow
def test_a_saved_model_and_a_dynamic_batch_merge_too(tmp_path):
    model = model_of()
    images, folded = images_for(model.config), fold(model).merging(SHARE)
    expected = Reference(model, SHARE).logits(images)
    loaded = tf.saved_model.load(str(to_saved_model(folded, tmp_path / "saved")))
    assert relative(loaded.signatures["serve"](tf.constant(images))["logits"], expected) < 1e-5
    assert "attention" not in loaded.signatures
    run = open_runner(to_tflite(folded, tmp_path / "m.tflite", batch=None))
    assert relative(run(images), expected) < 1e-5
    assert relative(run(images[:1]), expected[:1]) < 1e-5


@on_a_gpu
@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_a_gpu_merges_the_same_patches(name, tmp_path):
    model = model_of(name)
    path = to_tflite(fold(model).merging(SHARE), tmp_path / "m.tflite")
    images = images_for(model.config)
    found = gpu.run_on_gpu(path, images)
    assert found.reason is None
    assert relative(found.logits, open_runner(path)(images)) < 1e-5


def test_files_that_merging_does_not_go_with(tmp_path):
    folded = fold(model_of(_OFTEN[0])).merging(SHARE)
    with pytest.raises(UserError, match="merge: does not go with attention"):
        to_tflite(folded, tmp_path / "m.tflite", attention=True)
    with pytest.raises(UserError, match="merge: does not go with attention"):
        to_onnx(folded, tmp_path / "m.onnx", attention=True)
    with pytest.raises(UserError, match="merge: does not go with quantize='int8_io'"):
        to_tflite(
            *(folded, tmp_path / "m.tflite"), quantize="int8_io", calibration=images_for(tiny())
        )
    assert not list(tmp_path.iterdir())
