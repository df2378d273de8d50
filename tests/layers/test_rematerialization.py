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


def as_it_runs(step, *arguments):
    """The graph of a function after TensorFlow's optimizer, which no public name returns."""
    from tensorflow.python.eager import context

    context.context().enable_run_metadata()
    try:
        step(*arguments)
        graphs = context.context().export_run_metadata().function_graphs
    finally:
        context.context().disable_run_metadata()
    return max((each.post_optimization_graph for each in graphs), key=lambda graph: len(graph.node))


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="of TensorFlow's graph optimizer, not of JAX"
)
@pytest.mark.parametrize("remat", [False, True], ids=["plain", "remat"])
def test_no_variable_is_read_after_its_update(remat):
    """In the graph as it runs, what reads a variable is done before what updates it begins."""
    import tensorflow as tf

    block = TransformerBlock(2, 24, **RATES)
    block.remat = remat
    model = keras.Sequential([keras.Input(SHAPE), block])
    model.compile(keras.optimizers.SGD(0.1), "mse")
    step = tf.function(lambda x: model.train_step((x, x)), autograph=False)
    nodes = {node.name: node for node in as_it_runs(step, tf.zeros((8, *SHAPE))).node}

    def before(name, found):
        """Names of what runs before a node, added to `found`."""
        for source in nodes[name].input:
            source = source.lstrip("^").split(":")[0]
            if source not in found:
                found.add(source)
                before(source, found)
        return found

    updates = [node for node in nodes.values() if node.op == "AssignSubVariableOp"]
    assert len(updates) == len(model.trainable_variables)
    for update in updates:
        readers = [n for n in nodes.values() if n.op == "ReadVariableOp"]
        readers = {n.name for n in readers if n.input[0] == update.input[0]}
        assert readers and readers <= before(update.name, set())


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
