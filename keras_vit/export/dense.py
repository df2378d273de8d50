# SPDX-License-Identifier: MIT
"""Dense layers as float64 arrays, and what may be multiplied into them."""

import dataclasses
from typing import Any, Self

import keras
import numpy as np

from keras_vit.models.variables import variables_of


@dataclasses.dataclass(frozen=True)
class Affine:
    """What a norm does to each channel after it has normalised: x * gamma + beta.

    Attributes:
        gamma: float64 `(channels,)`.
        beta: the same; None for an RMS norm, which has none.
    """

    gamma: np.ndarray
    beta: np.ndarray | None

    def times(self, factor: float | np.ndarray) -> Self:
        """With a result that is multiplied by a number, or one for each channel."""
        beta = None if self.beta is None else self.beta * factor
        return dataclasses.replace(self, gamma=self.gamma * factor, beta=beta)

    def named(self, name: str) -> dict[str, np.ndarray]:
        """Its arrays by the names that the exported graph knows."""
        found = {f"{name}/gamma": self.gamma}
        return found if self.beta is None else found | {f"{name}/beta": self.beta}


@dataclasses.dataclass(frozen=True)
class Dense:
    """x @ kernel + bias.

    Attributes:
        kernel: float64 `(incoming, outgoing)`.
        bias: float64 `(outgoing,)`; None for none, which is one operator less.
    """

    kernel: np.ndarray
    bias: np.ndarray | None

    def after(self, norm: Affine | None) -> Self:
        """The layer that gives (x * gamma + beta) @ kernel + bias from x; itself without a norm."""
        if norm is None:
            return self
        bias = self.bias
        if norm.beta is not None:
            bias = norm.beta @ self.kernel + (0.0 if bias is None else bias)
        return dataclasses.replace(self, kernel=norm.gamma[:, None] * self.kernel, bias=bias)

    def times(self, factor: float | np.ndarray) -> Self:
        """With outputs that are multiplied by a number, or one for each channel."""
        bias = None if self.bias is None else self.bias * factor
        return dataclasses.replace(self, kernel=self.kernel * factor, bias=bias)

    def divided(self, factor: float) -> Self:
        """For inputs that were multiplied by a number: the outputs are the same."""
        return dataclasses.replace(self, kernel=self.kernel / factor)

    def centred(self) -> Self:
        """With outputs that have lost their mean."""
        bias = None if self.bias is None else centred(self.bias)
        return dataclasses.replace(self, kernel=centred(self.kernel), bias=bias)

    def named(self, name: str) -> dict[str, np.ndarray]:
        """Its arrays by the names that the exported graph knows."""
        found = {f"{name}/kernel": self.kernel}
        return found if self.bias is None else found | {f"{name}/bias": self.bias}


def centred(array: np.ndarray) -> np.ndarray:
    """Without its mean over the last axis, the channels."""
    return array - array.mean(axis=-1, keepdims=True)


def beside(layers: list[Dense]) -> Dense:
    """Layers that read the same, as one: the outputs stand side by side."""
    biases = [np.zeros(d.kernel.shape[1]) if d.bias is None else d.bias for d in layers]
    none = all(layer.bias is None for layer in layers)
    kernel = np.concatenate([layer.kernel for layer in layers], axis=1)
    return Dense(kernel, None if none else np.concatenate(biases))


class Variables:
    """The variables of a model as float64 arrays, each made when it is asked for.

    Args:
        model: a model built by `keras_vit.vit`. Of a kernel with a LoRA adapter comes what the two
            amount to.
    """

    def __init__(self, model: keras.Model):
        self._found: dict[str, Any] = variables_of(model)

    def __contains__(self, path: str) -> bool:
        return path in self._found

    def __call__(self, path: str) -> np.ndarray:
        """The variable at a path of `keras_vit.config.variables`."""
        return np.asarray(keras.ops.convert_to_numpy(self._found[path]), "float64")

    def dense(self, name: str, outgoing: int | None = None) -> Dense:
        """A dense layer.

        Args:
            name: its path.
            outgoing: number of outputs, where they have several axes: those of heads.
        """
        kernel = self(f"{name}/kernel")
        kernel = kernel.reshape(-1, outgoing or kernel.shape[-1])
        bias = self(f"{name}/bias").reshape(-1) if f"{name}/bias" in self else None
        return Dense(kernel, bias)

    def norm(self, name: str) -> Affine:
        """A LayerNorm or RMS norm without what it does to all channels alike."""
        beta = self(f"{name}/beta") if f"{name}/beta" in self else None
        return Affine(self(f"{name}/gamma"), beta)
