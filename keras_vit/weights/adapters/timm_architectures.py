# SPDX-License-Identifier: MIT
"""What timm's architectures compute, as far as their tensors do not tell.

`timm_architectures.json` is written by benchmarks/architectures.py, which makes every one of them.
Of a file whose architecture nothing names, the names of the tensors say which it may be. What those
compute alike is taken; what they compute differently is asked for.
"""

import functools
import hashlib
import json
import logging
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from keras_vit.errors import UserError, unknown
from keras_vit.weights.infer import ARGUMENTS, in_words

Row = dict[str, Any]

POOLS = {"token": "token", "avg": "average", "map": "map"}  # timm's words and ours

_FILE = Path(__file__).with_suffix(".json")
# What says nothing about the blocks: heads, and the inside of a ResNet stem.
_UNTELLING = re.compile(r"blocks\.[1-9]|head|patch_embed\.backbone\.stages\.|mask_token$")

# What timm computes unless it is told otherwise.
_USUAL = {"activation": "gelu", "norm_epsilon": 1e-6}
# Visible in the shapes of the tensors, which are compared anyway.
_SHAPED = {"a gated MLP (GLU)"}
_log = logging.getLogger(__name__)


@functools.cache
def table() -> dict[str, Row]:
    """Every architecture by its name in timm.

    A row has `names` (see `names_digest`), `width`, `depth`, `mlp_dim`, `num_heads`, `patch`,
    `image`, `activation`, `norm_epsilon`, `pool`, `pool_prefix_tokens`, and `unlike`: the features
    that the model here lacks, in words. What is not in a row is unknown, none or false.
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
        "activation": row.get("activation"),
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


def facts_by_names(
    names: Iterable[str], sizes: tuple[int, int, int], known: Mapping[str, Any], source: str
) -> dict[str, Any]:
    """Facts about a file of timm without a configuration.

    Args:
        names: of its tensors, without a prefix.
        sizes: width, depth and width of the MLP.
        known: facts that the caller told.
        source: what to call the file in messages.

    Raises:
        UserError: when the tensors are those of architectures that the model here cannot be, or of
            several that compute differently.
    """
    names = list(names)
    digest = names_digest(names)
    rows = {name: row for name, row in table().items() if row["names"] == digest}
    plain = {name: row for name, row in rows.items() if not set(row.get("unlike", ())) - _SHAPED}
    if rows and not plain:
        raise _unlike(rows, source)
    if not rows and "pos_embed" not in names:
        raise UserError(
            f"{source}: has no table of positions, and nothing in the file tells whether they are "
            "rotary or missing. Name the architecture of timm, e.g. "
            "architecture='vit_base_patch16_224'."
        )
    of_size = {n: r for n, r in plain.items() if _sizes(r) == sizes}
    facts, open_fields = {}, []
    for field in ARGUMENTS:
        answers = {row_facts(row).get(field) for row in (of_size or plain).values()} - {None}
        if known.get(field) is not None:
            continue
        if field == "num_heads" and not of_size:
            answers = set()
        if not answers and field in _USUAL:
            answers = {_USUAL[field]}
            _log.warning("%s: taking %s=%s, timm's usual one.", source, field, _USUAL[field])
        if len(answers) == 1:
            facts[field] = answers.pop()
        elif answers or field == "num_heads":
            open_fields.append(field)
    if open_fields and not _told_by_norms(open_fields, names):
        raise _ask(open_fields, of_size or plain, source)
    return facts


def _told_by_norms(open_fields: list[str], names: list[str]) -> bool:
    """The norm of a query has as many channels as a head."""
    return open_fields == ["num_heads"] and "blocks.0.attn.q_norm.weight" in names


def _sizes(row: Row) -> tuple[int | None, int | None, int | None]:
    return row.get("width"), row.get("depth"), row.get("mlp_dim")


def _unlike(rows: Mapping[str, Row], source: str) -> UserError:
    features = sorted({feature for row in rows.values() for feature in row["unlike"]})
    return UserError(
        f"{source}: has the tensors of {_listed(rows)}, which has {', '.join(features)}: the model "
        "here does not. If it is of another architecture of timm, name it with architecture=."
    )


def _ask(fields: list[str], rows: Mapping[str, Row], source: str) -> UserError:
    arguments = [f"{ARGUMENTS[field]}=" for field in fields if ARGUMENTS[field]]
    example = next(iter(rows), "vit_base_patch16_224")
    also = f", or give {', '.join(arguments)}" if len(arguments) == len(fields) else ""
    has = f" It has the tensors of {_listed(rows)}." if rows else ""
    return UserError(
        f"{source}: nothing in the file tells {in_words(fields)}.{has} Name its architecture as "
        f"timm does, e.g. architecture={example!r}{also}."
    )


def _listed(rows: Mapping[str, Row]) -> str:
    names = list(rows)
    more = f" and {len(names) - 3} others" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
