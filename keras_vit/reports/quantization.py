# SPDX-License-Identifier: MIT
"""The quantisation card as text."""

from collections.abc import Sequence

from keras_vit.reports.tables import aligned

_COLUMNS = ("format", "quantize", "size", "latency", "top-1", "drop", "agrees", "logit SQNR", "")


def quantization_table(card: Sequence[dict]) -> str:
    """What each mode, and merging, costs and gains; sizes and latencies are ratios to float32.

    Args:
        card: `quantization` of a report; see `keras_vit.deploy.CheckedExport.to_card`.
    """
    lines = aligned([_COLUMNS, *map(_row, card)])
    for row in card:
        worst = row.get("worst_layers")
        if worst:
            named = ", ".join(f"{name} {_decibels(value)}" for name, value in worst.items())
            lines.append(f"{row['format']} {row['quantize']}, noisiest layers: {named}")
    return "\n".join(lines)


def _row(row: dict) -> tuple[str, ...]:
    notes = "; ".join([*(["kept"] if row.get("kept") else []), *row["notes"]])
    mode = row["quantize"] + (f" merge {row['merge']:g}" if "merge" in row else "")
    if "bytes" not in row:
        return (row["format"], mode, *["-"] * (len(_COLUMNS) - 3), notes)
    score = row.get("top1", row.get("map"))
    return (
        row["format"],
        mode,
        f"{row['size_ratio']:.2f}x",
        f"{row['latency_ratio']:.2f}x",
        "-" if score is None else f"{score:.2%}",
        f"{row['drop']:+.2f}",
        f"{row['agreement']:.1%}",
        _decibels(row["logit_sqnr"]),
        notes,
    )


def _decibels(value: float | None) -> str:
    return "exact" if value is None else f"{value:.1f} dB"
