# SPDX-License-Identifier: MIT
"""One update of Adam by TensorFlow's own kernel: the step of `optimizers.AdamW` in few operators.

A graph of Keras operations has about forty for each variable, which cost seconds before the first
step and a pass over memory each; the kernel reads gradient, moments and weight once.
"""

import math

import numpy as np


def runs_here() -> bool:
    """Whether the backend is TensorFlow, on one device: `tf.distribute` updates copies itself."""
    import keras

    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    return tf.distribute.get_strategy().num_replicas_in_sync == 1


def update(optimizer, gradients, variables, learning_rate, betas, moments) -> None:
    """Moves variables and moments as `AdamW.update_step` does, one by one.

    Args:
        optimizer: a built one of `optimizers`.
        gradients: one for each variable, of its shape.
        variables: the Keras variables to move.
        learning_rate: of this step, a number or a scalar.
        betas: decay of the first and of the second moment.
        moments: the first and the second, a list each, in the order of the optimizer's variables.
    """
    import tensorflow as tf

    betas = [float(np.float32(beta)) for beta in betas]
    # One constant each, where a number would become one for each variable.
    zero, beta_1, beta_2 = (tf.constant(number) for number in (0.0, *betas))
    step = tf.cast(optimizer.iterations + 1, tf.float32)
    # The kernel moves the moments by 1 - beta of float32, which is off by 1e-5 of itself where beta
    # is 0.999. Corrected by the powers of that very beta, they say the same as by the exact one.
    mean, square = (-tf.math.expm1(step * math.log(beta)) if beta else 1.0 for beta in betas)
    root = tf.sqrt(square)
    epsilon = optimizer.epsilon * root
    rates = {}  # most variables share theirs, and each is a few operators
    for gradient, variable in zip(gradients, variables, strict=True):
        weight = variable.value
        gradient = tf.convert_to_tensor(gradient, weight.dtype)
        index = optimizer._get_variable_index(variable)
        shared = optimizer.scale_of_index[index], optimizer.waits[index]
        if shared not in rates:
            rate, decay = optimizer.rate_and_decay(variable, learning_rate)
            rates[shared] = rate * root / mean, decay if optimizer.l2 else rate * decay
        rate, decay = rates[shared]
        if optimizer.scale_of_index[index][1]:
            if optimizer.l2:
                gradient += decay * weight
            else:
                weight.assign_sub(decay * weight)
        tf.raw_ops.ResourceApplyAdam(
            var=weight.handle,
            m=moments[0][index].value.handle,
            v=moments[1][index].value.handle,
            beta1_power=zero,
            beta2_power=zero,
            lr=rate,
            beta1=beta_1,
            beta2=beta_2,
            epsilon=epsilon,
            grad=gradient,
        )


def clip(gradients: list, most: float) -> list:
    """What `clip_by_global_norm` of Keras computes, in two operators for each gradient, not five.

    Args:
        gradients: of all variables, float32; None where a variable has none.
        most: the norm of all together above which they are scaled down to it.
    """
    import tensorflow as tf

    halves = [tf.nn.l2_loss(gradient) for gradient in gradients if gradient is not None]
    norm = tf.sqrt(2 * tf.add_n(halves))
    # The last term is 0, or NaN for a norm that is not finite.
    scale = most * tf.minimum(1 / norm, 1 / most) + (norm - norm)
    return [None if gradient is None else gradient * scale for gradient in gradients]
