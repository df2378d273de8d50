# SPDX-License-Identifier: MIT
"""The exported graph in float16, as the GPU of a phone computes it, simulated in NumPy.

LiteRT computes in float16 on most GPUs, float32 files included. What a tensor holds is rounded
after each operator, and what is above 65,504 is infinite; sums are taken in float32, as ML Drift
takes them. A software GPU computes in float32 and cannot show it.
"""

import numpy as np

from keras_vit.export.folding import Folded
from keras_vit.export.forward import forward
from keras_vit.export.numpy_ops import NumpyOps


def half_logits(folded: Folded, images: np.ndarray) -> np.ndarray | None:
    """Logits of the graph in simulated float16.

    Args:
        folded: the weights of the exported graph.
        images: pixels, `(n, height, width, channels)`, 0 to 255.

    Returns:
        float32 `(n, classes)`, NaN where a number overflowed; None for a hybrid, whose
        convolutions are not simulated.
    """
    if folded.config.resnet_stages is not None:
        return None
    with np.errstate(all="ignore"):  # what overflows is the answer
        found = forward(HalfOps(folded.weights), folded.config, _half(images), merge=folded.merge)
    return found["logits"].astype("float32")


def _half(x) -> np.ndarray:
    """Rounded to float16; what overflows is NaN and stays it.

    An infinite variance would make a row of zeros, which looks like an answer.
    """
    x = np.asarray(x).astype("float16").astype("float32")
    return np.where(np.isinf(x), np.float32(np.nan), x)


class HalfOps(NumpyOps):
    """The operators of `keras_vit.export.forward`, each result rounded to float16."""

    def rounded(self, x) -> np.ndarray:
        return _half(x)
