# SPDX-License-Identifier: MIT
"""Words for what a tensor takes part in, where the model here has no such thing."""

import re
from collections.abc import Iterable

# Of the names of timm, transformers, OpenCLIP and the releases of the papers.
_FEATURES = (
    (r"rope|rotary|freqs|inv_freq", "rotary positions"),
    (r"relative_position|rel_pos|relpos", "relative position bias"),
    (r"pos_embed_[xyhw]\b|pos_embed\.(row|col)|embeds\.", "factorised or NaFlex positions"),
    (r"norm_pre|pre_?layer?norm|pre_layrnorm|ln_pre", "a norm before the encoder"),
    (r"mlp\.(w12|w1|w3|fc1_[gx]|gate|weights_in)|gate_proj|gate_up", "a gated MLP (SwiGLU)"),
    (r"\b[qv]_bias", "biases of queries and values without keys"),
    (r"lambda_(q|k)\d?|lambda_init", "differential attention"),
    (r"(attn|attention|mlp)\.(inner_)?norm\b|inner_attn_ln|ffn_ln", "norms inside a block's parts"),
    (r"\blambda_[12]|gamma_[12]|layer_?scale", "LayerScale under other names"),
    (r"attn\.[qkv](_proj)?\.|self_attn", "queries, keys and values of their own"),
    (r"bn\d?\.|running_(mean|var)|num_batches", "BatchNorm"),
    (r"(stem|patch_embed|conv_stem)\.\w*conv", "a convolutional stem"),
    (r"resblocks|visual\.", "OpenCLIP's names"),
    (r"pooler\.layernorm|head\.layernorm|attention_pool", "a head with a norm or pool of its own"),
)


def features_of(names: Iterable[str]) -> list[str]:
    """The features that names of tensors tell of, in plain words; empty where none is known."""
    names = list(names)
    return [word for pattern, word in _FEATURES if any(re.search(pattern, n) for n in names)]
