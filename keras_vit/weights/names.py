# SPDX-License-Identifier: MIT
"""What the name of a tensor tells, whatever family it is of."""

import fnmatch
import re
from collections.abc import Collection, Iterable, Sequence

from keras_vit.errors import UserError
from keras_vit.weights.formats import Checkpoint

# Words for what a tensor takes part in, where the model here has no such thing. Of the names of
# timm, transformers, OpenCLIP and the releases of the papers.
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

# A first part of a name that tells of something other than the encoder of images...
_OUTSIDE = re.compile(
    r"(text|txt|opt|optim|extra|ema|state|decoder|teacher|student|predictor|proj|head|classifier"
    r"|cls_classifier|distillation_classifier|pre_logits|pooler|fc$|mask_token|lm_|t$|b$)"
)
# ... and what of a name tells that it takes part in what the encoder computes.
_INSIDE = re.compile(
    r"block|layer|encoder|transformer|attn|attention|mlp|norm|(^|[./_])ln|pos|rope|freq|bias_table"
    r"|embed|patch|token|cls|probe|latent|scale|gamma|conv|stem",
    re.IGNORECASE,
)


def features_of(names: Iterable[str]) -> list[str]:
    """The features that names of tensors tell of, in plain words; empty where none is known."""
    names = list(names)
    return [word for pattern, word in _FEATURES if any(re.search(pattern, n) for n in names)]


def is_inside(name: str) -> bool:
    """Whether a name without its prefix is of a tensor that takes part in what the encoder
    computes, as far as names tell."""
    return not _OUTSIDE.match(name) and _INSIDE.search(name) is not None


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Whether a name fits one of some patterns of `fnmatch`."""
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def own_names(
    checkpoint: Checkpoint,
    names: Collection[str],
    prefix: str,
    beside: Sequence[str],
    older: Sequence[tuple[str, str]],
) -> dict[str, str]:
    """The tensors of the model: the name that its table gives each, and the name in the file.

    Args:
        checkpoint: the file, for messages.
        names: those of its names that count.
        prefix: what stands before the names of the model.
        beside: patterns of names that are not of the model.
        older: regular expressions of older spellings, without the prefix, and today's.
    """
    # Below its own prefix a model is not something else: `opt/target/` against `opt/*`.
    within = [pattern for pattern in beside if not matches(f"{prefix}cls", [pattern])]
    new_to_old: dict[str, str] = {}
    for name in names:
        if matches(name, within if name.startswith(prefix) else beside):
            continue
        new = name.removeprefix(prefix)
        for old, today in older:
            new = re.sub(rf"^{old}$", today, new)
        if new in new_to_old:
            raise UserError(
                f"{checkpoint.source}: {name!r} and {new_to_old[new]!r} are the same tensor."
            )
        new_to_old[new] = name
    return new_to_old


def check_skipped(checkpoint: Checkpoint, skip: Sequence[str], prefix: str) -> None:
    """Checks that the patterns of `skip` leave out nothing that the model computes with.

    Raises:
        UserError: for a tensor of the encoder, or a part of a layer whose rest is kept.
    """
    skipped = [name for name in checkpoint if matches(name, skip)]
    layers_kept = {_layer(name) for name in checkpoint if name not in set(skipped)} - {""}
    for name in skipped:
        below = name.removeprefix(prefix)
        inside = is_inside(below) and name.startswith(prefix)
        if inside or _layer(name) in layers_kept:
            why = "the encoder computes with it" if inside else "the rest of its layer is kept"
            raise UserError(
                f"{checkpoint.source}: skip: {name!r} cannot be left out: {why}, and the model "
                "would compute something else. What is not of the encoder can be skipped: a head "
                "as a whole, another tower, the state of an optimizer."
            )


def _layer(name: str) -> str:
    """The name without its last part: `head` of `head.bias`."""
    return name[: max(name.rfind("."), name.rfind("/"), 0)]
