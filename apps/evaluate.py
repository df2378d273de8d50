# SPDX-License-Identifier: MIT
"""Measure a trained or exported model on labelled images.

examples:
  keras-vit evaluate runs/digits-1                                 the run's own test split
  keras-vit evaluate runs/digits-1/export/model.tflite             the same, the exported file
  keras-vit evaluate runs/photos-1 more_photos/ --format json
  keras-vit evaluate runs/photos-1 more_photos/ --html more.html   the same as a page
  keras-vit evaluate runs/imagenet-1 v2/ --classes numbers       folders 0 to 999
  keras-vit evaluate runs/imagenet-1 val/ --labels real.json    ImageNet-ReaL
  keras-vit evaluate runs/photos-1 other_photos/ --probe --knn     the features on other classes

A folder of class folders is measured as a whole; of train|val|test, the test split. It may have a
part of the model's classes: the others can still be the answer, but are not in the mean. With many
classes the table shows those of lowest F1; JSON holds them all, the confusion matrix and the bins
of the calibration error. A .tflite or .onnx file is run without TensorFlow.

The test split of a run is the one that its split.csv recorded, whatever was added to its folder.
Measured on it, the run gets its report.html anew, also one that was interrupted. --html writes a
page on any other images or file: classes, confusions, the worst mistakes, how far to believe it.
--probe fits ridge regressions to the features of 1, 5, 10 and 25 training images of each class;
--knn lets the 20 nearest training images vote. Several processes share the images, as `srun` or
KERAS_DISTRIBUTION_... name them (docs/distributed.md).
"""

import json
import sys
from pathlib import Path

from keras_vit.apps.cli import add_threads_flag, import_keras, run_script, use_threads

from keras_vit.untrusted.text import visible


def add_flags(parser):
    parser.add_argument("model", help="run folder, .keras, .tflite or .onnx file, or SavedModel")
    parser.add_argument(
        "data", nargs="?", help="labelled images; default: the test split of the model's own run"
    )
    parser.add_argument(
        "--classes",
        choices=("names", "numbers", "wordnet"),
        default="names",
        help="what the folders of the data are called by: the names of the model's classes, their "
        "numbers from 0, or WordNet ids; default: names",
    )
    parser.add_argument(
        "--labels", help="a ReaL file: for each image a list of classes, any of which is right"
    )
    parser.add_argument(
        "--probe", action="store_true", help="few-shot ridge regression on the features"
    )
    parser.add_argument("--knn", action="store_true", help="nearest neighbours by the features")
    parser.add_argument("--data_dir", help="where TFDS keeps its data sets")
    parser.add_argument("--html", metavar="FILE", help="write a page on it, as a new file")
    parser.add_argument(
        "--format", choices=("table", "json"), default="table", help="of the result"
    )
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
    from keras_vit.measuring import measure, measured, probe
    from keras_vit.model_file import ModelFile
    from keras_vit.reports import evaluation_table, probe_table
    from keras_vit.training.together import Together

    use_threads(args)
    _check_page(args)
    model = ModelFile.find(args.model, args.runtime)
    if model.needs_keras:
        import_keras()
    processes = Together()
    if args.probe or args.knn:
        processes.check_alone("--probe, --knn")
        result = probe(model, args.data, args.data_dir, args.probe, args.knn)
        return _show(args, result, probe_table)
    images = args.data, args.data_dir, args.classes
    if args.labels:
        result = measure(model, *images, args.labels, args.unsafe, processes.logits)
        return _show(args, result, evaluation_table) if processes.leads else 0
    answered = measured(model, *images, args.unsafe, processes.logits)
    if not processes.leads:
        return 0
    _show(args, answered.result, evaluation_table)
    _write_pages(answered, args.html, model.trained_on(args.data))
    return 0


def _check_page(args):
    """Raises a `UserError` for a page that cannot be written, before minutes go into it."""
    from keras_vit.errors import UserError

    if args.html is None:
        return
    if args.probe or args.knn or args.labels:
        raise UserError("--html: does not go with --probe, --knn or --labels, which have no page.")
    if Path(args.html).exists():
        raise UserError(f"--html: {args.html} is there already. Name a file that is new.")


def _show(args, result, table) -> int:
    print(json.dumps(result) if args.format == "json" else table(result))
    return 0


def _write_pages(answered, path, run):
    """Writes the page that was asked for, and the one on a run whose test images these are, with
    what was exported since; a folder that may only be read keeps the one that it has."""
    if path is not None:
        from keras_vit.reports import write_measured

        print(f"\nreport: {visible(write_measured(answered, path))}", file=sys.stderr)
    if run is None or not answered.file.needs_keras:
        if path is None:
            print("\n--html FILE writes a page with what is mistaken for what", file=sys.stderr)
        return
    from keras_vit.reports import write_page  # which imports Keras: an exported file needs none

    try:
        page = write_page(run, measured=answered)
    except OSError as error:
        print(visible(f"note: {run.report_html} was not written: {error}"), file=sys.stderr)
    else:
        print(f"\nreport: {visible(page)}", file=sys.stderr)


if __name__ == "__main__":
    run_script("evaluate")
