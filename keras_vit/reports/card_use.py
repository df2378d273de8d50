# SPDX-License-Identifier: MIT
"""How the files of a run are used, as the snippets of its model card; a test runs each."""

from keras_vit.run_folder import RunFolder

_PREDICT = """\
import keras_vit

predictor = keras_vit.Predictor.open("{path}")
prediction = predictor.predict("photo.jpg")
print(prediction.classes, prediction.scores)"""
_KERAS = """\
import keras_vit

model = keras_vit.load_model("{path}")
print(model.input_shape, model.output_shape, model.labels)"""
_FEATURES = """\
import keras_vit

encoder = keras_vit.load_model("{path}")
print(encoder.output_shape)"""


def use_lines(run: RunFolder) -> list[str]:
    """The section, with an empty line at its end: each file that there is, from this folder on."""
    height, width = run.recipe.model.image_size
    shape = f"({height}, {width}, {run.recipe.model.channels})"
    what = "features" if not run.labels else "logits"
    lines = [
        "`pip install keras-vit-toolkit`. Every file takes pixels of 0 to 255 in the shape "
        f"`{shape}` and gives {what}; normalisation is inside. In this folder:",
        "",
    ]
    model = run.model_file.name
    if not run.labels:
        head = f"A classifier of your images on top of it: `keras-vit train DATA --init {model}`."
        return [*lines, *_block("The encoder:", _FEATURES, model), head, ""]
    lines += _block("Class and score of an image:", _PREDICT, model)
    lines += _block("As a Keras model, to train it further or to build on it:", _KERAS, model)
    for export in run.report["exports"]:
        if export["ok"] and export["format"] == "litert":
            said = "The file for telephones, without Keras and TensorFlow:"
            lines += _block(said, _PREDICT, export["path"])
    return lines


def _block(said: str, code: str, path: str) -> list[str]:
    return [said, "", "```python", *code.replace("{path}", path).splitlines(), "```", ""]
