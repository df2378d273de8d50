# SPDX-License-Identifier: MIT
"""From one file to another, without Keras where neither is one of its own."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from keras_vit.config import ViTConfig
from keras_vit.errors import UserError
from keras_vit.files import replacing
from keras_vit.progress import step, track
from keras_vit.weights.opening import open_fitted
from keras_vit.weights.saving import save_arrays
from keras_vit.weights.variables import shapes


def convert(
    source: str | os.PathLike,
    destination: str | os.PathLike,
    to: str,
    *,
    accept: str | Sequence[str] = (),
    **options: Any,
) -> ViTConfig:
    """Writes the model of one checkpoint as another.

    Args:
        source: what `load_model` reads.
        destination: the file or folder to write.
        to: a dialect of `save`, or "keras" for a `.keras` file.
        accept: as in `save`.
        **options: arguments of `load_model`.

    Returns:
        The configuration of the model that was written.
    """
    if to != "keras":
        config, arrays = open_fitted(source, **options)
        read = dict(track(arrays, f"reading {source}", len(shapes(config)), "tensors"))
        with step(f"writing {destination}"):
            save_arrays(config, read, destination, to, accept=accept)
        return config
    if Path(destination).suffix != ".keras":
        raise UserError(f"{destination}: expected a file that ends in .keras.")
    from keras_vit.models import config_of
    from keras_vit.weights.load import load_model

    model = load_model(source, **options)
    with step(f"writing {destination}"), replacing(destination) as temporary:
        model.save(temporary)
    return config_of(model)
