# SPDX-License-Identifier: MIT
"""The JSON files that lie next to weights, and the header of our own files.

Facts are fields of `ViTConfig` under their own names; what nobody says is left out. `named` is what
told them apart from guesses: the name of an architecture, a model type, or our own header.
"""

import dataclasses
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, TypedDict

from keras_vit.config import ViTConfig
from keras_vit.errors import UserError
from keras_vit.origins import Origin, from_text, to_text
from keras_vit.preprocessing import USUAL, View
from keras_vit.untrusted import limits
from keras_vit.untrusted.reading import parse_json
from keras_vit.untrusted.reading import read_json as read_untrusted_json
from keras_vit.untrusted.schema import Between, Sized
from keras_vit.weights.views import Processor, of_transformers

Facts = dict[str, Any]
Side = int | list[int] | None  # of an image in a JSON file: pixels, or a pair of them

# The key under which our own files keep facts in the header of a .safetensors file.
METADATA_KEY = "keras_vit"
_ORIGINS_KEY = "keras_vit_origins"  # and the licences of what the weights were made of
# Fields of `ViTConfig` that neither shapes nor names of tensors show.
UNSEEN = (
    *("activation", "norm_epsilon", "norm_placement", "pool_includes_prefix", "pool_heads"),
    *("rotary", "rotary_temperature", "rotary_reference_grid", "rotary_offset"),
    *("pixel_mean", "pixel_std"),
)
_KEPT = ("num_heads", "pool", "image_size", *UNSEEN)


class _Header(TypedDict, total=False):
    pool: str
    image_size: Annotated[list[Annotated[int, Between(1, limits.IMAGE_SIDE)]], Sized(2, 2)]
    view: View


class _Preprocessor(Processor, total=False):
    do_rescale: bool | None
    do_normalize: bool | None
    rescale_factor: Annotated[float, Between(1e-9, 1e9)]
    image_mean: float | list[float] | None
    image_std: float | list[float] | None


class _Processor(TypedDict, total=False):
    image_processor: _Preprocessor | None


def read_json(path: str | os.PathLike, kind: Any = dict[str, Any]) -> dict[str, Any]:
    """Reads a JSON object.

    Args:
        path: the file.
        kind: the type that it must have; see `keras_vit.untrusted.schema.check`. What is compared
            or counted with is checked where that is done.

    Returns:
        The object, or `{}` where there is no such file.

    Raises:
        UserError: names the file, the field, and what it should be.
    """
    return read_untrusted_json(path, kind) if os.path.lexists(path) else {}


def config_file(path: Path) -> Path:
    """The `config.json` that describes a checkpoint, whether there is one or not.

    Args:
        path: a file of weights, or a folder.
    """
    return (path if path.is_dir() else path.parent) / "config.json"


def preprocessor_facts(
    config: Path, mean: Sequence[float] = (0.5,) * 3, std: Sequence[float] = (0.5,) * 3
) -> Facts:
    """Pixel statistics and view by the `preprocessor_config.json` next to a `config.json`.

    Statistics are for pixels / 255, whatever factor the file rescales by. Where transformers 5
    saved the preprocessing of texts as well, both are in `processor_config.json`, which it reads
    first.

    Args:
        config: path of the `config.json`.
        mean: what the library takes where the file has no word on it.
        std: likewise.
    """
    both = read_json(config.with_name("processor_config.json"), _Processor)
    file = config.with_name("preprocessor_config.json")
    told: Any = both.get("image_processor") or read_json(file, _Preprocessor)
    if not told:
        return {}
    factor = told.get("rescale_factor", 1 / 255) if told.get("do_rescale", True) else 1.0
    normalises = told.get("do_normalize", True)
    unit = 255 * factor
    unit = unit if abs(unit - 1) > 1e-6 else 1.0
    names = {
        "pixel_mean": ("image_mean", [0.0], mean),
        "pixel_std": ("image_std", [1.0], std),
    }
    facts = {}
    for field, (name, without, usual) in names.items():
        values = told.get(name) if normalises else without
        values = list(usual) if values is None else values
        numbers = values if isinstance(values, list) else [values]
        facts[field] = [number / unit for number in numbers]
    view = of_transformers(told, str(file))
    return facts if view is None else {**facts, "view": view}


def to_header(
    config: ViTConfig, origins: Sequence[Origin] = (), view: View = USUAL
) -> dict[str, str]:
    """The text that `header_facts` and `header_origins` read back; PyTorch's readers want the
    format too."""
    kept = {name: getattr(config, name) for name in _KEPT}
    kept["view"] = dataclasses.asdict(view)
    header = {"format": "pt", METADATA_KEY: json.dumps(kept)}
    return header | ({_ORIGINS_KEY: to_text(origins)} if origins else {})


def header_origins(metadata: dict[str, str], source: str) -> tuple[Origin, ...]:
    """Where weights come from, by the header of a .safetensors file of ours; else nothing."""
    return from_text(metadata.get(_ORIGINS_KEY, "[]"), f"{source}: {_ORIGINS_KEY!r} in its header")


def header_facts(metadata: dict[str, str], source: str) -> Facts:
    """Facts in the header of a .safetensors file of ours; of another file, none."""
    text = metadata.get(METADATA_KEY, "{}")
    values = parse_json(text, f"{source}: {METADATA_KEY!r} in its header", _Header)
    kept = {name: value for name, value in values.items() if name in _KEPT}
    view = values.get("view", USUAL)
    return {**kept, "named": "its own header", "view": view} if kept else {}


def licence_in(config: dict[str, Any]) -> str:
    """What a `config.json` of timm calls the licence of its weights; "" where it does not."""
    told = config.get("pretrained_cfg")
    licence = told.get("license") if isinstance(told, dict) else None
    return licence if isinstance(licence, str) and re.fullmatch(r"[\w.+-]{1,80}", licence) else ""


def translated(table: dict[str, str], value: Any, field: str, source: str) -> str:
    """Our word for one of theirs.

    Raises:
        UserError: for a word that the table lacks.
    """
    if not isinstance(value, str) or value not in table:
        raise UserError(
            f"{source}: {field} is {value!r}; the model here can do {', '.join(table)}."
        )
    return table[value]


def image_size(value: Any, source: str) -> tuple[int, int]:
    """Height and width; (channels, height, width) is cut to the last two."""
    sides = (value, value) if isinstance(value, int) else value
    if not isinstance(sides, list | tuple) or not all(type(side) is int for side in sides[-2:]):
        raise UserError(f"{source}: image size: expected pixels, received {str(value)[:80]!r}.")
    if len(sides) not in (2, 3):
        raise UserError(
            f"{source}: image size: expected height and width, received {str(sides)[:80]}."
        )
    return tuple(sides[-2:])


def one_or_two(pair: tuple[int, int]) -> int | list[int]:
    """A height and a width as a `config.json` has them: one number for a square."""
    return pair[0] if pair[0] == pair[1] else list(pair)


def each_channel(values: tuple[float, ...], config: ViTConfig) -> list[float]:
    """Pixel statistics with a number for each channel."""
    return list(values * (config.channels // len(values)))
