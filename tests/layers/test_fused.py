# SPDX-License-Identifier: MIT
"""The loops of a train step against the operations of Keras that they stand for."""

import keras
import numpy as np
import pytest

from keras_vit import ViTConfig, vit
from keras_vit.layers import TransformerBlock, fused
from keras_vit.models.vit import blocks
from tests.contracts import randomize, slow_but, to_numpy

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="only TensorFlow's steps have such loops"
)

SHAPE = (3, 5, 16)  # images, tokens, width


@pytest.fixture(autouse=True)
def however_small(monkeypatch):
    monkeypatch.setattr(fused, "_LEAST_NUMBERS", 1)


def value_and_gradients(block, training, seed=1):
    """Of a weighted sum of the output, by tokens and weights, in the graph of a function."""
    import tensorflow as tf

    random = np.random.default_rng(seed)
    x = tf.constant(random.normal(size=SHAPE), block.compute_dtype)
    factors = tf.constant(random.normal(size=SHAPE), block.compute_dtype)

    @tf.function(autograph=False)
    def graph(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = block(x, training=training)
            loss = tf.reduce_sum(y * factors)
        weights = [weight.value for weight in block.trainable_weights]
        return y, tape.gradient(loss, [x, *weights])

    y, slopes = graph(x)
    names = ["x", *(weight.path for weight in block.trainable_weights)]
    return to_numpy(keras.ops.cast(y, "float64")), {
        name: to_numpy(keras.ops.cast(slope, "float64"))
        for name, slope in zip(names, slopes, strict=True)
    }


def made(dtype="float32", **options):
    block = TransformerBlock(2, 24, dtype=dtype, name="block", **options)
    block.build((None, *SHAPE[1:]))
    randomize(block)
    return block


def check(block, tolerance):
    (plain, expected), (y, slopes) = (value_and_gradients(block, t) for t in (False, True))
    np.testing.assert_allclose(y, plain, atol=tolerance * np.abs(plain).max())
    # Softmax is blind to what all keys share: that gradient is rounding alone.
    blind = {"block/attention/key/bias", "block/attention/key_norm/beta"}
    for name in expected.keys() - blind:
        room = tolerance * np.abs(expected[name]).max()
        np.testing.assert_allclose(slopes[name], expected[name], atol=room, err_msg=name)


OPTIONS = {
    "paper": {},
    "gated": {"norm": "rms", "activation": "silu", "mlp": {"gated": True, "inner_norm": True}},
    "gate": {"activation": "silu", "mlp": {"gated": True, "use_bias": False}},
    "after": {"norm_placement": "after", "activation": "gelu_tanh", "layer_scale": 0.5},
    "query_value": {"activation": "quick_gelu", "attention": {"qkv_bias": "query_value"}},
    "qk_norm": {"attention": {"qk_norm": True, "inner_norm": True}, "mlp": {"use_bias": False}},
    "without_bias": {"attention": {"qkv_bias": "none", "output_bias": False}},
}


@pytest.mark.parametrize("name", slow_but({"paper"}, list(OPTIONS)))
def test_values_and_gradients_are_those_of_keras(name):
    # float32 sums of up to 48 numbers of about 1, in another order: a hundred roundings of 6e-8.
    check(made(**OPTIONS[name]), 1e-5)


@pytest.mark.slow
def test_half_precision_is_as_near():
    # 8 bits: a rounding is 4e-3, and Keras rounds after each operation, a loop at its end.
    check(made("mixed_bfloat16"), 0.04)


@pytest.mark.slow
def test_gradients_are_the_slopes_of_values():
    import tensorflow as tf

    block = made("float64")
    _, slopes = value_and_gradients(block, True)
    random = np.random.default_rng(1)
    x = random.normal(size=SHAPE)
    factors = random.normal(size=SHAPE)
    along, step = np.random.default_rng(2).normal(size=SHAPE), 1e-6

    def loss(x):
        return float((to_numpy(block(tf.constant(x), training=False)) * factors).sum())

    slope = (loss(x + step * along) - loss(x - step * along)) / (2 * step)
    # Values of about 1e2 are known to 1e-14 of themselves, divided by 2e-6; curvature is step ** 2.
    assert (slopes["x"] * along).sum() == pytest.approx(slope, abs=1e-6)


def test_they_are_of_train_steps_in_graphs_alone():
    import tensorflow as tf

    x = tf.zeros(SHAPE)
    assert not fused.runs_here(x, True)  # one by one

    @tf.function(autograph=False)
    def graph(x, training):
        return fused.runs_here(x, training)

    assert graph(x, True)
    assert not graph(x, False)
    assert not graph(x, None)
    free = tf.TensorSpec((None, None, 16))
    assert not tf.function(lambda x: fused.runs_here(x, True)).get_concrete_function(free)(x)


def test_all_blocks_share_their_loops():
    import tensorflow as tf

    first, second = made(), made()

    @tf.function(autograph=False)
    def graph(x):
        return second(first(x, training=True), training=True)

    nodes = graph.get_concrete_function(tf.zeros(SHAPE)).graph.as_graph_def().node
    calls = [node.attr["f"].func.name for node in nodes if node.op.endswith("PartitionedCall")]
    # Two norms, slices of heads and an activation in each block.
    assert (len(calls), len(set(calls))) == (8, 3)


def trained(monkeypatch, loops, policy="float32", lora=False, **compiled):
    """Weights of a small model after three steps, in graphs."""
    monkeypatch.setattr(fused, "_LEAST_NUMBERS", 1 if loops else 2**62)
    keras.utils.set_random_seed(0)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        config = ViTConfig.of("mu/4", image_size=8, num_classes=3, width=16, depth=2, mlp_dim=24)
        model = vit(config)
    finally:
        keras.config.set_dtype_policy(before)
    randomize(model)
    if lora:
        blocks(model)[0].attention.query_dense.enable_lora(2)
        blocks(model)[1].mlp.hidden.enable_lora(2)
    optimizer = keras.optimizers.SGD(0.1, gradient_accumulation_steps=compiled.pop("parts", None))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, **{"jit_compile": False, **compiled})
    random = np.random.default_rng(0)
    pixels, labels = random.integers(0, 256, (12, 8, 8, 3)), random.integers(0, 3, 12)
    model.fit(pixels.astype("float32"), labels, batch_size=4, shuffle=False, verbose=0)
    return [to_numpy(weight) for weight in model.trainable_weights]


@pytest.mark.slow
@pytest.mark.parametrize(
    "how",
    [{}, {"jit_compile": True}, {"parts": 3}, {"lora": True}],
    ids=["graph", "whole_model_in_xla", "accumulation", "lora"],
)
def test_training_ends_where_that_of_keras_does(how, monkeypatch):
    for plain, weights in zip(
        *(trained(monkeypatch, loops, **how) for loops in (False, True)), strict=True
    ):
        # Gradients as in `check`, of a size of about 1, in three steps of rate 0.1.
        np.testing.assert_allclose(weights, plain, atol=1e-5)


@pytest.mark.slow
def test_training_in_half_precision_ends_near_that_of_keras(monkeypatch):
    ends = [trained(monkeypatch, loops, policy="mixed_bfloat16") for loops in (False, True)]
    for plain, weights in zip(*ends, strict=True):
        # A twentieth of gradients of about 1, in three steps of rate 0.1.
        np.testing.assert_allclose(weights, plain, atol=0.02)
