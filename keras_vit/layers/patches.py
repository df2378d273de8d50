# SPDX-License-Identifier: MIT
"""Cuts images into patches."""

import keras
from keras import ops

from keras_vit.errors import UserError


@keras.saving.register_keras_serializable("keras_vit")
class Patches(keras.layers.Layer):
    """Cuts images into patches and flattens each one; no weights.

    The first half of equation 1 of arXiv 2010.11929: x_p, N patches of P * P * C numbers.

    Args:
        patch_size: height and width of a patch in pixels; one number means a square.

    Input: `(batch, height, width, channels)`, height and width known and multiples of the patch.
    Output: `(batch, patches, patch_height * patch_width * channels)`; patches in reading order, and
        the numbers of a patch in the order row, column, channel, like a convolution's kernel.
    """

    def __init__(self, patch_size: int | tuple[int, int], **kwargs):
        super().__init__(**kwargs)
        pair = tuple(patch_size) if isinstance(patch_size, list | tuple) else (patch_size,) * 2
        if len(pair) != 2 or not all(isinstance(size, int) and size > 0 for size in pair):
            raise UserError(
                f"patch_size: expected one or two whole numbers above 0, received {patch_size!r}."
            )
        self.patch_size = pair

    def build(self, input_shape):
        self._grid(input_shape)  # says what is wrong with a shape before any computation

    def call(self, images):
        rows, columns = self._grid(images.shape)  # R, K
        height, width = self.patch_size
        channels = images.shape[-1]
        # Four dimensions and no more: LiteRT has no fast kernel for a transpose of rank 6.
        x = ops.reshape(images, (-1, height, columns, width * channels))  # (B * R, P, K, P * C)
        x = ops.transpose(x, (0, 2, 1, 3))  # (B * R, K, P, P * C)
        return ops.reshape(x, (-1, rows * columns, height * width * channels))  # (B, N, P * P * C)

    def compute_output_shape(self, input_shape):
        rows, columns = self._grid(input_shape)
        return (
            input_shape[0],
            rows * columns,
            self.patch_size[0] * self.patch_size[1] * input_shape[-1],
        )

    def get_config(self):
        return {**super().get_config(), "patch_size": self.patch_size}

    def _grid(self, shape) -> tuple[int, int]:
        if len(shape) != 4 or None in shape[1:]:
            raise UserError(
                "Patches: expected images of shape (batch, height, width, channels) whose last "
                f"three are known, received {tuple(shape)}."
            )
        if shape[1] % self.patch_size[0] or shape[2] % self.patch_size[1]:
            raise UserError(
                f"Patches: expected a height and width that are multiples of {self.patch_size}, "
                f"received {tuple(shape[1:3])}. Resize or crop the images, or change patch_size."
            )
        return shape[1] // self.patch_size[0], shape[2] // self.patch_size[1]
