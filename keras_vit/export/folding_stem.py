# SPDX-License-Identifier: MIT
"""The exact transform of a hybrid's ResNet; see `keras_vit.export.folding`."""

import keras
import numpy as np

from keras_vit.export.dense import Variables
from keras_vit.export.folding_tokens import rescaling

Arrays = dict[str, np.ndarray]


def folded_stem(model: keras.Model, variables: Variables) -> Arrays:
    """Its convolutions with standardised kernels, and their GroupNorms.

    The normalisation of pixels stays in front of it, whose padding would see other zeros.
    """
    stem = model.get_layer("resnet_stem")
    scale, offset = rescaling(model)
    folded = {"rescaling/scale": scale, "rescaling/offset": offset}
    folded |= _convolution(variables, "root", stem.root_conv, "resnet_stem/root_{}")
    for unit in stem.units:
        for step in ("1", "2", "3", *(["_proj"] if unit.projected else [])):
            conv, path = getattr(unit, f"conv{step}"), f"resnet_stem/{unit.name}/{{}}{step}"
            folded |= _convolution(variables, f"{unit.name}/{step}", conv, path)
    return folded


def _convolution(variables: Variables, name: str, conv, path: str) -> Arrays:
    kernel = variables(f"{path.format('conv')}/kernel")
    kernel = kernel - kernel.mean(axis=(0, 1, 2))
    variance = np.square(kernel).mean(axis=(0, 1, 2))
    epsilon = conv.kernel_epsilon
    deviation = (
        np.sqrt(variance + epsilon) if conv.epsilon_in_variance else np.sqrt(variance) + epsilon
    )
    norm = variables.norm(path.format("norm"))
    return {f"{name}/kernel": kernel / deviation, **norm.named(name)}
