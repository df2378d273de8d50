# SPDX-License-Identifier: MIT
"""Measure a trained or exported model on labelled images.

examples:
  keras-vit evaluate runs/digits-1                                 the run's own test split
  keras-vit evaluate runs/digits-1/export/model.tflite             the same, the exported file
  keras-vit evaluate runs/photos-1 more_photos/ --format json

A folder of class folders is measured as a whole; of train|val|test, the test split. With many
classes the table shows those of lowest F1; JSON holds them all, the confusion matrix and the bins
of the calibration error. A .tflite or .onnx file is run without TensorFlow.
"""

import json

from keras_vit.apps.cli import import_keras, run_script


def add_flags(parser):
    parser.add_argument("model", help="run folder, .keras, .tflite or .onnx file, or SavedModel")
    parser.add_argument(
        "data", nargs="?", help="labelled images; default: the test split of the model's own run"
    )
    parser.add_argument("--data_dir", help="where TFDS keeps its data sets")
    parser.add_argument(
        "--format", choices=("table", "json"), default="table", help="of the result"
    )


def main(args) -> int:
    from keras_vit.predictor import Predictor, test_split
    from keras_vit.reports import evaluation_table

    if Predictor.needs_keras(args.model):
        import_keras()
    predictor = Predictor.open(args.model)
    name, classes, split = test_split(args.model, args.data, args.data_dir)
    predictor.check_classes(name, classes)
    result = {"model": str(predictor.path), "data": name, **predictor.evaluate(split)}
    print(json.dumps(result) if args.format == "json" else evaluation_table(result))
    return 0


if __name__ == "__main__":
    run_script("evaluate")
