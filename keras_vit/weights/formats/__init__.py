# SPDX-License-Identifier: MIT
"""Files of weights <-> arrays by name; NumPy alone, and nothing in a file is ever executed."""

import os
import re
from pathlib import Path

from keras_vit.errors import UserError
from keras_vit.untrusted import limits
from keras_vit.weights.config_files import read_json
from keras_vit.weights.formats.checkpoint import Checkpoint as Checkpoint
from keras_vit.weights.formats.checkpoint import Spec as Spec
from keras_vit.weights.formats.checkpoint import merged
from keras_vit.weights.formats.npz import open_npz as open_npz
from keras_vit.weights.formats.npz import write_npz as write_npz
from keras_vit.weights.formats.safetensors import open_safetensors as open_safetensors
from keras_vit.weights.formats.safetensors import write_safetensors as write_safetensors
from keras_vit.weights.formats.torch import open_torch as open_torch

_OPENERS = {
    ".npz": open_npz,
    ".safetensors": open_safetensors,
    ".bin": open_torch,
    ".pth": open_torch,
    ".pt": open_torch,
}
# What a folder is searched for, in this order: without PyTorch first, whole before in parts.
IN_FOLDER = (
    "model.safetensors",
    "model.safetensors.index.json",
    "open_clip_model.safetensors",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)


def open_checkpoint(path: str | os.PathLike) -> Checkpoint:
    """Opens a file, a folder with one, or the index of a checkpoint in parts.

    Raises:
        UserError: for a path without weights, or a file that is not what its name says.
    """
    path = Path(path)
    if path.is_dir():
        path = _in_folder(path)
    if not path.is_file():
        raise UserError(f"{path}: no such file. Expected a file of weights or a folder with one.")
    if path.name.endswith(".index.json"):
        return _open_parts(path)
    if path.suffix not in _OPENERS:
        raise UserError(
            f"{path}: expected a file that ends in one of {', '.join(_OPENERS)}, received "
            f"{path.suffix or 'no ending'}."
        )
    return _OPENERS[path.suffix](path)


def _in_folder(folder: Path) -> Path:
    for name in IN_FOLDER:
        if (folder / name).is_file():
            return folder / name
    found = [path for path in sorted(folder.iterdir()) if path.suffix in _OPENERS]
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise UserError(
            f"{folder}: expected one of {', '.join(IN_FOLDER)} or a single file of weights, "
            f"found {names}. Give the path of the file."
        )
    return found[0]


def read_index(index: str | os.PathLike) -> dict[str, str]:
    """Reads which tensor of a checkpoint in parts is in which file of the index's folder.

    Raises:
        UserError: for an index that names anything but files of weights next to it, or too many.
    """
    home = read_json(index).get("weight_map")
    if not isinstance(home, dict) or not all(isinstance(part, str) for part in home.values()):
        raise UserError(f"{index}: expected a weight_map of tensor names to file names.")
    parts = set(home.values())
    if len(parts) > limits.MODEL_PARTS:
        raise UserError(f"{index}: names {len(parts):,} files; the limit is {limits.MODEL_PARTS}.")
    for part in sorted(parts):
        if not re.fullmatch(r"\w[\w.+=-]*", part) or Path(part).suffix not in _OPENERS:
            raise UserError(
                f"{index}: {part[:80]!r} is not the name of a file of weights in the same folder. "
                "The index is damaged or hostile; do not use it."
            )
    return home


def _open_parts(index: Path) -> Checkpoint:
    home = read_index(index)
    parts = sorted(set(home.values()))
    whole = merged(str(index), [open_checkpoint(index.parent / part) for part in parts])
    lost = sorted(set(home) - set(whole))
    if lost:
        raise UserError(
            f"{index}: {len(lost)} tensors are in the index but in no file: {lost[:5]}."
        )
    return whole
