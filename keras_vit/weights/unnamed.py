# SPDX-License-Identifier: MIT
"""What a file of weights computes whose architecture nothing names.

The names of its tensors say which architectures it may be of. What those compute alike is taken;
what they compute differently is asked for.
"""

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from keras_vit.errors import UserError
from keras_vit.weights.architectures import Row, names_digest, row_facts, table

# Arguments of `load_model` by the field that they tell.
_ARGUMENTS = {
    "num_heads": "num_heads",
    "gelu": "gelu",
    "norm_epsilon": "norm_epsilon",
    "pool": "pool",
    "pool_includes_prefix": None,  # only an architecture tells it
}
# What timm computes unless it is told otherwise.
_USUAL = {"gelu": "exact", "norm_epsilon": 1e-6}
# Visible in the shapes of the tensors, which are compared anyway.
_SHAPED = {"a gated MLP (GLU)"}
_log = logging.getLogger(__name__)


def timm_facts(
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
    for field in _ARGUMENTS:
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


def check_told(names: Iterable[str], known: Mapping[str, Any], source: str) -> None:
    """Raises the error of a file of transformers without its config.json, unless the caller told
    what that would.

    Args:
        names, known, source: see `timm_facts`.
    """
    if any(name.startswith("pooler.") for name in names):
        raise UserError(
            f"{source}: nothing tells the activation of its pooler. Put its config.json next to "
            "it, or leave the pooler out: skip='pooler.*'."
        )
    wanted = ("num_heads", "gelu", "norm_epsilon")
    missing = [field for field in wanted if known.get(field) is None]
    if missing:
        arguments = ", ".join(f"{_ARGUMENTS[field]}=" for field in missing)
        raise UserError(
            f"{source}: nothing tells {_in_words(missing)}. Put its config.json next to it, or "
            f"give {arguments}."
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
    arguments = [f"{_ARGUMENTS[field]}=" for field in fields if _ARGUMENTS[field]]
    example = next(iter(rows), "vit_base_patch16_224")
    also = f", or give {', '.join(arguments)}" if len(arguments) == len(fields) else ""
    has = f" It has the tensors of {_listed(rows)}." if rows else ""
    return UserError(
        f"{source}: nothing in the file tells {_in_words(fields)}.{has} Name its architecture as "
        f"timm does, e.g. architecture={example!r}{also}."
    )


def _in_words(fields: list[str]) -> str:
    words = {
        "num_heads": "the number of attention heads",
        "gelu": "the form of GELU",
        "norm_epsilon": "the epsilon of the norms",
        "pool": "the pool",
        "pool_includes_prefix": "the tokens that the pool reads",
    }
    return ", ".join(words[field] for field in fields)


def _listed(rows: Mapping[str, Row]) -> str:
    names = list(rows)
    more = f" and {len(names) - 3} others" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
