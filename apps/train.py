# SPDX-License-Identifier: MIT
"""Train a Vision Transformer, test it, export it and check the exports.

examples:
  keras-vit train                                       the bundled digits, two minutes
  keras-vit train photos/                               a folder for each class
  keras-vit train photos/ --on_bad skip                 without the files that cannot be decoded
  keras-vit train photos.csv --set objective.loss=sigmoid     labels like cat|dog
  keras-vit train tfds:cifar10 --recipe cifar10_seed
  keras-vit train photos/ --set epochs=20 --set model.depth=6 --workdir runs/try

The run folder, by default the next free runs/NAME-N, holds model.keras, report.md, report.json,
history.csv, curves.png, recipe.json, labels.txt, split.csv, export/saved_model and
export/model.tflite; audit.json says what was found in the files, bad_files.txt what was skipped.
Ctrl-C saves the weights and stops. Exit code 1: an export disagrees, or the loss is not finite.
"""

import dataclasses
import sys

from keras_vit.apps.cli import import_keras, run_script


def add_flags(parser):
    from keras_vit.recipes import names
    from keras_vit.recipes.schema import ON_BAD

    parser.add_argument(
        "data",
        nargs="?",
        help="a folder of images (class/*.jpg or train|val|test/class/*.jpg), a .zip or .tar.gz of "
        "one, a .csv, .tsv or .jsonl with columns path and label (and split), an .npz, tfds:NAME, "
        "hf:NAME or digits; default: what the recipe names",
    )
    parser.add_argument(
        "--recipe",
        help=f"one of: {', '.join(names())}; default: digits, or cifar10_seed for other data",
    )
    parser.add_argument("--workdir", help="run folder, new or empty; default: runs/NAME-N")
    parser.add_argument("--data_dir", help="where TFDS keeps its data sets")
    parser.add_argument(
        "--on_bad",
        choices=ON_BAD,
        help="what to do when image files cannot be decoded: stop before the first step, or train "
        "without them; default: error",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="change a field of the recipe, e.g. epochs=20 or optimizer.learning_rate=1e-3; "
        "may be repeated",
    )
    parser.add_argument(
        "--debug", action="store_true", help="shrink the run to seconds: one narrow block, 2 epochs"
    )


def main(args) -> int:
    from keras_vit import recipes
    from keras_vit.data.sources import check_source
    from keras_vit.files import check_free

    default = "digits" if args.data in (None, "digits") else "cifar10_seed"
    recipe = recipes.get(args.recipe or default)
    if args.debug:
        recipe = recipes.debug(recipe)
    recipe = recipes.override(recipe, *args.set)
    data = dataclasses.replace(
        recipe.data,
        source=args.data or recipe.data.source,
        data_dir=args.data_dir or recipe.data.data_dir,
        on_bad=args.on_bad or recipe.data.on_bad,
    )
    recipe = dataclasses.replace(recipe, data=data)
    check_source(data.source, data.data_dir)
    if args.workdir is not None:
        check_free(args.workdir, "--workdir")

    import_keras()
    import keras_vit

    try:
        run = keras_vit.train(recipe, args.workdir)
    except keras_vit.training.Interrupted as stop:
        print(f"keras-vit train: {stop}", file=sys.stderr)
        return 128 + stop.number
    except keras_vit.training.NonFiniteLoss as error:
        print(f"keras-vit train: error: {error}", file=sys.stderr)
        return 1
    page = keras_vit.reports.write_report(run.workdir)
    print(keras_vit.reports.export_table(run.report))
    print(f"\nreport: {page}", file=sys.stderr)
    return 0 if run.ok else 1


if __name__ == "__main__":
    run_script("train")
