#!/usr/bin/env python
# SPDX-License-Identifier: MIT
"""Writes adapters/timm_architectures.json: what each architecture of timm computes.

A file of weights does not tell rotary positions, epsilon, GELU or heads; the name of its
architecture does. Each is made here without memory for its weights, and described:

    python benchmarks/architectures.py      # with timm: pip install -e '.[parity]'
"""

import json
import warnings
from pathlib import Path
from typing import Any

MODULES = (
    *("vision_transformer", "deit", "vision_transformer_hybrid", "eva", "naflexvit", "beit"),
    *("vision_transformer_sam", "vision_transformer_relpos"),
)
ADAPTERS = Path(__file__).parents[1] / "keras_vit" / "weights" / "adapters"
OUT = ADAPTERS / "timm_architectures.json"

# What a kind of module means in words, where ours has no such thing.
BLOCKS = {
    "ParallelScalingBlock": "attention and MLP in parallel",
    "DiffParallelScalingBlock": "attention and MLP in parallel",
    "ParallelThingsBlock": "two blocks in parallel",
}
MODULE_WORDS = {
    "BatchNorm2d": "BatchNorm",
    "DiffAttention": "differential attention",
}
FAMILIES = {"VisionTransformerSAM": "attention in windows (SAM)"}
AFTER = ("ResPostBlock", "ResPostRelPosBlock", "EvaBlockPostNorm")
ACTIVATIONS = {"GELUTanh": "gelu_tanh", "QuickGELU": "quick_gelu", "SiLU": "silu"}
ROTARY = {
    "RotaryEmbeddingCat": "axial",
    "RotaryEmbeddingDinoV3": "dinov3",
    "RotaryEmbeddingMixed": "mixed",
}
NORMS = ("LayerNorm", "RmsNorm")


def main() -> None:
    warnings.simplefilter("ignore")
    import timm
    import torch

    rows, digests = {}, {}
    for module in MODULES:
        for name in timm.list_models(module=module):
            with torch.device("meta"):
                model = timm.create_model(name)
            rows[name] = row(model)
            digests[name] = rows[name]["names"]
    from timm.models._registry import _deprecated_models

    aliases = {
        old: new.partition(".")[0]
        for old, new in _deprecated_models.items()
        if new and new.partition(".")[0] in rows
    }
    lines = ",\n".join(f"{json.dumps(n)}: {json.dumps(row)}" for n, row in rows.items())
    head = json.dumps({"timm": timm.__version__, "aliases": aliases})[:-1]
    OUT.write_text(f'{head}, "architectures": {{\n{lines}\n}}}}\n')
    print(f"{OUT}: {len(rows)} architectures, {len(set(digests.values()))} sets of names")


def row(model) -> dict[str, Any]:
    """The facts of one architecture; `unlike` are the features that ours lacks."""
    from keras_vit.weights.adapters.timm_architectures import names_digest

    block = model.blocks[0]
    norms = [m for m in model.modules() if type(m).__name__ in NORMS]
    heads = getattr(getattr(block, "attn", block), "num_heads", None)
    data = model.pretrained_cfg
    hidden = getattr(getattr(block, "mlp", None), "fc2", None)
    pool = getattr(model, "attn_pool", None)
    found = {
        "names": names_digest(model.state_dict()),
        "kind": type(model).__name__,
        "width": model.embed_dim,
        "depth": len(model.blocks),
        "mlp_dim": getattr(hidden, "in_features", None),
        "num_heads": heads,
        "patch": patch_size(model),
        "image": list(data["input_size"][1:]),
        "activation": activation(model),
        "gated": type(getattr(block, "mlp", None)).__name__ in ("GluMlp", "SwiGLU"),
        "norm_epsilon": norms[0].eps if norms else None,
        "norm_placement": "after" if type(block).__name__ in AFTER else None,
        "pool": getattr(model, "global_pool", ""),
        "pool_prefix_tokens": pools_prefix(model),
        "pool_heads": None if pool is None or pool.num_heads == heads else pool.num_heads,
        **rotary(getattr(model, "rope", None)),
        **relative(model),
        **flexible(getattr(model, "embeds", None)),
        "unlike": sorted(set(unlike(model))),
    }
    return {name: value for name, value in found.items() if value not in (None, False, [])}


def pools_prefix(model) -> bool:
    """Whether a pool of patches reads the tokens before them too: a pool of attention always does
    where the class has no word for it."""
    if not hasattr(model, "pool_include_prefix"):
        return getattr(model, "attn_pool", None) is not None
    return bool(model.pool_include_prefix)


def rotary(rope) -> dict[str, Any]:
    """What the module of rotary positions computes, in the words of `ViTConfig`; `rotary_layout`:
    which channels of a head it turns together."""
    if rope is None:
        return {}
    swapped = ", x first" if rope.grid_indexing == "xy" else ""
    grid = getattr(rope, "ref_feat_shape", None)
    return {
        "rotary": ROTARY[type(rope).__name__],
        "rotary_temperature": float(rope.temperature),
        "rotary_reference_grid": list(grid) if grid else None,
        "rotary_offset": getattr(rope, "grid_offset", 0.0) or None,
        "rotary_layout": ("halves" if getattr(rope, "rotate_half", False) else "pairs") + swapped,
    }


def relative(model) -> dict[str, Any]:
    """How an MLP of relative positions takes offsets ("cr" or "swin")."""
    modes = {m.mode for m in model.modules() if type(m).__name__ == "RelPosMlp"}
    return {"relative_mode": modes.pop()} if modes else {}


def flexible(embeds) -> dict[str, Any]:
    """How NaFlexVit makes positions for a grid out of those that it learned."""
    if embeds is None:
        return {}
    return {
        "grid_method": embeds.pos_embed_interp_mode
        + ("_antialias" if embeds.pos_embed_antialias else ""),
        "grid_corners": embeds.pos_embed_align_corners,
        "grid_square": embeds.pos_embed_ar_preserving,
    }


def patch_size(model) -> int | None:
    embeds = getattr(model, "patch_embed", getattr(model, "embeds", None))
    size = getattr(embeds, "patch_size", None)
    return size[0] if isinstance(size, tuple) else size


def activation(model) -> str | None:
    """That of the MLPs."""
    words = set()
    for block in model.blocks:
        for module in block.modules():
            kind = type(module).__name__
            if kind == "GELU":
                exact = getattr(module, "approximate", "none") == "none"
                words.add("gelu" if exact else "gelu_tanh")
            elif kind in ACTIVATIONS:
                words.add(ACTIVATIONS[kind])
    return words.pop() if len(words) == 1 else None


def unlike(model):
    """Features of a timm model that the model here does not have."""
    kinds = {type(module).__name__ for module in model.modules()}
    block = model.blocks[0]
    names = set(model.state_dict())
    yield from (words for kind, words in MODULE_WORDS.items() if kind in kinds)
    if type(model).__name__ in FAMILIES:
        yield FAMILIES[type(model).__name__]
    if type(block).__name__ in BLOCKS:
        yield BLOCKS[type(block).__name__]
    if len({m.eps for m in model.modules() if type(m).__name__ in NORMS}) > 1:
        yield "norms of different epsilon"
    if len({type(m).__name__ for m in model.modules()} & set(NORMS)) > 1:
        yield "norms of several kinds"
    if len(kinds & {"GELU", *ACTIVATIONS}) > 1:
        yield "activations of several kinds"
    if getattr(block, "gamma_1", None) is not None and getattr(block, "gamma_2", None) is None:
        yield "LayerScale after the attention alone"
    if any(getattr(getattr(b, "attn", None), "num_kv_groups", 1) > 1 for b in model.blocks):
        yield "queries in groups (GQA)"
    if any(".attn.gate." in name for name in names):
        yield "a gate on the attention"
    if any(".backbone.conv1." in name for name in names) or "BatchNormAct2d" in kinds:
        yield "a ResNet stem of another form (ResNet-D)"
    if "ConvNormAct" in kinds:
        yield "a convolutional stem"
    rope = getattr(model, "rope", None)
    if rope is not None and type(rope).__name__ not in ROTARY:
        yield f"rotary positions of another form ({type(rope).__name__})"
    if getattr(rope, "normalize_coords", "separate") != "separate":
        yield "rotary positions of another form (one scale for both sides)"


if __name__ == "__main__":
    main()
