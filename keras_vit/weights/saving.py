# SPDX-License-Identifier: MIT
"""Variables under our paths -> a checkpoint of any family. NumPy alone, but for `save`."""

import functools
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_vit.config import ViTConfig
from keras_vit.errors import UserError
from keras_vit.files import replacing, write_text
from keras_vit.origins import Origin, say_restrictions
from keras_vit.preprocessing import USUAL, View
from keras_vit.progress import step
from keras_vit.weights import registry
from keras_vit.weights.adapter import Adapter
from keras_vit.weights.binding import write
from keras_vit.weights.config_files import to_header
from keras_vit.weights.formats import write_npz, write_safetensors
from keras_vit.weights.forms import can_express, in_form
from keras_vit.weights.source import open_source

if TYPE_CHECKING:
    import keras

_KINDS = {".npz": "a .npz file", ".safetensors": "a .safetensors file", "folder": "a folder"}


def save(
    model: "keras.Model",
    path: str | os.PathLike,
    dialect: str,
    *,
    accept: str | Sequence[str] = (),
) -> None:
    """Writes a model's weights under the names of another library.

    Args:
        model: a model that `keras_vit.vit` built.
        path: a `.npz` file for "flax" and "big_vision"; a `.safetensors` file or a folder (with
            `config.json`) for "timm"; a folder for "open_clip" and families of transformers.
        dialect: "flax", "big_vision", "timm", "open_clip" or a family of transformers ("hf" for ViT
            and DeiT, "hf_clip", "hf_siglip" ...); or a spelling of them: "flax_published" (as the
            official files), "big_vision_scan" (blocks stacked), "hf_v5".
        accept: fields of the configuration that the dialect cannot say and that may be lost, e.g.
            `("activation",)`. Without, such a loss is an error.

    Raises:
        UserError: when the dialect cannot express the model, with every reason.
    """
    from keras_vit.models import config_of

    config, origins = config_of(model), model.origins
    save_arrays(
        *(config, _Variables(model), path, dialect),
        accept=accept,
        origins=origins,
        view=model.view,
    )


def save_arrays(
    config: ViTConfig,
    arrays: Mapping[str, np.ndarray],
    path: str | os.PathLike,
    dialect: str,
    *,
    accept: str | Sequence[str] = (),
    origins: Sequence[Origin] = (),
    view: View = USUAL,
) -> None:
    """`save` for a configuration and its variables by path, without a model.

    Args:
        config: what the model is.
        arrays: every variable by our path; read one at a time.
        path: as in `save`.
        dialect: as in `save`.
        accept: as in `save`.
        origins: what the weights were made of; an `.npz` file has no place for it.
        view: what of an image the model wants to see; likewise.
    """
    adapter, path = registry.writer_of(dialect), Path(path)
    kind = _checked_kind(path, adapter)
    accept = (accept,) if isinstance(accept, str) else tuple(accept)
    try:
        config, arrays = in_form(config, arrays, adapter, accept)
    except UserError as error:
        raise UserError(f"{error}{_others(config, adapter)}") from None
    # Configurations are made first: one that cannot be made leaves no half of a checkpoint.
    sidecars = adapter.sidecars(config, view) if kind == "folder" else {}
    tensors = [
        (adapter.written_name(name, config), shape, make)
        for name, shape, make in write(adapter.bind(dialect, config), arrays, config)
    ]
    for name, array in adapter.idle(config).items():
        tensors.append((name, array.shape, functools.partial(np.asarray, array)))
    if kind == ".npz":
        write_npz(path, tensors)
        return
    file = path / "model.safetensors" if kind == "folder" else path
    write_safetensors(file, tensors, to_header(config, origins, view))
    for name, values in sidecars.items():
        write_text(path / name, json.dumps(values, indent=2) + "\n")


def _others(config: ViTConfig, adapter: Adapter) -> str:
    """The dialects that can express what one cannot, as a sentence."""
    if can_express(config, adapter):
        return ""
    able = [other for other in registry.writers() if can_express(config, other)]
    names = ", ".join(next(iter(other.dialects)) for other in able)
    return f" Dialects that can: {names}." if names else ""


def convert(
    source: str | os.PathLike,
    destination: str | os.PathLike,
    to: str,
    *,
    accept: str | Sequence[str] = (),
    **options: Any,
) -> ViTConfig:
    """Writes the model of one checkpoint as another, without Keras where neither is its own.

    Args:
        source: what `load_model` reads.
        destination: the file or folder to write.
        to: a dialect of `save`, or "keras" for a `.keras` file.
        accept: as in `save`.
        **options: those of `LoadOptions`.

    Returns:
        The configuration of the model that was written.
    """
    if to != "keras":
        opened = open_source(source, **options)
        say_restrictions(opened.origins)
        config, arrays = opened.streamed()
        with step(f"writing {destination}"):
            save_arrays(
                *(config, arrays, destination, to),
                accept=accept,
                origins=opened.origins,
                view=opened.view,
            )
        return config
    if Path(destination).suffix != ".keras":
        raise UserError(f"{destination}: expected a file that ends in .keras.")
    from keras_vit.models import config_of
    from keras_vit.weights.load import load_model

    model = load_model(source, **options)
    say_restrictions(model.origins)
    with step(f"writing {destination}"), replacing(destination) as temporary:
        model.save(temporary)
    return config_of(model)


class _Variables(Mapping[str, np.ndarray]):
    """The variables of a model as arrays, copied one at a time."""

    def __init__(self, model: "keras.Model"):
        from keras_vit.models.variables import variables_of

        self._variables = variables_of(model)

    def __getitem__(self, path: str) -> np.ndarray:
        import keras

        return keras.ops.convert_to_numpy(self._variables[path])

    def __iter__(self) -> Iterator[str]:
        return iter(self._variables)

    def __len__(self) -> int:
        return len(self._variables)


def _checked_kind(path: Path, adapter: Adapter) -> str:
    """What a path is to be, of what the family is written to."""
    kind = path.suffix if path.suffix in _KINDS else "folder"
    if kind not in adapter.written_to or (kind == "folder" and path.is_file()):
        expected = " or ".join(_KINDS[kind] for kind in adapter.written_to)
        raise UserError(f"{path}: the {adapter.name} dialect is written to {expected}.")
    return kind
