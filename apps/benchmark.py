# SPDX-License-Identifier: MIT
"""Measure how fast this machine feeds a model.

examples:
  keras-vit benchmark data photos/ --recipe cifar10_seed
  keras-vit benchmark data photos/ --set augmentation.policy=randaugment --format json

`data` runs growing parts of the training pipeline: read, decode and crop, each augmentation,
and once more with images in memory. Each row is the pipeline up to that stage: images/s by the
clock, CPU time for an image, what the stage adds to it, and the cores that were busy.
"""

import dataclasses
import json

from keras_vit.apps.cli import import_keras, run_script


def add_flags(parser):
    from keras_vit.recipes import names

    parser.add_argument("what", choices=("data",), help="what is measured: the training pipeline")
    parser.add_argument("data", help="a folder of images, tfds:NAME or digits; see train")
    parser.add_argument(
        "--recipe",
        help=f"one of: {', '.join(names())}; default: digits, or cifar10_seed for other data",
    )
    parser.add_argument("--data_dir", help="where TFDS keeps its data sets")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="change a field of the recipe; may be repeated",
    )
    parser.add_argument(
        "--seconds", type=float, default=5.0, help="for each row; default: %(default)s"
    )
    parser.add_argument(
        "--format", choices=("table", "json"), default="table", help="of the results"
    )


def main(args) -> int:
    from keras_vit import recipes
    from keras_vit.data.sources import check_source

    recipe = recipes.get(args.recipe or ("digits" if args.data == "digits" else "cifar10_seed"))
    recipe = recipes.override(recipe, *args.set)
    check_source(args.data, args.data_dir)

    import_keras()
    from keras_vit.data import load
    from keras_vit.data.timing import time_pipeline
    from keras_vit.reports import pipeline_table

    images = load(args.data, args.data_dir, decode=False)
    stages = time_pipeline(images.train, recipe, args.seconds)
    if args.format == "json":
        print(json.dumps([dataclasses.asdict(stage) for stage in stages], indent=2))
    else:
        print(pipeline_table(stages))
    return 0


if __name__ == "__main__":
    run_script("benchmark")
