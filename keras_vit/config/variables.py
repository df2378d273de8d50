# SPDX-License-Identifier: MIT
"""The variables of a model, known from its configuration alone.

Paths are those of `keras.Variable.path`. They are spelled out here so that models are counted, and
files are checked and converted into each other, before Keras is imported or without it.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from keras_vit.config.vit_config import ViTConfig

Shapes = dict[str, tuple[int, ...]]


class StemUnit(NamedTuple):
    """One bottleneck unit of a ResNet stem: 1x1, 3x3 and 1x1 convolution around a shortcut.

    Attributes:
        name: its path, as in "resnet_stem/block1_unit1".
        incoming: channels that it reads.
        inner: channels of its first two convolutions.
        outgoing: channels that it writes.
        stride: of the 3x3 convolution and of the shortcut.
        projected: whether the shortcut is a convolution too.
    """

    name: str
    incoming: int
    inner: int
    outgoing: int
    stride: int
    projected: bool


def shapes(config: "ViTConfig") -> Shapes:
    """The shape of every variable of `vit(config)` by its path, in the order of the model."""
    width = config.width
    found: Shapes = {}
    if config.resnet_stages is not None:
        found |= _stem(config)
    found |= _dense("patch_encoder/projection", config.patch_pixels, width, config.patch_bias)
    if config.patch_norm:
        found |= _norm(config, "patch_encoder/patch_norm", width)
    if config.class_token:
        found["patch_encoder/class_embedding"] = (1, 1, width)
    if config.distillation_token:
        found["patch_encoder/distillation_embedding"] = (1, 1, width)
    if config.register_tokens:
        found["patch_encoder/register_embedding"] = (1, config.register_tokens, width)
    if config.position == "learned":
        rows = config.num_patches + config.num_prefix_positions
        found["patch_encoder/position_embedding"] = (1, rows, width)
    if config.embedding_norm:
        found |= _norm(config, "embedding_norm", width)
    for i in range(config.depth):
        found |= _block(config, f"block_{i:02d}")
    if config.final_norm:
        found |= _norm(config, "encoder_norm", width)
    if config.pool == "map":
        found |= _attention_pool(config)
    if config.representation_size:
        features = width * (2 if config.pool == "token_and_average" else 1)
        found |= _dense("pre_logits", features, config.representation_size)
    if config.num_classes:
        features, bias = config.representation_dim, config.head_bias is not None
        for head in ("head", "distillation_head") if config.distillation_token else ("head",):
            found |= _dense(head, features, config.num_classes, bias)
    return found


def stem_units(config: "ViTConfig") -> Iterator[StemUnit]:
    """The bottleneck units of the stem, first to last; none without a stem."""
    incoming = config.resnet_width
    for stage, units in enumerate(config.resnet_stages or ()):
        inner = config.resnet_width * 2**stage
        for unit in range(units):
            name = f"resnet_stem/block{stage + 1}_unit{unit + 1}"
            stride = 2 if stage and not unit else 1
            yield StemUnit(name, incoming, inner, 4 * inner, stride, projected=not unit)
            incoming = 4 * inner


def _block(config: "ViTConfig", name: str) -> Shapes:
    found = _norm(config, f"{name}/attention_norm", config.width)
    found |= _block_attention(config, f"{name}/attention")
    found |= _norm(config, f"{name}/mlp_norm", config.width)
    found |= _block_mlp(config, f"{name}/mlp")
    if config.layer_scale is not None:
        found[f"{name}/attention_scale/gamma"] = (config.width,)
        found[f"{name}/mlp_scale/gamma"] = (config.width,)
    return found


def _block_attention(config: "ViTConfig", name: str) -> Shapes:
    found = _attention(config.width, config.num_heads, name, config.qkv_bias, config.dense_bias)
    if config.qk_norm:
        found |= _norm(config, f"{name}/query_norm", config.head_dim)
        found |= _norm(config, f"{name}/key_norm", config.head_dim)
    if config.rotary == "mixed":
        found[f"{name}/rotary/frequencies"] = (2, config.num_heads, config.head_dim // 2)
    if config.relative_position_bias:
        rows, columns = config.grid
        offsets = (2 * rows - 1) * (2 * columns - 1) + 3 * config.class_token
        found[f"{name}/relative_position_bias/table"] = (offsets, config.num_heads)
    if config.attention_inner_norm:
        found |= _norm(config, f"{name}/inner_norm", config.width)
    return found


def _block_mlp(config: "ViTConfig", name: str) -> Shapes:
    width, hidden, bias = config.width, config.mlp_dim, config.dense_bias
    found = _dense(f"{name}/gate", width, hidden, bias) if config.gated_mlp else {}
    found |= _dense(f"{name}/hidden", width, hidden, bias)
    if config.mlp_inner_norm:
        found |= _norm(config, f"{name}/inner_norm", hidden)
    return found | _dense(f"{name}/output_projection", hidden, width, bias)


def _attention_pool(config: "ViTConfig") -> Shapes:
    width, hidden = config.width, config.pool_mlp_dim or config.mlp_dim
    return {
        "pool/probe": (1, 1, width),
        **_attention(width, config.pool_heads or config.num_heads, "pool/attention"),
        **_norm(config, "pool/mlp_norm", width),
        **_dense("pool/mlp/hidden", width, hidden),
        **_dense("pool/mlp/output_projection", hidden, width),
    }


def _attention(
    width: int, heads: int, name: str, qkv_bias: str = "all", output_bias: bool = True
) -> Shapes:
    head_dim = width // heads
    biased = {"all": ("query", "key", "value"), "query_value": ("query", "value"), "none": ()}
    found: Shapes = {}
    for part in ("query", "key", "value"):
        found[f"{name}/{part}/kernel"] = (width, heads, head_dim)
        if part in biased[qkv_bias]:
            found[f"{name}/{part}/bias"] = (heads, head_dim)
    found[f"{name}/attention_output/kernel"] = (heads, head_dim, width)
    return found | ({f"{name}/attention_output/bias": (width,)} if output_bias else {})


def _stem(config: "ViTConfig") -> Shapes:
    width = config.resnet_width
    found: Shapes = {"resnet_stem/root_conv/kernel": (7, 7, config.channels, width)}
    found |= _affine("resnet_stem/root_norm", width)
    for name, incoming, inner, outgoing, _, projected in stem_units(config):
        if projected:
            found[f"{name}/conv_proj/kernel"] = (1, 1, incoming, outgoing)
            found |= _affine(f"{name}/norm_proj", outgoing)
        found[f"{name}/conv1/kernel"] = (1, 1, incoming, inner)
        found |= _affine(f"{name}/norm1", inner)
        found[f"{name}/conv2/kernel"] = (3, 3, inner, inner)
        found |= _affine(f"{name}/norm2", inner)
        found[f"{name}/conv3/kernel"] = (1, 1, inner, outgoing)
        found |= _affine(f"{name}/norm3", outgoing)
    return found


def _dense(name: str, inputs: int, outputs: int, bias: bool = True) -> Shapes:
    found: Shapes = {f"{name}/kernel": (inputs, outputs)}
    return found | {f"{name}/bias": (outputs,)} if bias else found


def _norm(config: "ViTConfig", name: str, size: int) -> Shapes:
    return {f"{name}/gamma": (size,)} if config.norm == "rms" else _affine(name, size)


def _affine(name: str, size: int) -> Shapes:
    return {f"{name}/gamma": (size,), f"{name}/beta": (size,)}
