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
# Facts that tensors do not show, and that only a name tells: each with what it is in a row that has
# no word on it.
_ROTARY = {
    "rotary": "none",
    "rotary_temperature": None,
    "rotary_reference_grid": None,
    "rotary_offset": 0.0,
    "rotary_layout": None,
}
_GRID = {"grid_method": None, "grid_corners": False, "grid_square": False, "grid_patch": None}
_UNSEEN: dict[str, dict[str, Any]] = {
    "rotary": _ROTARY,
    "norm_placement": {"norm_placement": "before"},
    "pool_heads": {"pool_heads": 0},
    "relative_mode": {"relative_mode": None},
    "grid": _GRID,
}
# Parts of names that only classes with such options use.
_OPTIONAL = re.compile(r".*(\.gamma_1|\.q_bias|\.q_proj|\.fc1_g|^rope)")
_log = logging.getLogger(__name__)


@functools.cache
def table() -> dict[str, Row]:
    """Every architecture by its name in timm.

    A row has `names` (see `names_digest`), `kind` (its class in timm), `width`, `depth`, `mlp_dim`,
    `num_heads`, `patch`, `image`, `gated`, what `row_facts` tells, and `unlike`: the features that
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
    """What a row tells of a `ViTConfig`, but for the heads of another width; and `rotary_layout`,
    `relative_mode` and `grid_*`, which say how tensors are to be read."""
    facts: dict[str, Any] = {
        "num_heads": row.get("num_heads"),
        "activation": row.get("activation"),
        "norm_epsilon": row.get("norm_epsilon"),
        "pool": POOLS.get(row.get("pool", "")),
        "pool_includes_prefix": bool(row.get("pool_prefix_tokens")),
    }
    for group in _UNSEEN.values():
        facts |= {field: row.get(field, usual) for field, usual in group.items()}
    if row.get("kind") == "NaFlexVit":
        facts["grid_patch"] = row.get("patch")  # its projection reads flat patches
    grid = facts["rotary_reference_grid"]
    return {**facts, "rotary_reference_grid": tuple(grid) if grid else None}


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
    spellings: Iterable[Iterable[str]],
    sizes: tuple[int, int, int],
    gated: bool,
    known: Mapping[str, Any],
    source: str,
) -> dict[str, Any]:
    """Facts about a file of timm without a configuration.

    Args:
        spellings: the names of its tensors, without a prefix: as the file has them, and as timm has
            them today.
        sizes: width, depth and width of the MLP.
        gated: whether the MLP is.
        known: facts that the caller told.
        source: what to call the file in messages.

    Raises:
        UserError: when the tensors are those of architectures that the model here cannot be, or of
            several that compute differently.
    """
    names, *others = [list(names) for names in spellings]
    digests = {names_digest(each) for each in (names, *others)}
    rows = {name: row for name, row in table().items() if row["names"] in digests}
    plain = {n: r for n, r in rows.items() if not r.get("unlike")}
    if rows and not plain:
        raise _unlike(rows, source)
    plain = {n: r for n, r in plain.items() if bool(r.get("gated")) == gated}
    _check_known(plain, names, source)
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
    for word, group in _UNSEEN.items():
        found = [{f: row_facts(row)[f] for f in group} for row in (of_size or plain).values()]
        if any(each != found[0] for each in found):
            open_fields.append(word)
        elif found:
            facts |= found[0]
    if open_fields and not _told_by_norms(open_fields, names):
        raise _ask(open_fields, of_size or plain, source)
    return facts


def _check_known(rows: Mapping[str, Row], names: list[str], source: str) -> None:
    """Refuses tensors of no architecture that may be of a model with rotary positions, or others
    that tensors do not show."""
    odd = [name for name in names if _OPTIONAL.match(name)]
    if rows or ("pos_embed" in names and not odd):
        return
    has = f"has the tensor {odd[0]}" if odd else "has no table of positions"
    raise UserError(
        f"{source}: {has}, and nothing in the file tells whether positions are rotary or missing. "
        "Name the architecture of timm, e.g. architecture='vit_base_patch16_224'."
    )


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
    arguments = [f"{ARGUMENTS[field]}=" for field in fields if ARGUMENTS.get(field)]
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
