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
    found |= _dense("patch_encoder/projection", config.patch_pixels, width)
    if config.class_token:
        found["patch_encoder/class_embedding"] = (1, 1, width)
    if config.distillation_token:
        found["patch_encoder/distillation_embedding"] = (1, 1, width)
    if config.register_tokens:
        found["patch_encoder/register_embedding"] = (1, config.register_tokens, width)
    if config.position == "learned":
        rows = config.num_patches + config.num_prefix_positions
        found["patch_encoder/position_embedding"] = (1, rows, width)
    for i in range(config.depth):
        found |= _block(config, f"block_{i:02d}")
    found |= _norm("encoder_norm", width)
    if config.pool == "map":
        found["pool/probe"] = (1, 1, width)
        found |= _attention(config, "pool/attention")
        found |= _norm("pool/mlp_norm", width)
        found |= _mlp(config, "pool/mlp")
    features = width
    if config.representation_size:
        features = config.representation_size
        found |= _dense("pre_logits", width, features)
    if config.num_classes:
        for head in ("head", "distillation_head") if config.distillation_token else ("head",):
            found |= _dense(head, features, config.num_classes, config.head_bias is not None)
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
    found = _norm(f"{name}/attention_norm", config.width)
    found |= _attention(config, f"{name}/attention")
    if config.qk_norm:
        found |= _norm(f"{name}/attention/query_norm", config.head_dim)
        found |= _norm(f"{name}/attention/key_norm", config.head_dim)
    found |= _norm(f"{name}/mlp_norm", config.width)
    found |= _mlp(config, f"{name}/mlp")
    if config.layer_scale is not None:
        found[f"{name}/attention_scale/gamma"] = (config.width,)
        found[f"{name}/mlp_scale/gamma"] = (config.width,)
    return found


def _attention(config: "ViTConfig", name: str) -> Shapes:
    width, heads, head_dim = config.width, config.num_heads, config.head_dim
    found: Shapes = {}
    for part in ("query", "key", "value"):
        found[f"{name}/{part}/kernel"] = (width, heads, head_dim)
        found[f"{name}/{part}/bias"] = (heads, head_dim)
    found[f"{name}/attention_output/kernel"] = (heads, head_dim, width)
    found[f"{name}/attention_output/bias"] = (width,)
    return found


def _mlp(config: "ViTConfig", name: str) -> Shapes:
    return {
        **_dense(f"{name}/hidden", config.width, config.mlp_dim),
        **_dense(f"{name}/output_projection", config.mlp_dim, config.width),
    }


def _stem(config: "ViTConfig") -> Shapes:
    width = config.resnet_width
    found: Shapes = {"resnet_stem/root_conv/kernel": (7, 7, config.channels, width)}
    found |= _norm("resnet_stem/root_norm", width)
    for name, incoming, inner, outgoing, _, projected in stem_units(config):
        if projected:
            found[f"{name}/conv_proj/kernel"] = (1, 1, incoming, outgoing)
            found |= _norm(f"{name}/norm_proj", outgoing)
        found[f"{name}/conv1/kernel"] = (1, 1, incoming, inner)
        found |= _norm(f"{name}/norm1", inner)
        found[f"{name}/conv2/kernel"] = (3, 3, inner, inner)
        found |= _norm(f"{name}/norm2", inner)
        found[f"{name}/conv3/kernel"] = (1, 1, inner, outgoing)
        found |= _norm(f"{name}/norm3", outgoing)
    return found


def _dense(name: str, inputs: int, outputs: int, bias: bool = True) -> Shapes:
    found: Shapes = {f"{name}/kernel": (inputs, outputs)}
    return found | {f"{name}/bias": (outputs,)} if bias else found


def _norm(name: str, size: int) -> Shapes:
    return {f"{name}/gamma": (size,), f"{name}/beta": (size,)}
