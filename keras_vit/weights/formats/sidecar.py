# SPDX-License-Identifier: MIT
"""JSON files that lie beside weights."""

import os
from pathlib import Path
from typing import Annotated, Any, TypedDict

from keras_vit.untrusted.reading import read_json as read_untrusted_json
from keras_vit.untrusted.schema import Between

_Side = int | list[int] | None


class _TimmArguments(TypedDict, total=False):
    img_size: _Side
    act_layer: str | None
    global_pool: str | None


class _TimmPretrained(TypedDict, total=False):
    input_size: list[int] | None
    mean: float | list[float] | None
    std: float | list[float] | None


class _Config(TypedDict, total=False):
    architecture: str
    model_type: str | None
    hidden_act: str | None
    pooler_act: str | None
    image_size: _Side | dict[str, Any]
    global_pool: str | None
    model_args: _TimmArguments | None
    pretrained_cfg: _TimmPretrained | None


class _Preprocessor(TypedDict, total=False):
    do_rescale: bool | None
    do_normalize: bool | None
    rescale_factor: Annotated[float, Between(1e-9, 1e9)]
    image_mean: float | list[float] | None
    image_std: float | list[float] | None


# The fields that this program asks for. What it compares or counts with is checked where it does.
_KINDS = {"config.json": _Config, "preprocessor_config.json": _Preprocessor}


def read_json(path: str | os.PathLike) -> dict[str, Any]:
    """Reads a JSON object.

    Returns:
        The object, or `{}` where there is no such file.

    Raises:
        UserError: names the file, the field, and what it should be.
    """
    if not os.path.lexists(path):
        return {}
    return read_untrusted_json(path, _KINDS.get(Path(path).name, dict[str, Any]))
