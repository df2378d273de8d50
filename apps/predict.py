# SPDX-License-Identifier: MIT
"""Name what is on images, with a trained or exported model.

examples:
  keras-vit predict runs/photos-1 cat.jpg dog.jpg
  keras-vit predict runs/photos-1 'new/*.jpg' --top_k 3 --format csv > out.csv
  find . -name '*.jpg' | keras-vit predict runs/photos-1/export/model.tflite - --format jsonl

A .tflite or .onnx file is run without TensorFlow. An image that cannot be read is reported on
standard error and left out; the exit code is then 1. In CSV, a ' stands before a name
that a spreadsheet would take for a formula. Several processes share the images, as `srun` or
KERAS_DISTRIBUTION_... name them (docs/distributed.md).
"""

import csv
import json
import os
import sys

from keras_vit.apps.cli import add_threads_flag, import_keras, run_script, use_threads

from keras_vit.untrusted.text import csv_cell, visible


def add_flags(parser):
    parser.add_argument("model", help="run folder, .keras, .tflite or .onnx file, or SavedModel")
    parser.add_argument(
        "images", nargs="+", help="files, folders, patterns, or - for one file name a line on stdin"
    )
    parser.add_argument(
        "--top_k",
        type=int,
        help="classes to name; default: 1, or all above 50 %% where an image may show several",
    )
    parser.add_argument("--format", choices=("table", "csv", "jsonl"), default="table")
    parser.add_argument(
        "--runtime",
        help="what runs the model: keras, saved_model, litert, onnx or openvino; of a run the file "
        "in its export/ is taken; default: keras for a run, else what the file is made for",
    )
    parser.add_argument(
        "--unsafe",
        action="store_true",
        help="run a SavedModel even if it is a program: it may then do all that you may",
    )
    add_threads_flag(parser)


def main(args) -> int:
    from keras_vit.data.sources.folder import find_images
    from keras_vit.errors import UserError
    from keras_vit.model_file import ModelFile
    from keras_vit.predictor import Predictor
    from keras_vit.progress import aside, say, track
    from keras_vit.training.together import Together

    if args.top_k is not None and args.top_k < 1:
        raise UserError(f"--top_k: expected a whole number of at least 1, received {args.top_k}.")
    use_threads(args)
    model = ModelFile.find(args.model, args.runtime)
    if model.needs_keras:
        import_keras()
    processes = Together()
    predictor = Predictor.open(model, args.unsafe)
    paths = find_images(_names_on_stdin() if args.images == ["-"] else args.images)
    metadata = predictor.metadata
    columns = len(metadata.labels) if metadata.task == "multi" else 1
    predictions = processes.predictions(predictor, paths, args.top_k)
    if not processes.leads:
        return 0
    write = _WRITERS[args.format](min(args.top_k or columns, len(metadata.labels)))
    failed = 0
    for prediction in track(predictions, "predicting", len(paths)):
        if prediction.error is not None:
            failed += 1
            say(f"keras-vit predict: {prediction.error}")
        else:
            with aside():
                write(prediction)
    if failed:
        print(f"keras-vit predict: {failed} of {len(paths)} files failed", file=sys.stderr)
    return 1 if failed else 0


def _names_on_stdin() -> list[str]:
    """File names, one a line; or with a NUL after each, as `find -print0` writes those that hold a
    line end. Bytes that are no text stay as they are."""
    text = os.fsdecode(sys.stdin.buffer.read())
    return text.split("\0" if "\0" in text else "\n")


def _table(top_k):
    def write(prediction):
        named = zip(prediction.classes, prediction.scores, strict=True)
        answers = "  ".join(f"{name} {score:.1%}" for name, score in named)
        print(visible(f"{prediction.path}  {answers}"))

    return write


def _csv(top_k):
    writer = csv.writer(sys.stdout, lineterminator="\n")
    columns = [f"{name}_{i + 1}" for i in range(top_k) for name in ("class", "score")]
    writer.writerow(["path", *columns])

    def write(prediction):
        pairs = zip(prediction.classes, prediction.scores, strict=True)
        cells = [cell for name, score in pairs for cell in (csv_cell(name), f"{score:.6f}")]
        writer.writerow([csv_cell(prediction.path), *cells, *[""] * (2 * top_k - len(cells))])

    return write


def _jsonl(top_k):
    def write(prediction):
        pairs = zip(prediction.classes, prediction.scores, strict=True)
        named = [{"class": name, "score": round(score, 6)} for name, score in pairs]
        print(json.dumps({"path": prediction.path, "predictions": named}))

    return write


_WRITERS = {"table": _table, "csv": _csv, "jsonl": _jsonl}


if __name__ == "__main__":
    run_script("predict")
