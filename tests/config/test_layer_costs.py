# SPDX-License-Identifier: MIT
"""What each layer costs, beside an independent counter: the operators of its traced graph."""

import math

import pytest
import tensorflow as tf

from keras_vit import vit
from keras_vit.config.costs import layer_costs
from tests.models.test_vit import one_block


@pytest.mark.parametrize(
    "name",
    [
        "map with registers",
        "distillation",
        "EVA-02",
        "BEiT",
        "AIMv2",
        "DINOv3",
        "a pool of its own sizes",
        "hybrid",
        "representation_size",
    ],
)
def test_each_layer_by_the_operators_of_its_traced_graph(name):
    """An independent counter: TensorFlow's graph of each layer, whose products have shapes."""
    config = one_block(name)
    model = vit(config)
    found = {
        layer.name: (layer.count_params(), *_traced(layer))
        for layer in model.layers
        if layer.weights
    }
    assert found == layer_costs(config)


def _traced(layer):
    """Multiply-adds, and numbers written, of the products and convolutions of a layer."""
    traced = tf.function(lambda x: layer(x, training=False))
    spec = tf.TensorSpec((1, *layer.input.shape[1:]))
    graph = traced.get_concrete_function(spec).graph
    products = [op for op in graph.get_operations() if op.type in _SUMMED]
    written = [math.prod(op.outputs[0].shape) for op in products]
    sums = [n * _SUMMED[op.type](op) for n, op in zip(written, products, strict=True)]
    return sum(sums), sum(written)


def _of_einsum(op):
    """Over how many numbers each output is a sum: the axes that it has no more."""
    terms, result = op.get_attr("equation").decode().split("->")
    sizes = {}
    for term, tensor in zip(terms.split(","), op.inputs, strict=True):
        sizes |= dict(zip(term, tensor.shape, strict=True))
    return math.prod(size for axis, size in sizes.items() if axis not in result)


def _of_product(op):
    transposed = any(
        op.get_attr(name) for name in ("transpose_a", "adj_x") if name in op.node_def.attr
    )
    return op.inputs[0].shape[-2 if transposed else -1]


_SUMMED = {
    "Einsum": _of_einsum,
    "MatMul": _of_product,
    "BatchMatMulV2": _of_product,
    "Conv2D": lambda op: math.prod(op.inputs[1].shape[:-1]),
}
