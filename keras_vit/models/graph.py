# SPDX-License-Identifier: MIT
"""The layers of a Vision Transformer by their names, and what reads what: figure 1 of the paper."""

from collections.abc import Callable, Mapping
from typing import Any

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
from keras_vit.layers.norms import make_norm


def make_layers(config: ViTConfig, patch_dropout: float = 0.0) -> dict[str, keras.layers.Layer]:
    """Makes the layers of a model, which have no variables yet.

    Args:
        config: sizes and options.
        patch_dropout: share of the patches that training leaves out.

    Returns:
        The layers by their names, in the order of the forward pass.
    """
    layers = [_rescaling(config)]
    if config.resnet_stages is not None:
        form = config.resnet_form
        layers.append(
            ResNetStem(config.resnet_stages, config.resnet_width, form, name="resnet_stem")
        )
    layers += [Patches(config.patch_size, name="patches"), _patch_encoder(config)]
    if patch_dropout:
        check_movable(config, "patch_dropout")
        layers.append(PatchDropout(patch_dropout, config.num_prefix_tokens, name="patch_dropout"))
    if config.embedding_norm:
        layers.append(make_norm(config.norm, config.norm_epsilon, name="embedding_norm"))
    layers += [_block(config, i, rate) for i, rate in enumerate(config.stochastic_depth_rates)]
    if config.final_norm:
        layers.append(make_norm(config.norm, config.norm_epsilon, name="encoder_norm"))
    layers += [_pool(config), *_ends(config)]
    return {layer.name: layer for layer in layers}


def forward(config: ViTConfig, layer: Mapping[str, Callable], pixels: Any) -> Any:
    """Passes pixels through the layers.

    Args:
        config: sizes and options.
        layer: what `make_layers` made; or other functions by these names, of anything.
        pixels: the argument of the first one.

    Returns:
        What the last one returns: logits, or the representation where there are no classes.
    """
    x = layer["rescaling"](pixels)
    if config.resnet_stages is not None:
        x = layer["resnet_stem"](x)
    x = layer["patches"](x)
    x = layer["patch_encoder"](x)  # equation 1
    if "patch_dropout" in layer:
        x = layer["patch_dropout"](x)
    if config.embedding_norm:
        x = layer["embedding_norm"](x)
    for i in range(config.depth):
        x = layer[f"block_{i:02d}"](x)  # equations 2 and 3
    return read_out(config, layer, x)


def read_out(config: ViTConfig, layer: Mapping[str, Callable], x: Any) -> Any:
    """The end of the forward pass, from the tokens that the last block returns.

    Args:
        config: sizes and options.
        layer: see `forward`.
        x: those tokens.

    Returns:
        See `forward`.
    """
    if config.norm_after_pool:
        return _head(layer, layer["encoder_norm"](layer["pool"](x)))
    tokens = layer["encoder_norm"](x) if config.final_norm else x  # equation 4
    y = _head(layer, layer["pool"](tokens))
    if not config.distillation_token:
        return y
    z = layer["distillation_pool"](tokens)
    if config.num_classes:
        return layer["logits"]([y, layer["distillation_head"](z)])
    return layer["representation"]([y, z])


def check_movable(config: ViTConfig, reason: str) -> None:
    """Raises a `UserError` where blocks know positions by the place of a token in the sequence."""
    if config.rotary != "none" or config.relative_position_bias:
        kind = "rotary" if config.rotary != "none" else "relative_position_bias"
        raise UserError(
            f"{reason}: goes with positions that tokens carry along, received "
            f"{kind}={getattr(config, kind)!r}, which needs all patches in their places."
        )


def _head(layer: Mapping[str, Callable], x: Any) -> Any:
    """From the pooled tokens to logits, as far as the model has these layers."""
    for name in ("pre_logits", "head"):
        x = layer[name](x) if name in layer else x
    return x


def _rescaling(config: ViTConfig) -> keras.layers.Layer:
    """(pixels / 255 - mean) / std, as one factor and one offset."""
    count = max(len(config.pixel_mean), len(config.pixel_std))
    mean = config.pixel_mean * (count // len(config.pixel_mean))
    std = config.pixel_std * (count // len(config.pixel_std))
    scales = [1 / (255 * s) for s in std]
    offsets = [-m / s for m, s in zip(mean, std, strict=True)]
    scale, offset = (scales, offsets) if count > 1 else (scales[0], offsets[0])
    # float32 whatever the policy: resized pixels need more than bfloat16's 8 significant bits.
    return keras.layers.Rescaling(scale, offset, dtype="float32", name="rescaling")


def _patch_encoder(config: ViTConfig) -> keras.layers.Layer:
    return PatchEncoder(
        config.width,
        config.grid,
        class_token=config.class_token,
        class_token_in_positions=config.class_token_in_positions,
        distillation_token=config.distillation_token,
        register_tokens=config.register_tokens,
        register_tokens_in_positions=config.register_tokens_in_positions,
        position=config.position,
        dropout=config.dropout,
        patch_bias=config.patch_bias,
        patch_norm=config.patch_norm,
        norm=config.norm,
        norm_epsilon=config.norm_epsilon,
        name="patch_encoder",
    )


def _block(config: ViTConfig, index: int, stochastic_depth: float) -> keras.layers.Layer:
    return TransformerBlock(
        config.num_heads,
        config.mlp_dim,
        dropout=config.dropout,
        attention_dropout=config.attention_dropout,
        stochastic_depth=stochastic_depth,
        layer_scale=config.layer_scale,
        activation=config.activation,
        norm=config.norm,
        norm_placement=config.norm_placement,
        norm_epsilon=config.norm_epsilon,
        attention=_attention(config),
        mlp=_mlp(config),
        name=f"block_{index:02d}",
    )


def _attention(config: ViTConfig) -> dict[str, Any]:
    """Arguments of `Attention`."""
    rotary = relative = None
    if config.rotary != "none":
        rotary = {
            "kind": config.rotary,
            "grid": config.grid,
            "num_prefix_tokens": config.num_prefix_tokens,
            "temperature": config.rotary_temperature,
            "reference_grid": config.rotary_reference_grid,
            "offset": config.rotary_offset,
        }
    if config.relative_position_bias:
        relative = {"grid": config.grid, "class_token": config.class_token}
    return {
        "qk_norm": config.qk_norm,
        "qkv_bias": config.qkv_bias,
        "output_bias": config.dense_bias,
        "inner_norm": config.attention_inner_norm,
        "rotary": rotary,
        "relative_position_bias": relative,
    }


def _mlp(config: ViTConfig) -> dict[str, Any]:
    """Arguments of `FeedForward`."""
    return {
        "gated": config.gated_mlp,
        "use_bias": config.dense_bias,
        "inner_norm": config.mlp_inner_norm,
    }


def _pool(config: ViTConfig) -> keras.layers.Layer:
    if config.pool == "map":
        return AttentionPool(
            config.pool_heads or config.num_heads,
            config.pool_mlp_dim or config.mlp_dim,
            activation=config.activation,
            norm=config.norm,
            norm_epsilon=config.norm_epsilon,
            num_prefix_tokens=config.pooled_from,
            name="pool",
        )
    # A token is read by its place; an average may begin before the patches.
    prefix = config.pooled_from if config.pool == "average" else config.num_prefix_tokens
    return TokenPool(config.pool, prefix, name="pool")


def _ends(config: ViTConfig) -> list[keras.layers.Layer]:
    """What follows the pool."""
    layers = []
    if config.representation_size:
        layers.append(
            keras.layers.Dense(config.representation_size, activation="tanh", name="pre_logits")
        )
    if config.num_classes:
        layers.append(_classifier(config, "head"))
    if config.distillation_token:
        prefix = config.num_prefix_tokens
        layers.append(TokenPool("token", prefix, index=1, name="distillation_pool"))
        if config.num_classes:
            layers.append(_classifier(config, "distillation_head"))
        name = "logits" if config.num_classes else "representation"
        layers.append(keras.layers.Average(dtype="float32", name=name))
    return layers


def _classifier(config: ViTConfig, name: str) -> keras.layers.Layer:
    return keras.layers.Dense(
        config.num_classes,
        use_bias=config.head_bias is not None,
        kernel_initializer="zeros",
        bias_initializer=keras.initializers.Constant(config.head_bias or 0.0),
        dtype="float32",  # a loss on bfloat16 logits is too coarse to train on
        name=name,
    )
