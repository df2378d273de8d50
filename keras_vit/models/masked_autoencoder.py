# SPDX-License-Identifier: MIT
"""The masked autoencoder of arXiv 2111.06377, around the named layers of a Vision Transformer."""

from typing import Any

import keras
from keras import ops

from keras_vit.config import ViTConfig
from keras_vit.errors import UserError
from keras_vit.layers import TransformerBlock, sincos2d
from keras_vit.layers.composite import Composite
from keras_vit.models.batch_mean import mean_over_batch
from keras_vit.models.graph import check_movable
from keras_vit.models.vit import blocks, config_of

_EPSILON = 1e-6  # added to the variance of a patch, as in the authors' code
_EVALUATION_SEED = 0x6D6165


@keras.saving.register_keras_serializable("keras_vit")
class MaskedAutoencoder(Composite, keras.Model):
    """Hides most patches of an image from an encoder and learns to paint them.

    The encoder is a model that `vit` built; it sees the visible patches and its class and register
    tokens only (section 3, "MAE encoder"). A narrow decoder gets these tokens, a learnable mask
    token in each hidden place, and fixed positions; it predicts the pixels of the hidden patches,
    each patch normalised by its own mean and deviation ("Reconstruction target"). The model is
    trained on its inputs: `fit` ignores labels.

    What the encoder has after `encoder_norm` (pool, head) is not used, and frozen.

    Args:
        encoder: a model that `vit` built, without a ResNet stem, whose features would mix visible
            with hidden patches.
        mask: share of the patches that are hidden, above 0 and below 1; at least one patch is
            hidden and one visible.
        decoder_width: size of a token in the decoder, a multiple of 4.
        decoder_depth: blocks of the decoder.
        decoder_num_heads: attention heads of the decoder; they divide its width.
        normalize: whether the target is each patch's pixels minus their mean, over their standard
            deviation; else the pixels as the encoder sees them.
        seed: seed of the masks of training; its state is a weight, so that a run that continues
            draws what it would have drawn. In evaluation the mask of an image depends on its place
            in the batch only.

    Input: pixels `(batch, height, width, channels)`, 0 to 255.
    Output: `patches`, float32 `(batch, patches, patch_pixels)`, in the order of `Patches`; and
        `masked`, float32 `(batch, patches)`, 1 where a patch was hidden and 0 elsewhere.

    Raises:
        UserError: for an encoder or a share that cannot be used.
    """

    def __init__(
        self,
        encoder: keras.Model,
        mask: float = 0.75,
        decoder_width: int = 512,
        decoder_depth: int = 8,
        decoder_num_heads: int = 16,
        normalize: bool = True,
        seed: int | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        config = config_of(encoder)
        if config.resnet_stages is not None:
            raise UserError(
                "MaskedAutoencoder: expected an encoder without a ResNet stem, which would carry "
                "hidden pixels into visible patches. Set resnet_stages=none."
            )
        check_movable(config, "MaskedAutoencoder")
        self.encoder = encoder
        self.mask = mask
        self.decoder_width = decoder_width
        self.decoder_depth = decoder_depth
        self.decoder_num_heads = decoder_num_heads
        self.normalize = normalize
        self.seed = seed
        self.num_visible = num_visible(config, mask)
        self.num_masked = config.num_patches - self.num_visible
        self._config = config
        self._prefix = config.num_prefix_tokens
        self._freeze_the_end()
        self._build_decoder(config)
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.built = True
        self.restore_quantization()

    def call(self, images, training=False):
        order = self._draw_order(ops.shape(images)[0], training)  # (B, N)
        latent = self.encode(images, order[:, : self.num_visible], training)
        place = ops.argsort(order, axis=1)  # where each patch stands in the order
        return {
            "patches": self.decode(latent, place, training),
            "masked": ops.cast(place >= self.num_visible, "float32"),
        }

    def encode(self, images, visible, training=False):
        """Encodes some patches of each image.

        Args:
            images: pixels `(batch, height, width, channels)`, 0 to 255.
            visible: int `(batch, count)`, positions of patches in reading order.
            training: whether dropout acts.

        Returns:
            `(batch, prefix tokens + count, width)`, patches in the order of `visible`.
        """
        layer, prefix = self.encoder.get_layer, self._prefix
        x = layer("patches")(layer("rescaling")(images))
        x = layer("patch_encoder")(x, training=training)  # (B, prefix + N, D)
        x = ops.concatenate([x[:, :prefix], _rows(x[:, prefix:], visible)], axis=1)
        if self._config.embedding_norm:
            x = layer("embedding_norm")(x)
        for block in blocks(self.encoder):
            x = block(x, training=training)  # (B, prefix + visible, D)
        return layer("encoder_norm")(x) if self._config.final_norm else x

    def decode(self, latent, place, training=False):
        """Predicts every patch from the visible ones.

        Args:
            latent: `(batch, prefix tokens + num_visible, width)`, see `encode`.
            place: int `(batch, patches)`: the patch of `latent` that stands at each position, or
                at least `num_visible` for a hidden one.
            training: whether dropout acts.

        Returns:
            float32 `(batch, patches, patch_pixels)`.
        """
        x = self.decoder_projection(latent)
        prefix, x = x[:, : self._prefix], x[:, self._prefix :]
        hidden = (ops.shape(x)[0], self.num_masked, self.decoder_width)
        hidden = ops.broadcast_to(ops.cast(self.mask_token, x.dtype), hidden)
        x = _rows(ops.concatenate([x, hidden], axis=1), place)  # (B, N, decoder width)
        x = x + ops.cast(self._positions, x.dtype)
        x = ops.concatenate([prefix, x], axis=1)
        for block in self.decoder_blocks:
            x = block(x, training=training)
        return self.decoder_head(self.decoder_norm(x)[:, self._prefix :])

    def targets(self, images):
        """What `decode` should give: float32 `(batch, patches, patch_pixels)`."""
        x = self.encoder.get_layer("rescaling")(images)
        x = ops.cast(self.encoder.get_layer("patches")(x), "float32")
        if self.normalize:
            mean, variance = ops.moments(x, axes=-1, keepdims=True)
            x = (x - mean) / ops.sqrt(variance + _EPSILON)
        return x

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Mean squared error of the hidden patches."""
        error = ops.mean(ops.square(y_pred["patches"] - self.targets(x)), axis=-1)  # (B, N)
        masked = y_pred["masked"]  # (B, N), as many in each image
        losses = ops.sum(error * masked, axis=1) / ops.sum(masked, axis=1)  # (B,)
        return mean_over_batch(losses, sample_weight)

    def get_config(self):
        return {
            **super().get_config(),
            "encoder": keras.saving.serialize_keras_object(self.encoder),
            "mask": self.mask,
            "decoder_width": self.decoder_width,
            "decoder_depth": self.decoder_depth,
            "decoder_num_heads": self.decoder_num_heads,
            "normalize": self.normalize,
            "seed": self.seed,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]):
        encoder = keras.saving.deserialize_keras_object(config["encoder"])
        return cls(**{**config, "encoder": encoder})

    def _draw_order(self, batch, training):
        """A random order of the patches of each image; the first `num_visible` are visible."""
        seed = self.seed_generator if training else _EVALUATION_SEED
        return ops.argsort(
            keras.random.uniform((batch, self._config.num_patches), seed=seed), axis=1
        )

    def _freeze_the_end(self):
        """No gradient reaches what comes after `encoder_norm`."""
        names = [layer.name for layer in self.encoder.layers]
        for name in names[names.index("pool") :]:
            if name != "encoder_norm":
                self.encoder.get_layer(name).trainable = False

    def _build_decoder(self, config):
        dtype, width = self.dtype_policy, self.decoder_width
        shape = (None, config.num_tokens, width)
        self.mask_token = self.add_weight(
            (1, 1, width), keras.initializers.RandomNormal(stddev=0.02), name="mask_token"
        )
        self._positions = sincos2d(config.grid, width)[None]  # (1, N, decoder width)
        self.decoder_projection = keras.layers.Dense(width, name="decoder_projection", dtype=dtype)
        self.decoder_projection.build((None, config.num_tokens, config.width))
        self.decoder_blocks = [
            TransformerBlock(
                self.decoder_num_heads,
                4 * width,
                activation=config.activation,
                norm_epsilon=config.norm_epsilon,
                name=f"decoder_block_{i:02d}",
                dtype=dtype,
            )
            for i in range(self.decoder_depth)
        ]
        self.decoder_norm = keras.layers.LayerNormalization(
            epsilon=config.norm_epsilon, name="decoder_norm", dtype=dtype
        )
        self.decoder_head = keras.layers.Dense(
            config.patch_pixels, dtype="float32", name="decoder_head"
        )
        for layer in (*self.decoder_blocks, self.decoder_norm, self.decoder_head):
            layer.build(shape)


def num_visible(config: ViTConfig, mask: float) -> int:
    """How many patches an encoder sees when a share of them is hidden: at least 1, and not all."""
    if not 0 < mask < 1:
        raise UserError(f"mask: expected a share above 0 and below 1, received {mask}.")
    if config.num_patches < 2:
        raise UserError(
            "masked autoencoding: expected images of at least 2 patches, received "
            f"{config.num_patches}. Choose a smaller model.patch_size."
        )
    hidden = round(mask * config.num_patches)
    return config.num_patches - min(max(hidden, 1), config.num_patches - 1)


def _rows(tokens, positions):
    """The tokens `(batch, count, width)` of each example at its own positions `(batch, any)`."""
    count, width = tokens.shape[1:]
    start = count * ops.expand_dims(ops.arange(ops.shape(tokens)[0]), 1)
    return ops.take(ops.reshape(tokens, (-1, width)), positions + start, axis=0)
