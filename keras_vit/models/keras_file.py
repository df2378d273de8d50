# SPDX-License-Identifier: MIT
"""Reads `.keras` files, none of which is a program here."""

import os
import zipfile

import keras

from keras_vit.errors import UserError
from keras_vit.untrusted import limits
from keras_vit.untrusted.reading import open_regular
from keras_vit.untrusted.zips import check_zip

_REASON = 300  # characters of what Keras says


def load_keras(path: str | os.PathLike) -> keras.Model:
    """Loads a model, uncompiled, from a `.keras` file that may come from a stranger.

    Args:
        path: the file.

    Returns:
        The model that is in it.

    Raises:
        UserError: for a file that is damaged, unpacks to more than
            `keras_vit.untrusted.limits.KERAS`, or holds Python code (a `Lambda` layer), which is
            never run.
    """
    with open_regular(path) as file:
        if not zipfile.is_zipfile(file):  # Keras would say that there is no such file
            raise UserError(f"{path}: is not a .keras file, or a part of it is missing.")
    check_zip(path, limits.KERAS)
    try:
        model = keras.saving.load_model(os.fspath(path), compile=False, safe_mode=True)
    except MemoryError:
        raise UserError(f"{path}: needs more memory than there is.") from None
    except Exception as error:  # from Keras, h5py and whatever a damaged configuration reaches
        reason = next((line for line in str(error).splitlines() if line.strip()), "").strip()
        said = reason[:_REASON] or type(error).__name__
        raise UserError(f"{path}: is no .keras file that can be read ({said}).") from error
    if not isinstance(model, keras.Model):
        raise UserError(f"{path}: expected a model, received a {type(model).__name__}.")
    for layer in model.layers:
        if not layer.trainable:  # Keras reads that it is frozen, and would train its variables
            layer.trainable = True  # to set what is set has no effect
            layer.trainable = False
    return model
