# SPDX-License-Identifier: MIT
"""The Vision Transformer of arXiv 2010.11929, as a Keras functional model."""

import keras

from keras_vit.config import ViTConfig
from keras_vit.errors import UserError
from keras_vit.layers import (
    AttentionPool,
    PatchDropout,
    PatchEncoder,
    Patches,
    ResNetStem,
    TokenPool,
    TransformerBlock,
)
from keras_vit.layers.composite import quantized_parts


def vit(config: ViTConfig, name: str = "vit", patch_dropout: float = 0.0) -> keras.Model:
    """Builds a Vision Transformer.

    Pixels of 0 to 255 go in (any dtype, channels last), logits come out (float32); normalisation is
    part of the graph. Layers are named `pixels`, `rescaling`, `resnet_stem` (hybrids), `patches`,
    `patch_encoder`,     `block_00`, ..., `encoder_norm`, `pool`, `pre_logits` and `head`, and with
    a distillation token `distillation_pool`, `distillation_head` and `logits`, the mean of both
    heads (`representation`, that of both tokens, where there are no classes); the names are API.

    Args:
        config: sizes and options.
        name: name of the model.
        patch_dropout: share of the patches that training leaves out (see `PatchDropout`). It
            belongs to a run and not to the model: `config_of` does not tell it.

    Returns:
        A functional model from `(batch, height, width, channels)` to `(batch, num_classes)`, or to
        the representation `(batch, width)` when `num_classes` is 0.
    """
    pixels = keras.Input((*config.image_size, config.channels), name="pixels")
    x = _rescaling(config)(pixels)
    if config.resnet_stages is not None:
        x = ResNetStem(
            config.resnet_stages, config.resnet_width, config.resnet_form, name="resnet_stem"
        )(x)

    x = Patches(config.patch_size, name="patches")(x)
    x = PatchEncoder(  # equation 1
        config.width,
        config.grid,
        class_token=config.class_token,
        class_token_in_positions=config.class_token_in_positions,
        distillation_token=config.distillation_token,
        register_tokens=config.register_tokens,
        register_tokens_in_positions=config.register_tokens_in_positions,
        position=config.position,
        dropout=config.dropout,
        name="patch_encoder",
    )(x)
    if patch_dropout:
        x = PatchDropout(patch_dropout, config.num_prefix_tokens, name="patch_dropout")(x)
    for i, stochastic_depth in enumerate(config.stochastic_depth_rates):
        x = TransformerBlock(  # equations 2 and 3
            config.num_heads,
            config.mlp_dim,
            dropout=config.dropout,
            attention_dropout=config.attention_dropout,
            stochastic_depth=stochastic_depth,
            layer_scale=config.layer_scale,
            qk_norm=config.qk_norm,
            gelu=config.gelu,
            norm_epsilon=config.norm_epsilon,
            name=f"block_{i:02d}",
        )(x)

    encoder_norm = keras.layers.LayerNormalization(epsilon=config.norm_epsilon, name="encoder_norm")
    pool = _pool(config)
    tokens = x if config.norm_after_pool else encoder_norm(x)  # equation 4
    x = encoder_norm(pool(tokens)) if config.norm_after_pool else pool(tokens)
    if config.representation_size:
        x = keras.layers.Dense(config.representation_size, activation="tanh", name="pre_logits")(x)
    if config.distillation_token:
        prefix = config.num_prefix_tokens
        y = TokenPool("token", prefix, index=1, name="distillation_pool")(tokens)
    if config.num_classes:
        x = _head(config, "head")(x)
        if config.distillation_token:
            y = _head(config, "distillation_head")(y)
    if config.distillation_token:
        name = "logits" if config.num_classes else "representation"
        x = keras.layers.Average(dtype="float32", name=name)([x, y])
    return keras.Model(pixels, x, name=name)


def config_of(model: keras.Model) -> ViTConfig:
    """Reads the configuration back from a model that `vit` built, also after saving and loading.

    Args:
        model: a model with the layer names of `vit`.

    Raises:
        UserError: for any other model.
    """
    layers = {layer.name: layer for layer in model.layers}
    missing = {"pixels", "rescaling", "patches", "patch_encoder", "block_00", "pool"} - set(layers)
    if missing:
        raise UserError(
            f"expected a model built by keras_vit.vit, received {model.name!r} without the layers "
            f"{', '.join(sorted(missing))}."
        )
    encoder, pool, stem = layers["patch_encoder"], layers["pool"], layers.get("resnet_stem")
    encoder_norm, head = layers["encoder_norm"], layers.get("head")
    representation = layers.get("pre_logits")
    stack = blocks(model)
    first = stack[0]
    scale, offset = layers["rescaling"].scale, layers["rescaling"].offset
    scale, offset = (v if isinstance(v, list | tuple) else (v,) for v in (scale, offset))
    return ViTConfig(
        image_size=tuple(model.input.shape[1:3]),
        channels=model.input.shape[-1],
        num_classes=head.units if head else 0,
        patch_size=layers["patches"].patch_size,
        width=encoder.width,
        depth=len(stack),
        mlp_dim=first.mlp_dim,
        num_heads=first.num_heads,
        class_token=encoder.class_token,
        class_token_in_positions=encoder.class_token_in_positions,
        distillation_token=encoder.distillation_token,
        register_tokens=encoder.register_tokens,
        register_tokens_in_positions=encoder.register_tokens_in_positions,
        position=encoder.position,
        pool=pool.kind if isinstance(pool, TokenPool) else "map",
        # Of a model without such tokens the configuration says False by itself.
        pool_includes_prefix=not pool.num_prefix_tokens,
        norm_after_pool=len(encoder_norm.input.shape) == 2,
        representation_size=representation.units if representation else 0,
        head_bias=_head_bias(head),
        dropout=encoder.dropout,
        attention_dropout=first.attention_dropout,
        stochastic_depth=stack[-1].stochastic_depth,
        layer_scale=first.layer_scale,
        qk_norm=first.qk_norm,
        gelu=first.gelu,
        norm_epsilon=encoder_norm.epsilon,
        resnet_stages=stem.stages if stem else None,
        resnet_width=stem.width if stem else 64,
        resnet_form=stem.form if stem else "flax",
        # Rescaling holds 1 / (255 std) and -mean / std; ten digits undo the rounding of the
        # division.
        pixel_mean=tuple(round(-o / (255 * s), 10) for s, o in zip(scale, offset, strict=True)),
        pixel_std=tuple(round(1 / (255 * s), 10) for s in scale),
    )


def check_plain(model: keras.Model) -> None:
    """Raises a `UserError` for a model that has been quantised: its kernels are no longer what it
    multiplies by."""
    quantized = quantized_parts(model)
    if quantized:
        raise UserError(
            f"{model.name}: expected a model that has not been quantised, received "
            f"{quantized[0].quantization_mode} in {len(quantized)} layers. Give the model from "
            "before `quantize`; `keras-vit export --quantize` makes int8 files of it."
        )


def blocks(model: keras.Model) -> list[TransformerBlock]:
    """The Transformer blocks of a model, first to last."""
    return [layer for layer in model.layers if layer.name.startswith("block_")]


def _rescaling(config: ViTConfig) -> keras.layers.Layer:
    count = max(len(config.pixel_mean), len(config.pixel_std))
    mean = config.pixel_mean * (count // len(config.pixel_mean))
    std = config.pixel_std * (count // len(config.pixel_std))
    scale = [1 / (255 * s) for s in std]
    offset = [-m / s for m, s in zip(mean, std, strict=True)]
    if count == 1:
        scale, offset = scale[0], offset[0]
    # float32 whatever the policy: resized pixels need more than the 8 bits of bfloat16's
    # significand.
    return keras.layers.Rescaling(scale, offset, dtype="float32", name="rescaling")


def _pool(config: ViTConfig) -> keras.layers.Layer:
    if config.pool == "map":
        return AttentionPool(
            config.num_heads,
            config.mlp_dim,
            gelu=config.gelu,
            norm_epsilon=config.norm_epsilon,
            num_prefix_tokens=config.pooled_from,
            name="pool",
        )
    prefix = config.num_prefix_tokens if config.pool == "token" else config.pooled_from
    return TokenPool(config.pool, prefix, name="pool")


def _head(config: ViTConfig, name: str) -> keras.layers.Layer:
    return keras.layers.Dense(
        config.num_classes,
        use_bias=config.head_bias is not None,
        kernel_initializer="zeros",
        bias_initializer=keras.initializers.Constant(config.head_bias or 0.0),
        dtype="float32",  # a loss on bfloat16 logits is too coarse to train on
        name=name,
    )


def _head_bias(head) -> float | None:
    if head is None:
        return 0.0
    return float(head.bias_initializer.value) if head.use_bias else None
