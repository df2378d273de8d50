#!/usr/bin/env python
# SPDX-License-Identifier: MIT
"""Writes adapters/timm_architectures.json: what each architecture of timm computes.

A file of weights does not tell rotary positions, epsilon, GELU or heads; the name of its
architecture does. Each is made here without memory for its weights, and described:

    python benchmarks/architectures.py      # with timm: pip install -e '.[parity]'
"""

import json
import re
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
    "ResPostBlock": "norms after each branch (post-norm)",
    "ResPostRelPosBlock": "norms after each branch (post-norm)",
    "EvaBlockPostNorm": "norms after each branch (post-norm)",
    "ParallelScalingBlock": "attention and MLP in parallel",
    "DiffParallelScalingBlock": "attention and MLP in parallel",
    "ParallelThingsBlock": "two blocks in parallel",
}
MODULE_WORDS = {
    "QuickGELU": "quick GELU",
    "SwiGLU": "SwiGLU",
    "GluMlp": "a gated MLP (GLU)",
    "RmsNorm": "RMSNorm",
    "BatchNorm2d": "BatchNorm",
    "DiffAttention": "differential attention",
    "RelPosAttention": "relative position bias",
    "RelPosBias": "relative position bias",
    "RelPosMlp": "relative position bias",
}
FAMILIES = {
    "NaFlexVit": "patches of any number (NaFlex)",
    "VisionTransformerSAM": "attention in windows (SAM)",
    "Beit": "relative position bias",
}


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
    norms = [m for m in model.modules() if type(m).__name__ == "LayerNorm"]
    heads = getattr(getattr(block, "attn", block), "num_heads", None)
    data = model.pretrained_cfg
    hidden = getattr(getattr(block, "mlp", None), "fc1", None)
    found = {
        "names": names_digest(model.state_dict()),
        "width": model.embed_dim,
        "depth": len(model.blocks),
        "mlp_dim": getattr(hidden, "out_features", None),
        "num_heads": heads,
        "patch": patch_size(model),
        "image": list(data["input_size"][1:]),
        "activation": activation(model),
        "norm_epsilon": norms[0].eps if norms else None,
        "pool": getattr(model, "global_pool", ""),
        "pool_prefix_tokens": bool(getattr(model, "pool_include_prefix", False)),
        "unlike": sorted(set(unlike(model))),
    }
    return {name: value for name, value in found.items() if value not in (None, False, [])}


def patch_size(model) -> int | None:
    size = getattr(getattr(model, "patch_embed", None), "patch_size", None)
    return size[0] if isinstance(size, tuple) else size


def activation(model) -> str | None:
    words = set()
    for module in model.modules():
        if type(module).__name__ == "GELUTanh":
            words.add("gelu_tanh")
        elif type(module).__name__ == "GELU":
            words.add("gelu" if getattr(module, "approximate", "none") == "none" else "gelu_tanh")
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
    if getattr(model, "rope", None) is not None or getattr(model, "rope_mixed", False):
        yield "rotary positions (RoPE)"
    if type(getattr(model, "norm_pre", None)).__name__ not in ("Identity", "NoneType"):
        yield "a norm before the encoder"
    final = [getattr(model, n, None) for n in ("norm", "fc_norm")]
    if all(type(norm).__name__ in ("Identity", "NoneType") for norm in final):
        yield "no norm after the last block"
    if len({m.eps for m in model.modules() if type(m).__name__ == "LayerNorm"}) > 1:
        yield "norms of different epsilon"
    if len(kinds & {"GELU", "GELUTanh", "QuickGELU", "SiLU"}) > 1:
        yield "activations of several kinds"
    if "patch_embed.proj.weight" in names and "patch_embed.proj.bias" not in names:
        yield "a projection of the patches without bias"
    if any(re.search(r"attn\.(q_bias|v_bias)$", name) for name in names):
        yield "biases of queries and values without keys"
    if any(re.search(r"blocks\.0\.(attn|mlp)\.norm\.", name) for name in names):
        yield "a norm inside the attention or the MLP"
    if any(".attn.q_proj." in name or ".attn.q.weight" in name for name in names):
        yield "separate queries, keys and values"
    if any(".backbone.conv1." in name for name in names) or "BatchNormAct2d" in kinds:
        yield "a ResNet stem of another form (ResNet-D)"
    if type(getattr(model, "patch_embed", None)).__name__ not in ("PatchEmbed", "HybridEmbed"):
        yield "another projection of the patches"
    if "ConvNormAct" in kinds:
        yield "a convolutional stem"
    pool = getattr(model, "attn_pool", None)
    if pool is not None and pool.num_heads != block.attn.num_heads:
        yield "attention pooling with heads of its own"
    if pool is not None and hasattr(pool, "mlp") and hasattr(pool.mlp, "fc1"):
        mlp = getattr(getattr(block, "mlp", None), "fc1", None)
        if mlp is None or pool.mlp.fc1.out_features != mlp.out_features:
            yield "attention pooling with an MLP of its own"


if __name__ == "__main__":
    main()
