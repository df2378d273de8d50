# SPDX-License-Identifier: MIT
"""Measure how fast models run, or how fast this machine feeds them.

examples:
  keras-vit benchmark runs/photos-1 --threads 1,2 --batch 1,8
  keras-vit benchmark S/16 --image_size 160 --runtime litert,onnx --quantize none,dynamic_int8
  keras-vit benchmark runs/photos-1 --runtime litert,onnx,openvino        which one for this server?
  keras-vit benchmark runs/photos-1 --runtime litert --merge 0.3,0.5      what would merging gain?
  keras-vit benchmark phone/model.tflite server/model.onnx --format json
  keras-vit benchmark data photos/ --recipe cifar10_seed

Files run as they are, each in a process of its own that is confined to --threads cores; they take
turns, so that whatever else the machine does slows all of them alike. A run, a .keras file or a
name (`keras-vit list models`, random weights) is timed in every runtime that is installed; what is
not exported yet is written to a temporary folder, with a batch above 1 as a file for any batch.
.tflite and .onnx files are timed without TensorFlow. The peak is that of a product of 1024 x 1024
matrices in NumPy. GFLOPs are those of the trained model, a multiplication and its addition 2, also
where an export needs fewer: after the last attention only the class token counts.

`data` runs growing parts of the training pipeline: read, decode, crop and resize, each
augmentation, and once more with images in memory. Each row is the pipeline up to that stage:
images/s by the clock, CPU time for an image, what the stage adds to it, and the cores that were
busy. Then come the operations of the policy, each alone for a tenth of --seconds; what one adds is
its time by how often an image undergoes it, and the dearest are first.
"""

import argparse
import dataclasses
import json
import re

from keras_vit.apps.cli import import_keras, run_script

_OF_MODELS = ("runtime", "threads", "batch", "quantize", "merge", "image_size")
_OF_DATA = ("recipe", "data_dir", "set")
_LONGEST = 3_600  # seconds for a row
_MOST = 65_536  # images in a call, threads


def add_flags(parser):
    parser.add_argument(
        "subject",
        nargs="+",
        metavar="SUBJECT",
        help="run folders, model files or names of models; or: data DATA, which is a folder of "
        "images, tfds:NAME or digits, see train",
    )
    parser.add_argument(
        "--seconds", type=_seconds, default=5.0, help="for each row; default: %(default)s"
    )
    parser.add_argument(
        "--format", choices=("table", "json"), default="table", help="of the results"
    )
    _add_flags_of_models(parser.add_argument_group("models"))
    _add_flags_of_data(parser.add_argument_group("data"))


def _add_flags_of_models(models):
    models.add_argument(
        "--runtime",
        type=_words,
        help="of keras, saved_model, litert, onnx, openvino (which runs .onnx files), with commas; "
        "default: all that are installed",
    )
    models.add_argument("--threads", type=_numbers, help="with commas; default: 1")
    models.add_argument("--batch", type=_numbers, help="images in a call, with commas; default: 1")
    models.add_argument(
        "--quantize",
        type=_words,
        help="modes of LiteRT and ONNX files, with commas, see export; default: none",
    )
    models.add_argument(
        "--merge",
        type=_shares,
        help="shares of the patches that exported files merge, with commas, see export; each is "
        "timed next to the file that merges none",
    )
    models.add_argument(
        "--unsafe",
        action="store_true",
        help="run a SavedModel even if it is a program: it may then do all that you may",
    )
    models.add_argument("--image_size", type=int, help="of a named model; default: 224")


def _add_flags_of_data(data):
    from keras_vit.recipes import names

    data.add_argument(
        "--recipe",
        help=f"one of: {', '.join(names())}; default: digits, or cifar10_seed for other data",
    )
    data.add_argument("--data_dir", help="where TFDS keeps its data sets")
    data.add_argument(
        "--set",
        action="append",
        metavar="NAME=VALUE",
        help="change a field of the recipe; may be repeated",
    )


def main(args) -> int:
    results, table = _time_data(args) if args.subject[0] == "data" else _time_models(args)
    if args.format == "json":
        print(json.dumps([dataclasses.asdict(result) for result in results], indent=2))
    else:
        print(table(results))
    return 0


def _time_models(args):
    _refuse(args, _OF_DATA, "models")
    from keras_vit.deploy import plan_benchmark, run_benchmark

    plan = plan_benchmark(
        args.subject,
        args.runtime,
        args.quantize,
        args.threads or (1,),
        args.batch or (1,),
        args.image_size,
        args.seconds,
        args.unsafe,
        merges=args.merge,
    )
    if plan.needs_keras:
        import_keras()
    from keras_vit.reports import latency_table

    return run_benchmark(plan), latency_table


def _time_data(args):
    _refuse(args, _OF_MODELS, "data")
    from keras_vit import recipes
    from keras_vit.data.sources.resolve import check_source
    from keras_vit.errors import UserError

    if len(args.subject) != 2:
        raise UserError(
            f"benchmark data: expected one folder of images, tfds:NAME or digits after it, "
            f"received {len(args.subject) - 1}. A run called data is ./data."
        )
    source = args.subject[1]
    recipe = recipes.get(args.recipe or ("digits" if source == "digits" else "cifar10_seed"))
    recipe = recipes.override(recipe, *args.set or ())
    check_source(source, args.data_dir)

    import_keras()
    from keras_vit.data import load
    from keras_vit.data.pipeline.timing import time_pipeline
    from keras_vit.reports import pipeline_table

    images, _ = load(source, args.data_dir, decode=False)
    return time_pipeline(images.train, recipe, args.seconds), pipeline_table


def _refuse(args, flags, what: str) -> None:
    from keras_vit.errors import UserError

    for flag in flags:
        if getattr(args, flag) is not None:
            raise UserError(f"--{flag}: does not go with `benchmark` of {what}.")


def _words(text: str) -> list[str]:
    return text.split(",")


def _shares(text: str) -> list[float]:
    return [float(word) for word in _words(text)]


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value <= _LONGEST:
        raise argparse.ArgumentTypeError(
            f"expected seconds above 0, at most {_LONGEST}, received {text!r}"
        )
    return value


def _numbers(text: str) -> list[int]:
    words = text.split(",")
    if not all(re.fullmatch("[0-9]{1,5}", word) and 0 < int(word) <= _MOST for word in words):
        raise argparse.ArgumentTypeError(
            f"expected whole numbers from 1 to {_MOST} with commas, received {text[:80]!r}"
        )
    return [int(word) for word in words]


if __name__ == "__main__":
    run_script("benchmark")
