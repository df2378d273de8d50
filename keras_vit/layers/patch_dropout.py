# SPDX-License-Identifier: MIT
"""Fewer patches in training."""

import keras
from keras import ops

from keras_vit.errors import UserError


@keras.saving.register_keras_serializable("keras_vit")
class PatchDropout(keras.layers.Layer):
    """Leaves out patch tokens in training, different ones in each example (arXiv 2208.07220).

    Positions have been added before, so that what is left knows where it was. The class token and
    the others before the patches stay. At inference nothing happens.

    Args:
        rate: share of the patches that is left out, 0 to below 1; at least one stays.
        num_prefix_tokens: tokens before the patches.
        seed: seed of the choice.

    Input: `(batch, num_prefix_tokens + patches, width)`.
    Output: the same at inference; in training `(batch, num_prefix_tokens + kept, width)` with
    kept = round((1 - rate) * patches).
    """

    def __init__(self, rate: float, num_prefix_tokens: int = 1, seed: int | None = None, **kwargs):
        super().__init__(**kwargs)
        if not 0 <= rate < 1:
            raise UserError(
                f"PatchDropout: expected a rate of at least 0 and below 1, received {rate}."
            )
        self.rate = rate
        self.num_prefix_tokens = num_prefix_tokens
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, x, training=False):
        if not training or not self.rate:
            return x
        prefix, patches = x[:, : self.num_prefix_tokens], x[:, self.num_prefix_tokens :]
        count = patches.shape[1]
        kept = max(1, round((1 - self.rate) * count))
        noise = keras.random.uniform((ops.shape(x)[0], count), seed=self.seed_generator)
        chosen = ops.argsort(noise, axis=1)[:, :kept, None]  # (B, kept, 1)
        patches = ops.take_along_axis(patches, chosen, axis=1)  # (B, kept, D)
        return ops.concatenate([prefix, patches], axis=1)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {
            **super().get_config(),
            "rate": self.rate,
            "num_prefix_tokens": self.num_prefix_tokens,
            "seed": self.seed,
        }
