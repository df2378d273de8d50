# SPDX-License-Identifier: MIT
"""What our layers that are made of other layers have in common."""

import contextlib
import gc
from collections.abc import Iterator
from typing import Any

import keras

from keras_vit.errors import UserError


class Composite(keras.layers.Layer):
    """A layer made of others, which remembers how these have been quantised.

    `model.quantize("int8")` changes the dense layers inside a block, but Keras saves the
    configuration of the block only, and would read the file into a block that has not been
    quantised. So a block says in its own configuration what has become of its parts, and quantises
    new parts in the same way before their values are read.

    A subclass calls `restore_quantization` at the end of its `build`.

    Args:
        quantized: what `get_config` said of the parts that have been quantised, by their path below
            this layer.
        **kwargs: those of the Keras layer.
    """

    def __init__(self, *args, quantized: dict[str, dict[str, Any]] | None = None, **kwargs):
        super().__init__(*args, **kwargs)
        self._quantized = quantized or {}

    def get_config(self):
        found = {self._place(part): _description(part) for part in quantized_parts(self)}
        return {**super().get_config(), **({"quantized": found} if found else {})}

    def restore_quantization(self) -> None:
        """Quantises the parts, which have just been built, as those of the file were."""
        if not self._quantized:
            return
        parts = {self._place(part): part for part in _parts(self)}
        with _little_garbage():
            for place, how in self._quantized.items():
                if place not in parts:
                    raise UserError(f"{self.name}: quantized: has no part {place!r}.")
                # A model inside of a model has done so already.
                if parts[place].quantization_mode is None:
                    config = keras.saving.deserialize_keras_object(how["config"])
                    parts[place].quantize(how["mode"], config=config)

    def _place(self, part: keras.layers.Layer) -> str:
        """The path of a part below this layer, which may itself be renamed or moved."""
        return part.path.removeprefix(f"{self.path}/")


def quantized_parts(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    """The layers inside of a layer or model, itself included, that have been quantised."""
    return [part for part in layer._flatten_layers() if part.quantization_mode is not None]


@contextlib.contextmanager
def _little_garbage() -> Iterator[None]:
    """Spares the garbage collector all objects that exist already.

    Keras collects garbage after each kernel that it replaces, which takes 0.2 s where TensorFlow is
    imported, and a B/16 has 74 kernels.
    """
    if gc.get_freeze_count():  # somebody else has frozen objects, which must stay so
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _parts(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    return [part for part in layer._flatten_layers(include_self=False) if part.path]


def _description(part: keras.layers.Layer) -> dict[str, Any]:
    mode = part.quantization_mode
    if mode in ("gptq", "awq") and not getattr(part, f"is_{mode}_calibrated", False):
        raise UserError(
            f"{part.path}: {mode} has not been calibrated, so there is nothing that could be saved."
        )
    return {
        "mode": mode,
        "config": keras.saving.serialize_keras_object(part.quantization_config),
    }
