# SPDX-License-Identifier: MIT
"""A train step on JAX: its state stays on the device, and flash attention may take the heads."""

import keras
import numpy as np
import pytest

from keras_vit import ViTConfig, vit
from keras_vit.layers import Attention
from keras_vit.layers import attention as module
from keras_vit.recipes import Optimizer
from keras_vit.training.optimizers import make_optimizer

pytestmark = pytest.mark.skipif(keras.backend.backend() != "jax", reason="tells what JAX does")


def compiled_model():
    model = vit(ViTConfig.of("mu/4", image_size=8, num_classes=3, width=16, depth=1, mlp_dim=24))
    optimizer = make_optimizer(Optimizer(), 1e-3, model.trainable_variables)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, jit_compile=True)
    return model


def values(variables):
    return [variable.value for variable in variables]


def test_a_step_moves_nothing_between_host_and_device_and_gives_its_buffers_away():
    import jax

    model = compiled_model()
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (4, 8, 8, 3)).astype("float32")
    batch = jax.device_put((pixels, random.integers(0, 3, 4)))
    model.train_on_batch(*batch)  # compiles
    state = (
        *(values(model.trainable_variables), values(model.non_trainable_variables)),
        *(values(model.optimizer.variables), values(model.metrics_variables)),
    )
    with jax.transfer_guard("disallow"):
        _, after = model.train_function(state, iter([batch]))
    before, after = jax.tree.leaves(state), jax.tree.leaves(after)
    assert len(before) == len(after)
    assert all(array.is_deleted() for array in before if array.size > 1)


@pytest.mark.parametrize("bias", [False, True])
def test_keras_chooses_the_kind_of_attention(bias, monkeypatch):
    given = {}

    def recorded(*heads, **options):
        given.update(options, dtypes={str(x.dtype) for x in heads})
        return heads[0]

    monkeypatch.setattr(module.ops, "dot_product_attention", recorded)
    relative = {"grid": (2, 2), "class_token": True} if bias else None
    layer = Attention(2, relative_position_bias=relative, dtype="mixed_bfloat16")
    x = np.zeros((1, 5, 16), "float32")
    layer(x, x, training=True)
    # Flash attention of a GPU takes half precision, and no weights that somebody would look at.
    assert given["dtypes"] == {"bfloat16"}
    assert given.get("flash_attention") is None
    assert (given["bias"] is not None) == bias
