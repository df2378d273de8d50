# SPDX-License-Identifier: MIT
"""Blocks that are computed again for their gradient end where the others do."""

import keras
import numpy as np
import pytest

from keras_vit.layers import FeedForward, TransformerBlock, fused
from tests.contracts import randomize, slow_but, to_numpy

SHAPE = (5, 16)  # tokens, width
RATES = {"dropout": 0.2, "attention_dropout": 0.1, "stochastic_depth": 0.3}
# Operation by operation the bits are the same. TensorFlow's graph optimizer and XLA join some,
# by what else reads a number as well. A rounding of numbers of up to 4 is 2e-7 in float32; in
# bfloat16 it is 2e-2, which is why that case runs eagerly.
TOLERANCE = 1e-6


def trained(remat, policy="float32", steps=2, **compiled):
    """Losses of some steps of a block, and all its variables after them, seeds too."""
    keras.utils.set_random_seed(0)
    block = TransformerBlock(2, 24, **RATES, dtype=policy, name="block")
    block.remat = remat
    inputs = keras.Input(SHAPE)
    model = keras.Model(inputs, block(inputs))
    randomize(model)
    model.compile(keras.optimizers.SGD(0.1), "mse", **compiled)
    model.optimizer.build(model.trainable_variables)
    random = np.random.default_rng(0)
    x, y = random.normal(size=(2, 8, *SHAPE)).astype("float32")
    losses = [float(model.train_on_batch(x, y)) for _ in range(steps)]
    return losses, [to_numpy(variable) for variable in model.variables]


@pytest.mark.parametrize(
    "how",
    [
        {"jit_compile": False},
        pytest.param({"run_eagerly": True}, marks=pytest.mark.slow),
        pytest.param({"jit_compile": True}, marks=pytest.mark.slow),
        pytest.param({"policy": "mixed_bfloat16", "run_eagerly": True}, marks=pytest.mark.slow),
    ],
    ids=["graph", "eager", "xla", "half"],
)
@pytest.mark.parametrize("loops", slow_but([True], [True, False]), ids=["loops", "operations"])
def test_training_ends_where_it_does_without(how, loops, monkeypatch):
    monkeypatch.setattr(fused, "_LEAST_NUMBERS", 1 if loops else 2**62)
    (losses, plain), (again, variables) = (trained(remat, **how) for remat in (False, True))
    np.testing.assert_allclose(again, losses, rtol=TOLERANCE)
    for variable, expected in zip(variables, plain, strict=True):
        np.testing.assert_allclose(variable, expected, rtol=0, atol=TOLERANCE)


def passes(remat, monkeypatch):
    """How often the MLP of a block is called in the first train step, but for its shapes."""
    calls, call = [], FeedForward.call

    def counted(layer, x, training=None):
        calls.append(training)
        return call(layer, x, training=training)

    with monkeypatch.context() as patch:
        patch.setattr(FeedForward, "call", counted)
        trained(remat, steps=1, run_eagerly=True)
    return calls.count(True)


def test_a_train_step_has_a_second_pass(monkeypatch):
    # JAX traces both passes from one call.
    factor = 2 if keras.backend.backend() == "tensorflow" else 1
    assert passes(True, monkeypatch) == factor * passes(False, monkeypatch)


def test_it_does_not_belong_to_the_model():
    block = TransformerBlock(2, 24)
    config = block.get_config()
    block.remat = True
    assert block.get_config() == config
