# SPDX-License-Identifier: MIT
"""The model of a run and its exports, row by row."""

_COLUMNS = ("agrees", "max |d logit|", "size", "ms/image (batch 1, median)")


def score_of(report: dict) -> str:
    """What the model is known by: mean average precision where images show several classes."""
    return "map" if "map" in report else "top1"


def export_columns(report: dict) -> tuple[str, ...]:
    """What stands above the cells of `export_rows`."""
    return ("format", {"map": "mAP", "top1": "top-1"}[score_of(report)], *_COLUMNS)


def export_rows(report: dict) -> list[tuple[str, ...]]:
    """One row for the Keras model, then one for each exported file."""
    score = score_of(report)
    original = {"format": "keras", score: report[score], **report["keras"]}
    return [
        (
            _name(entry),
            "-" if entry[score] is None else f"{entry[score]:.1%}",
            _percent(entry["agreement"]) if "agreement" in entry else "-",
            f"{entry['max_abs_diff']:.0e}" if "max_abs_diff" in entry else "-",
            f"{entry['bytes'] / 1e6:.2f} MB",
            f"{entry['ms_per_image']:.2f}",
        )
        for entry in (original, *report["exports"])
    ]


def _name(entry: dict) -> str:
    mode, merge = entry.get("quantize", "none"), entry.get("merge")
    name = entry["format"] if mode == "none" else f"{entry['format']} {mode}"
    return f"{name} merge {merge:g}" if merge else name


def _percent(share: float) -> str:
    """Rounded down: 100 % means all."""
    return "100 %" if share == 1 else f"{int(share * 10_000) / 100:.2f} %"


def export_problems(report: dict) -> list[str]:
    """A sentence for each file that does not agree with the model."""
    return [
        f"{_name(entry)} DISAGREES: {entry['problem']}. The file is kept as {entry['path']}."
        for entry in report["exports"]
        if not entry["ok"]
    ]
