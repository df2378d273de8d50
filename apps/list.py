# SPDX-License-Identifier: MIT
"""List the recipes, the models, or the published weights.

examples:
  keras-vit list recipes
  keras-vit list models
  keras-vit list weights                       names for train --init and keras_vit.create
  keras-vit list weights --licence apache-2.0 --max_params 100M --sort top1
  keras-vit list weights --search dino
  keras-vit list weights --format json         with addresses, terms of licences and sources
  keras-vit list recipes --format json

Top-1 is what the publisher states for ImageNet-1k, in per cent, and of what: of the file's own
classes where nothing is said, else of a linear classifier on the features, of the nearest
neighbors (k-NN), of names of classes (zero-shot), or after fine-tuning. GFLOPs are those of a
forward pass of one image, a multiplication and its addition counted as 2.
"""

import argparse
import json
import re

from keras_vit.apps.cli import run_script

from keras_vit import recipes
from keras_vit.config import ViTConfig, variant_names
from keras_vit.errors import UserError, unknown
from keras_vit.reports.tables import aligned
from keras_vit.weights.catalog import Entry, select

_UNITS = {"K": 10**3, "M": 10**6, "B": 10**9}
# What --sort sorts by, and whether the largest comes first.
_SORTED = {
    "name": (lambda row: row["weights"].lower(), False),
    "parameters": (lambda row: row["parameters"], False),
    "gflops": (lambda row: row["GFLOPs"], False),
    "pixels": (lambda row: row["pixels"], False),
    "top1": (lambda row: row["top-1"] or 0, True),
    "licence": (lambda row: row["licence"].lower(), False),
}


def add_flags(parser):
    parser.add_argument("what", help="recipes, models or weights")
    parser.add_argument("--format", choices=("table", "json"), default="table")
    parser.add_argument(
        "--licence", action="append", metavar="NAME", help="weights: of this licence; repeatable"
    )
    parser.add_argument(
        "--max_params", type=_count, metavar="N", help="weights: of so many parameters, as 100M"
    )
    parser.add_argument("--sort", choices=_SORTED, help="weights: by this column")
    parser.add_argument(
        "--search", metavar="TEXT", help="weights: with this in name, family or address"
    )


def main(args) -> int:
    if args.what not in _TABLES:
        raise unknown("list", args.what, _TABLES)
    for flag in ("licence", "max_params", "sort", "search"):
        if args.what != "weights" and getattr(args, flag) is not None:
            raise UserError(f"--{flag}: goes with `keras-vit list weights`.")
    rows = _TABLES[args.what](args)
    if args.format == "json":
        print(json.dumps(rows, indent=2))
        return 0
    rows = [_short(row) for row in rows] if args.what == "weights" else rows
    cells = [[_cell(value) for value in row.values()] for row in rows]
    print("\n".join(aligned([list(rows[0]), *cells])))
    return 0


def _count(text: str) -> float:
    """`"100M"` as a number."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([KMB]?)", text.strip().replace("_", ""), re.IGNORECASE)
    if not match:
        raise argparse.ArgumentTypeError(f"expected a number as 100M or 1.5B, received {text!r}")
    return float(match[1]) * _UNITS.get(match[2].upper(), 1)


def _recipes(args):
    rows = []
    for name in recipes.names():
        recipe = recipes.get(name)
        row = {"recipe": name, "paper": recipes.paper_of(name)}
        row |= _sizes(recipe.model)
        row |= {"batch": recipe.batch_size, "epochs": recipe.epochs, "steps": recipe.steps}
        rows.append({**row, "description": recipes.describe(name)})
    return rows


def _models(args):
    rows = []
    for name in variant_names():
        config = ViTConfig.of(name)
        fields = ("width", "depth", "mlp_dim", "num_heads")
        row = {"model": name} | {field: getattr(config, field) for field in fields}
        rows.append(row | _sizes(config))
    return rows


def _weights(args):
    entries = select(args.licence or (), args.max_params, args.search or "")
    rows = [_facts(entry) for entry in entries.values()]
    if args.sort:
        key, descending = _SORTED[args.sort]
        rows.sort(key=key, reverse=descending)
    return rows


def _facts(entry: Entry) -> dict:
    config = entry.config
    sizes = _sizes(config)
    return {
        "weights": entry.name,
        "family": entry.family,
        "parameters": entry.parameters,
        "GFLOPs": sizes["GFLOPs"],
        "pixels": config.image_size[0],
        "patch": config.patch_size[0] * config.stem_stride,
        "classes": config.num_classes,
        "top-1": entry.accuracy,
        "measures": entry.measures or None,
        "source": entry.source,
        "licence": entry.licence.name,
        "terms": entry.licence.terms,
        "restriction": entry.origin.restriction or None,
        "gated": entry.gated,
        "dialect": entry.dialect,
        "pixel_mean": config.pixel_mean if "pixel_mean" in entry.fields else None,
        "pixel_std": config.pixel_std if "pixel_std" in entry.fields else None,
        "at": entry.at,
        "sha256": entry.sha256 or None,
    }


def _short(row: dict) -> dict:
    """The columns of a line on a terminal."""
    what = "" if row["measures"] == "classes" else f" {row['measures']}"
    row["licence"] += ", gated" if row["gated"] else ""
    row["top-1"] = None if row["top-1"] is None else f"{row['top-1']}{what}"
    return {
        name: row[name]
        for name in ("weights", "parameters", "GFLOPs", "pixels", "top-1", "licence")
    }


def _sizes(config: ViTConfig | None) -> dict:
    """None for each where the checkpoint or the images decide."""
    if config is None:
        return dict.fromkeys(("image", "parameters", "GFLOPs"))
    rows, columns = config.image_size
    gflops = float(f"{config.forward_flops() / 1e9:.3g}")
    return {"image": f"{rows}x{columns}", "parameters": config.num_parameters, "GFLOPs": gflops}


def _cell(value) -> str:
    return "-" if value is None else f"{value:,}" if isinstance(value, int | float) else value


_TABLES = {"recipes": _recipes, "models": _models, "weights": _weights}


if __name__ == "__main__":
    run_script("list")
