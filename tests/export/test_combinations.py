# SPDX-License-Identifier: MIT
"""Options of a model in random combinations, through the exported graph and its files."""

import numpy as np
import pytest
import tensorflow as tf

from keras_vit import UserError, ViTConfig, vit
from keras_vit.analysis import attention_maps
from keras_vit.export import open_runner, to_onnx, to_saved_model, to_tflite
from keras_vit.export.folding import fold
from keras_vit.export.forward import forward
from keras_vit.export.half import half_logits
from keras_vit.export.tensorflow_ops import TensorFlowOps
from tests.contracts import randomize, to_numpy
from tests.export.test_forward import relative
from tests.export.test_litert import graph
from tests.models.test_vit import TINY

# A value that stands twice is drawn twice as often.
VALUES = {
    "num_classes": (3, 3, 0),
    "patch_size": (4, (4, 8)),
    "class_token": (True, True, False),
    "distillation_token": (False, False, False, True),
    "register_tokens": (0, 0, 2),
    "patch_bias": (True, False),
    "patch_norm": (False, True),
    "embedding_norm": (False, True),
    "position": ("learned", "sincos2d", "none"),
    "rotary": ("none", "axial", "dinov3", "mixed"),
    "rotary_reference_grid": (None, 5),
    "relative_position_bias": (False, False, True),
    "pool": ("token", "average", "map", "token_and_average"),
    "pool_includes_prefix": (False, True),
    "pool_heads": (0, 1),
    "final_norm": (True, True, False),
    "norm_after_pool": (False, False, True),
    "representation_size": (0, 0, 12),
    "head_bias": (0.0, None),
    "layer_scale": (None, 0.3),
    "qk_norm": (False, True),
    "qkv_bias": ("all", "query_value", "none"),
    "dense_bias": (True, False),
    "attention_inner_norm": (False, True),
    "activation": ("gelu", "gelu_tanh", "quick_gelu", "silu", "relu"),
    "gated_mlp": (False, True),
    "mlp_inner_norm": (False, True),
    "norm": ("layer", "rms"),
    "norm_placement": ("before", "before", "after"),
    "norm_epsilon": (1e-6, 1e-3),
}
IMAGES = np.random.default_rng(1).integers(0, 256, (3, 16, 24, 3)).astype("float32")


def drawn(seed):
    """A configuration whose options go together."""
    random = np.random.default_rng(seed)
    while True:
        options = {name: values[random.integers(len(values))] for name, values in VALUES.items()}
        try:
            return ViTConfig.of("Ti/4", **{**TINY, **options})
        except UserError:
            pass


def slow_from(first, count):
    """Seeds, of which the first ones are tried often."""
    return [i if i < first else pytest.param(i, marks=pytest.mark.slow) for i in range(count)]


def model_of(seed):
    model = vit(drawn(seed))
    randomize(model, seed)
    return model


@pytest.mark.parametrize("seed", slow_from(4, 40))
def test_the_graph_gives_the_model_s_numbers(seed):
    model = model_of(seed)
    folded, expected = fold(model), to_numpy(model(IMAGES))
    ops, pixels = TensorFlowOps(folded.weights), tf.constant(IMAGES)
    with_attention = forward(ops, folded.config, pixels, ("logits", "attention"))
    # Weights are rounded to float32 once more, and sums run in another order.
    assert relative(with_attention["logits"].numpy(), expected) < 1e-5
    assert relative(forward(ops, folded.config, pixels)["logits"].numpy(), expected) < 1e-5
    maps = attention_maps(model, IMAGES)[-1]
    np.testing.assert_allclose(with_attention["attention"].numpy(), maps, atol=1e-5)
    # In float16 a number has 11 bits, and where no norm is last, logits are as large as the stream.
    assert relative(half_logits(folded, IMAGES), expected) < 5e-2


@pytest.mark.parametrize("seed", slow_from(1, 12))
def test_every_file_gives_the_model_s_logits(seed, tmp_path):
    model = model_of(100 + seed)
    folded, expected = fold(model), to_numpy(model(IMAGES))
    files = [to_tflite(folded, tmp_path / "m.tflite"), to_onnx(folded, tmp_path / "m.onnx")]
    assert graph(files[0])[1] == 1  # what XNNPACK takes as a whole
    for file in files:
        assert relative(open_runner(file)(IMAGES), expected) < 1e-5
    if 0 < seed < 6:  # a SavedModel takes seconds
        saved = tf.saved_model.load(str(to_saved_model(folded, tmp_path / "saved")))
        assert relative(saved.serve(tf.constant(IMAGES))["logits"].numpy(), expected) < 1e-5
