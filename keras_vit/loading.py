# SPDX-License-Identifier: MIT
"""One call from whatever holds a model to the Keras model, with its class names."""

import os
from pathlib import Path
from typing import Any

import keras

from keras_vit import zoo
from keras_vit.errors import UserError
from keras_vit.export.runner import format_of
from keras_vit.model_file import ModelFile
from keras_vit.models.keras_file import load_keras
from keras_vit.origins import origins_of, say_restrictions
from keras_vit.weights import load as checkpoints


def load_model(source: str | os.PathLike, **options: Any) -> keras.Model:
    """Loads a model from a run folder, a `.keras` file, or a checkpoint that others published.

    `keras.saving.load_model` reads `.keras` files too, once keras_vit has been imported; this finds
    the file of a run, brings the class names, and reads every other kind of checkpoint through
    `keras_vit.weights.load_model`.

        import keras_vit
        import numpy as np

        model = keras_vit.load_model("runs/photos")
        logits = model.predict(np.zeros((1, *model.input_shape[1:])))
        print(model.labels[logits[0].argmax()])

    Args:
        source: a run folder; a `.keras` file; a file or folder of any known dialect; a URL;
            `"hf:owner/name"`; or a name of the catalog (`keras-vit list weights`).
        **options: options of `keras_vit.weights.LoadOptions`, such as another `image_size`.

    Returns:
        A model from pixels of 0 to 255 to logits, not compiled. Its attribute `labels` holds the
        names of the classes, in the order of the logits, or None where they are not known: the
        model belongs to no run, or has been given another head. The attribute is not saved.

    Raises:
        UserError: for a source that cannot be had or read, and for exported files, which hold no
            Keras model.
    """
    path, told = zoo.locate(source)
    format = format_of(path)
    if format in ("litert", "onnx", "saved_model"):
        raise UserError(
            f"{source}: is an exported file, which holds no Keras model. Expected a run folder, a "
            ".keras file or a checkpoint; run this one with keras_vit.Predictor.open."
        )
    if format != "keras":
        opened = zoo.open_located(source, path, **{**told, **options})
        return _labelled(checkpoints.build(opened), None)
    file = ModelFile.find(source if Path(source).exists() else path)
    model = checkpoints.load_model(file.path, **options) if options else load_keras(file.path)
    say_restrictions(origins_of(model))
    fitting = file.labels is not None and model.output_shape == (None, len(file.labels))
    return _labelled(model, file.labels if fitting else None)


def _labelled(model: keras.Model, labels: tuple[str, ...] | None) -> keras.Model:
    model.labels = labels
    return model
