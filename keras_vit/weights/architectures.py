# SPDX-License-Identifier: MIT
"""What timm's architectures compute, as far as their tensors do not tell.

`architectures.json` is written by benchmarks/architectures.py, which makes every one of them.
"""

import functools
import hashlib
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from keras_vit.errors import unknown

Row = dict[str, Any]

POOLS = {"token": "token", "avg": "average", "map": "map"}  # timm's words and ours

_FILE = Path(__file__).with_name("architectures.json")
# What says nothing about the blocks: heads, and the inside of a ResNet stem.
_UNTELLING = re.compile(r"blocks\.[1-9]|head|patch_embed\.backbone\.stages\.|mask_token$")


@functools.cache
def table() -> dict[str, Row]:
    """Every architecture by its name in timm.

    A row has `names` (see `names_digest`), `width`, `depth`, `mlp_dim`, `num_heads`, `patch`,
    `image`, `gelu`, `norm_epsilon`, `pool`, `pool_prefix_tokens`, and `unlike`: the features that
    the model here lacks, in words. What is not in a row is unknown, none or false.
    """
    return _content()["architectures"]


def architecture_row(name: str) -> Row:
    """The row of a name, with or without the tag of its weights, or of an older name of timm's.

    Raises:
        UserError: for a name that timm did not have when the table was made.
    """
    plain = name.partition(".")[0]
    plain = _content()["aliases"].get(plain, plain)
    if plain not in table():
        hint = (
            f"the names of Vision Transformers in timm {_content()['timm']}; if it computes as one "
            "of them does, give that as architecture="
        )
        raise unknown("architecture", name, table(), hint)
    return table()[plain]


def row_facts(row: Row) -> dict[str, Any]:
    """What a row tells of a `ViTConfig`, but for the heads of another width."""
    return {
        "num_heads": row.get("num_heads"),
        "gelu": row.get("gelu"),
        "norm_epsilon": row.get("norm_epsilon"),
        "pool": POOLS.get(row.get("pool", "")),
        "pool_includes_prefix": bool(row.get("pool_prefix_tokens")),
    }


def names_digest(names: Iterable[str]) -> str:
    """A short text that is equal for files whose blocks have the same tensors.

    Args:
        names: of the tensors, as timm writes them.
    """
    told = sorted(name for name in names if not _UNTELLING.match(name))
    return hashlib.sha256("\n".join(told).encode()).hexdigest()[:10]


@functools.cache
def _content() -> dict[str, Any]:
    return json.loads(_FILE.read_text(encoding="utf-8"))
