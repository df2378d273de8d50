# SPDX-License-Identifier: MIT
"""List the recipes, the models, or the published weights.

examples:
  keras-vit list recipes
  keras-vit list models
  keras-vit list weights                       names for train --init and keras_vit.create
  keras-vit list recipes --format json

Top-1 is what the publisher states for ImageNet-1k; of weights without classes, that of a linear
classifier on them. GFLOPs are those of a forward pass of one image, a multiplication and its
addition counted as 2.
"""

import json

from keras_vit.apps.cli import run_script

from keras_vit import recipes
from keras_vit.config import ViTConfig, variant_names
from keras_vit.errors import unknown
from keras_vit.reports.tables import aligned
from keras_vit.weights.catalog import CATALOG


def add_flags(parser):
    parser.add_argument("what", help="recipes, models or weights")
    parser.add_argument("--format", choices=("table", "json"), default="table")


def main(args) -> int:
    if args.what not in _TABLES:
        raise unknown("list", args.what, _TABLES)
    rows = _TABLES[args.what]()
    if args.format == "json":
        print(json.dumps(rows, indent=2))
    else:
        cells = [[_cell(value) for value in row.values()] for row in rows]
        print("\n".join(aligned([list(rows[0]), *cells])))
    return 0


def _recipes():
    rows = []
    for name in recipes.names():
        recipe = recipes.get(name)
        row = {"recipe": name, "paper": recipes.paper_of(name)}
        row |= _sizes(recipe.model)
        row |= {"batch": recipe.batch_size, "epochs": recipe.epochs, "steps": recipe.steps}
        rows.append({**row, "description": recipes.describe(name)})
    return rows


def _models():
    rows = []
    for name in variant_names():
        config = ViTConfig.of(name)
        fields = ("width", "depth", "mlp_dim", "num_heads")
        row = {"model": name} | {field: getattr(config, field) for field in fields}
        rows.append(row | _sizes(config))
    return rows


def _weights():
    rows = []
    for name, entry in CATALOG.items():
        size = f"{entry.image_size}x{entry.image_size}"
        row = {"weights": name, "model": entry.model, "image": size}
        row |= {"classes": entry.num_classes or None, "top-1": entry.accuracy}
        rows.append({**row, "licence": entry.licence, "url": entry.url})
    return rows


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
