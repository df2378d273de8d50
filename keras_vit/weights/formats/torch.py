# SPDX-License-Identifier: MIT
"""PyTorch's `.bin`, `.pt` and `.pth`: pickles, opened by PyTorch's restricted reader only."""

import os
import zipfile
from pathlib import Path
from typing import Any

from keras_vit.errors import UserError
from keras_vit.untrusted import limits
from keras_vit.untrusted.reading import check_regular
from keras_vit.untrusted.zips import check_zip
from keras_vit.weights.formats.checkpoint import Checkpoint, Spec, check_name, check_shape

# Where training programs put the state dict inside what they save.
_NESTED = ("state_dict", "model", "model_ema", "teacher", "student")
# What NumPy can hold. PyTorch has more: quantized numbers, eight bits of floating point, complex.
_DTYPES = (
    *("float64", "float32", "float16", "bfloat16"),
    *("int64", "int32", "int16", "int8", "uint8", "bool"),
)


def open_torch(path: str | os.PathLike) -> Checkpoint:
    """Opens a file with `torch.load(weights_only=True)`, which runs no code from the file.

    Raises:
        UserError: without PyTorch, for a file that holds more than tensors, or none.
    """
    path = Path(path)
    size = check_regular(path, limits.MODEL)
    if zipfile.is_zipfile(path):
        check_zip(path, limits.WEIGHTS)
        _check_no_program(path)
    try:
        import torch
    except ImportError:
        raise UserError(
            f"{path}: PyTorch's own format needs PyTorch. Type `pip install torch`, or ask for "
            "the weights as .safetensors."
        ) from None
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch has no class of its own for a file that it refuses
        raise UserError(
            f"{path}: PyTorch's restricted reader refuses the file: {_one_line(error)} "
            "Only tensors are loaded; ask for the weights as .safetensors."
        ) from None
    for _ in _NESTED:  # and no deeper: a dictionary may hold itself
        nested = [key for key in _NESTED if isinstance(_get(state, key), dict)]
        state = state[nested[0]] if nested else state
    tensors = {}
    if isinstance(state, dict):
        tensors = {str(k): v.detach() for k, v in state.items() if isinstance(v, torch.Tensor)}
    if not tensors:
        raise UserError(f"{path}: expected a state dict of tensors, received none.")
    specs = {name: _spec(path, name, tensor, size) for name, tensor in tensors.items()}

    def read(name: str):
        tensor = tensors[name]
        return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor.resolve_neg()).numpy()

    return Checkpoint(str(path), specs, read)


def _check_no_program(path: Path) -> None:
    """Refuses TorchScript, which PyTorch's restricted reader does in words that help nobody."""
    with zipfile.ZipFile(path) as archive:
        if any("/code/" in f"/{name}" for name in archive.namelist()):
            raise UserError(
                f"{path}: is a TorchScript archive: a program with weights, as OpenAI published "
                "CLIP. Programs of others are not run. Ask for the same weights as .safetensors, "
                "from the Hugging Face hub or from OpenCLIP."
            )


def _spec(path: Path, name: str, tensor: Any, size: int) -> Spec:
    """What a tensor is, if it is plain numbers that the file of `size` bytes has room for.

    It may be a view that repeats a few bytes a million times.
    """
    check_name(str(path), name)
    dtype, layout = (str(kind).removeprefix("torch.") for kind in (tensor.dtype, tensor.layout))
    if (layout, tensor.device.type) != ("strided", "cpu") or tensor.is_nested:
        raise UserError(f"{path}: tensor {name!r}: expected plain numbers, received another kind.")
    if dtype not in _DTYPES:
        raise UserError(
            f"{path}: tensor {name!r}: expected one of the types {', '.join(_DTYPES)}, received "
            f"{dtype}."
        )
    needed = tensor.numel() * tensor.element_size()
    if needed > size:
        raise UserError(f"{path}: tensor {name!r} has {needed:,} bytes, the file only {size:,}.")
    return Spec(check_shape(str(path), name, tuple(tensor.shape)), dtype)


def _get(state: Any, key: str) -> Any:
    return state.get(key) if isinstance(state, dict) else None


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
