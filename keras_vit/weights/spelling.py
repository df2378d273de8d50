# SPDX-License-Identifier: MIT
"""Which dialect a file speaks, and its names without prefixes and older spellings."""

import fnmatch
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from keras_vit.errors import UserError
from keras_vit.weights.features import features_of
from keras_vit.weights.formats import Checkpoint

# Where the encoder of an image can lie in what a training program saved; the first that fits.
_FLAX_PREFIXES = ("", "params/", "params/img/", "img/", "opt/target/", "opt/target/img/")
_HF_PREFIXES = ("", "vit.", "deit.")
_TIMM_PREFIXES = ("", "module.", "backbone.", "model.", "module.backbone.", "timm_model.")

# Tensors beside the classifier that programs are known to save: optimiser state, the text tower
# and temperature of two-tower models, and the token that masked-image pre-training needs.
_BESIDE = {
    "flax": ("opt/*", "extra/*", "params/txt/*", "params/t", "params/b", "txt/*", "t", "b"),
    "timm": ("mask_token",),
    "hf": ("*embeddings.mask_token", "*position_ids"),
}

# Older spellings -> those of the tables.
_OLDER = {
    "flax": (
        (r"Transformer/pos_embedding", "pos_embedding"),
        (r"(probe|(?:MlpBlock|LayerNorm|MultiHeadDotProductAttention)_0/.*)", r"MAPHead_0/\1"),
    ),
    "timm": (
        (r"register_tokens", "reg_token"),
        (r"(blocks\.\d+)\.gamma_([12])", r"\1.ls\2.gamma"),
    ),
    "hf": (),
}


# A first part of a name that tells of something beside the encoder of images...
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


class Canonical(NamedTuple):
    """A checkpoint under the names of its dialect's table.

    Attributes:
        dialect: a key of `DIALECTS`.
        checkpoint: the tensors of the classifier.
        names: their names in the file, without the prefix.
        prefix: what was taken off the names.
        skipped: names in the file that are not of the classifier, or that the caller skips.
    """

    dialect: str
    checkpoint: Checkpoint
    names: tuple[str, ...]
    prefix: str
    skipped: tuple[str, ...]


def canonical(
    checkpoint: Checkpoint, skip: Sequence[str] = (), subtree: str | None = None
) -> Canonical:
    """Finds the dialect of a checkpoint and brings its names to those of the table.

    Args:
        checkpoint: names as in the file.
        skip: patterns (`fnmatch`) of names in the file to treat as if they were not there; not of
            the encoder's own tensors, and not of a part of a layer.
        subtree: the part of a Flax tree to read, e.g. "img"; every other part is left out.

    Raises:
        UserError: when the names are of no known dialect, or a name may not be skipped.
    """
    skip = (skip,) if isinstance(skip, str) else tuple(skip)
    names = [name for name in checkpoint if not _matches(name, skip)]
    if subtree is not None:
        names = [name for name in names if f"/{subtree}/" in f"/{name}"]
    kind, prefix = _kind_and_prefix(checkpoint.source, names)
    if skip:
        _check_skipped(checkpoint, skip, prefix)
    beside = _BESIDE[kind]
    # Below its own prefix a model is not beside itself: `opt/target/` against `opt/*`.
    within = [pattern for pattern in beside if not _matches(f"{prefix}cls", [pattern])]
    new_to_old = {}
    for name in names:
        if not _matches(name, within if name.startswith(prefix) else beside):
            new = _modern(kind, name.removeprefix(prefix))
            if new in new_to_old:
                raise UserError(
                    f"{checkpoint.source}: {name!r} and {new_to_old[new]!r} are the same tensor."
                )
            new_to_old[new] = name
    if kind == "hf" and any("classifier." in name for name in new_to_old):
        # The class head reads the token itself; the pooler beside it was never trained.
        new_to_old = {k: v for k, v in new_to_old.items() if not k.startswith("pooler.")}
    kept = set(new_to_old.values())
    return Canonical(
        _spelling(kind, new_to_old, prefix),
        checkpoint.renamed(new_to_old),
        tuple(name.removeprefix(prefix) for name in new_to_old.values()),
        prefix,
        tuple(name for name in checkpoint if name not in kept),
    )


def _check_skipped(checkpoint: Checkpoint, skip: Sequence[str], prefix: str) -> None:
    """Raises the error of a pattern that leaves out something that the model computes with."""
    skipped = [name for name in checkpoint if _matches(name, skip)]
    layers_kept = {_layer(name) for name in checkpoint if name not in set(skipped)} - {""}
    for name in skipped:
        below = name.removeprefix(prefix)
        inside = is_inside(below) and name.startswith(prefix)
        if inside or _layer(name) in layers_kept:
            why = "the encoder computes with it" if inside else "the rest of its layer is kept"
            raise UserError(
                f"{checkpoint.source}: skip: {name!r} cannot be left out: {why}, and the model "
                "would compute something else. What lies beside the encoder can be skipped: a head "
                "as a whole, another tower, the state of an optimizer."
            )


def is_inside(name: str) -> bool:
    """Whether a name without its prefix is of a tensor that takes part in what the encoder
    computes, as far as names tell."""
    return not _OUTSIDE.match(name) and _INSIDE.search(name) is not None


def _layer(name: str) -> str:
    """The name without its last part: `head` of `head.bias`."""
    return name[: max(name.rfind("."), name.rfind("/"), 0)]


def _kind_and_prefix(source: str, names: Iterable[str]) -> tuple[str, str]:
    present = set(names)
    landmarks = (
        ("flax", "embedding/kernel", _FLAX_PREFIXES),
        ("hf", "embeddings.patch_embeddings.projection.weight", _HF_PREFIXES),
        ("timm", "patch_embed.proj.weight", _TIMM_PREFIXES),
    )
    for kind, landmark, prefixes in landmarks:
        for prefix in prefixes:
            if prefix + landmark in present:
                return kind, prefix
    features = features_of(present)
    seems = f" It seems to have {', '.join(features)}." if features else ""
    raise UserError(
        f"{source}: not a Vision Transformer in a dialect that is known here.{seems} Expected "
        f"{' or '.join(landmark for _, landmark, _ in landmarks)} among the names, "
        f"received {', '.join(sorted(present)[:6])}, ..."
    )


def _modern(kind: str, name: str) -> str:
    for old, new in _OLDER[kind]:
        name = re.sub(rf"^{old}$", new, name)
    return name


def _spelling(kind: str, names: Iterable[str], prefix: str) -> str:
    names = set(names)
    if kind == "hf":
        return "hf_v5" if any(name.startswith("layers.") for name in names) else "hf"
    if kind == "timm":
        return "timm"
    if any(name.startswith("Transformer/encoderblock/") for name in names):
        return "big_vision_scan"
    if "Transformer/posembed_input/pos_embedding" in names:
        of_today = any("MultiHeadDotProductAttention_0" in name for name in names)
        return "flax" if of_today else "flax_published"
    if any("MultiHeadDotProductAttention_1" in name for name in names):
        return "flax_published"
    return "big_vision"


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
