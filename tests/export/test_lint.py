# SPDX-License-Identifier: MIT
"""Each rule on the smallest graph that breaks it, and on its neighbour that does not."""

import numpy as np
import pytest
import tensorflow as tf

from keras_vit import UserError
from keras_vit.export.lint import check_rules, lint

RANDOM = np.random.default_rng(0)


def constant(*shape):
    return tf.constant(RANDOM.normal(size=shape), tf.float32)


def written(path, function, *shapes, int8=False):
    specs = [tf.TensorSpec(shape) for shape in shapes]
    graph = tf.function(function, input_signature=specs).get_concrete_function()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([graph], tf.Module())
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    if int8:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    path.write_bytes(converter.convert())
    return path


# Those that the GPU path got wrong or refused (`benchmarks/export/gpu_operators.py`), with a word
# of the message.
WRONG = {
    "a matrix of constants": (lambda x: x + constant(8, 6), [(8, 6)], "first row alone"),
    "a column of constants": (lambda x: x * constant(8, 1), [(8, 6)], "first row alone"),
    "constants of a batch": (lambda x: x * constant(4, 8, 6), [(4, 8, 6)], "first row alone"),
    "padding of rank 3": (lambda x: tf.pad(x, [[0, 0], [1, 0], [0, 0]]), [(2, 8, 6)], "padding"),
    "padding of rank 2": (lambda x: tf.pad(x, [[1, 0], [0, 0]]), [(8, 6)], "padding"),
    "rank 5": (lambda x: tf.transpose(x, (2, 0, 3, 1, 4)), [(2, 3, 4, 5, 6)], "rank 5"),
    "infinite in float16": (lambda x: x + 70000.0 * tf.ones(6), [(8, 6)], "infinite in float16"),
    "not finite": (lambda x: x + np.array([1, np.nan], "float32"), [(8, 2)], "not finite"),
    "an operator nobody compared": (tf.math.cos, [(8, 6)], "uses COS, which has not"),
}
COS, SIN = constant(1, 1, 5, 4), constant(1, 1, 5, 4)
RIGHT = {
    "a row of constants": (lambda x: x + constant(6), [(8, 6)]),
    "one matrix for a batch": (lambda x: x + constant(8, 6), [(4, 8, 6)]),
    "constants of rank 4": (lambda x: x + constant(1, 8, 1, 6), [(2, 8, 1, 6)]),
    "padding of rank 4": (
        lambda x: tf.pad(x, [[0, 0], [2, 0], [0, 0], [0, 0]]),
        [(2, 8, 1, 6)],
    ),
    "halves turned against each other": (
        lambda x: tf.concat(
            [a * COS - b * SIN for a, b in [tf.split(x, 2, 3)]]
            + [b * COS + a * SIN for a, b in [tf.split(x, 2, 3)]],
            3,
        ),
        [(1, 2, 5, 8)],
    ),
    "SiLU": (lambda x: x * tf.sigmoid(x), [(8, 6)]),
    "a sum of two matrices": (lambda x, y: x + y, [(8, 6), (8, 6)]),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_broken_rule_is_named(name, tmp_path):
    function, shapes, word = WRONG[name]
    file = written(tmp_path / "m.tflite", function, *shapes)
    assert any(word in sentence for sentence in lint(file)), lint(file)
    with pytest.raises(UserError, match=r"^phone\.tflite: .* Nothing was written"):
        check_rules(file, "phone.tflite")


@pytest.mark.parametrize("name", RIGHT)
def test_what_every_device_computes_is_not_blamed(name, tmp_path):
    assert lint(written(tmp_path / "m.tflite", *RIGHT[name][:1], *RIGHT[name][1])) == []


def test_an_int8_kernel_of_one_pixel_takes_no_stride(tmp_path):
    def convolution(stride):
        kernel = constant(1, 1, 32, 64)
        return lambda x: tf.nn.conv2d(x, kernel, stride, "SAME")

    shape = (1, 4, 6, 32)
    strided = written(tmp_path / "s.tflite", convolution(2), shape, int8=True)
    assert any("a stride, which GPUs ignore" in sentence for sentence in lint(strided))
    assert lint(written(tmp_path / "p.tflite", convolution(1), shape, int8=True)) == []
    assert lint(written(tmp_path / "f.tflite", convolution(2), shape)) == []  # float32 is right


def test_a_dense_layer_below_a_sum_is_of_rank_two(tmp_path):
    kernel = constant(6, 6)

    def branch(x, y):
        return y + tf.matmul(x, kernel)

    low = written(tmp_path / "3.tflite", branch, (2, 8, 6), (2, 8, 6))
    assert any("dense layer of rank 3" in sentence for sentence in lint(low))
    assert lint(written(tmp_path / "2.tflite", branch, (8, 6), (8, 6))) == []
