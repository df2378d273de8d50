# SPDX-License-Identifier: MIT
"""Reads a `ViTConfig` off the shapes of a checkpoint; NumPy and Keras are not needed.

An adapter finds the fields that its tensors show, with the functions below; `configured` compares
them with what is known otherwise, and finds the size of the images.
"""

import logging
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from keras_vit.config import VARIANTS, ViTConfig
from keras_vit.errors import UserError
from keras_vit.weights.config_files import UNSEEN
from keras_vit.weights.formats import Spec

Specs = Mapping[str, Spec]

# Fields that tensors do not show: the option of `load_model` that tells each, and its words.
ARGUMENTS = {
    "num_heads": "num_heads",
    "activation": "activation",
    "norm_epsilon": "norm_epsilon",
    "pool": "pool",
    "pool_includes_prefix": None,  # only an architecture tells it
}
_WORDS = {
    "num_heads": "the number of attention heads",
    "activation": "the form of GELU",
    "norm_epsilon": "the epsilon of the norms",
    "pool": "the pool",
    "pool_includes_prefix": "the tokens that the pool reads",
    "rotary": "whether positions are rotary, and how",
    "norm_placement": "whether norms stand before or after attention and MLP",
    "pool_heads": "the heads of the pool",
    "relative_mode": "the form of the relative positions",
    "grid": "how positions are made for a grid",
}
_log = logging.getLogger(__name__)


class Tensors:
    """The shapes of a file by the names of its table, with an error where one is missing.

    Args:
        specs: shape and type by name.
        source: what to call the file in messages.
        file_names: the names in the file, without their prefix; those of `specs` if not given.
    """

    def __init__(self, specs: Specs, source: str, file_names: Iterable[str] = ()):
        self.specs = specs
        self.source = source
        self.file_names = tuple(file_names) or tuple(specs)

    def __contains__(self, name: str) -> bool:
        return name in self.specs

    def shape(self, name: str, rank: int) -> tuple[int, ...]:
        """The shape of a tensor that has to be there, with so many dimensions and some numbers."""
        if name not in self.specs:
            raise UserError(f"{self.source}: expected a tensor {name!r}; there is none.")
        shape = self.specs[name].shape
        if len(shape) != rank or 0 in shape:
            raise UserError(
                f"{self.source}: {name!r}: expected {rank} dimensions and some numbers, "
                f"received the shape {shape}."
            )
        return shape

    def count(self, pattern: str) -> int:
        """How many different numbers the group of a pattern takes; they must start at the lowest
        possible and leave none out."""
        found = {int(m[1]) for name in self.specs if (m := re.match(pattern, name))}
        first = min(found, default=0)
        if first > 1 or found != set(range(first, first + len(found))):
            raise UserError(
                f"{self.source}: the numbers of {pattern!r} leave some out: {sorted(found)[:20]}."
            )
        return len(found)


def first_pool(tensors: Tensors, probe: str, class_token: str) -> str:
    """The pool that tensors show: one of attention by its probe, else the class token."""
    if probe in tensors:
        return "map"
    return "token" if class_token in tensors else "average"


def head(tensors: Tensors, kernel: str, bias: str, outputs_first: bool) -> dict[str, Any]:
    """The fields of the head; without a kernel there are no classes."""
    if kernel not in tensors:
        return {"num_classes": 0}
    outputs = tensors.shape(kernel, 2)[0 if outputs_first else 1]
    return {"num_classes": outputs, "head_bias": 0.0 if bias in tensors else None}


def heads(width: int, head_dim: int | None, facts: Mapping[str, Any], source: str) -> int:
    """Heads of an attention in whose tensors they do not show.

    Args:
        width: of the tokens.
        head_dim: channels of a head, where a norm of queries tells.
        facts: what is known otherwise.
        source: what to call the file.
    """
    if facts.get("num_heads"):
        return facts["num_heads"]
    if head_dim:
        return width // head_dim
    usual, of_width = facts.get("heads_of_width", (None, None))
    if of_width == width and usual:
        return usual
    other = ""
    if usual:
        other = f"{facts.get('named')} has a width of {of_width}, the tensors of {width}; "
    raise UserError(
        f"{source}: {other}nothing in the file tells the number of attention heads. "
        f"Give num_heads=, e.g. num_heads={max(1, width // 64)}."
    )


def in_words(fields: Iterable[str]) -> str:
    """Some fields that tensors do not show, for a message."""
    return ", ".join(_WORDS[field] for field in fields)


def check_told(
    tensors: Tensors, facts: Mapping[str, Any], wanted: Iterable[str], file: str = "config.json"
) -> None:
    """Checks that the caller told what a config.json next to the file would.

    Args:
        tensors: the file.
        facts: what is known.
        wanted: keys of `ARGUMENTS`.
        file: what its library calls the config.json.

    Raises:
        UserError: names what is missing, and the arguments that tell it.
    """
    missing = [field for field in wanted if facts.get(field) is None]
    if missing:
        arguments = ", ".join(f"{ARGUMENTS[field]}=" for field in missing)
        raise UserError(
            f"{tensors.source}: nothing tells {in_words(missing)}. Put its {file} next to it, or "
            f"give {arguments}."
        )


def configured(found: dict[str, Any], facts: Mapping[str, Any], source: str) -> ViTConfig:
    """The configuration of the model that a checkpoint holds.

    Args:
        found: fields that the tensors show. `position_rows` is how many rows the table of positions
            has, None without one; `prefix_tokens` how many of them belong to tokens before the
            patches: a number, or the three that are possible (all tokens, the classes alone, 0).
        facts: fields that are known otherwise; those that the tensors show as well must agree.
            `asked_size` is the image size that the caller gave.
        source: what to call the file in messages.

    Raises:
        UserError: where the two disagree, or something cannot be known and must be given.
    """
    if "pool" in found and facts.get("pool") not in (None, found["pool"]):
        raise UserError(
            f"{source}: the tensors have the pool {found['pool']!r}, but {facts['pool']!r} is "
            "asked for, or in the config.json next to them. One of them belongs to another model."
        )
    for name in ("width", "depth", "mlp_dim"):
        if name in facts and facts[name] != found[name]:
            raise UserError(
                f"{source}: the tensors have {name}={found[name]}, but the config.json next to "
                f"them says {facts[name]}. One of them belongs to another model."
            )
    told = {name: facts[name] for name in UNSEEN if facts.get(name) is not None}
    found = dict(found)
    rows, prefix = found.pop("position_rows"), found.pop("prefix_tokens")
    found |= _sizes(rows, prefix, found, facts, source)
    try:
        return ViTConfig(**{**found, **told})
    except TypeError as error:
        raise UserError(f"{source}: a JSON file next to the weights is wrong: {error}.") from None


def _sizes(rows, prefix, found, facts, source) -> dict[str, Any]:
    """Image size, and which tokens the position table covers."""
    stages = found.get("resnet_stages")
    stride = 1 if stages is None else 4 * 2 ** max(0, len(stages) - 1)
    cell = tuple(stride * size for size in found["patch_size"])  # pixels of a patch of the image
    size = facts.get("image_size")
    size = (size, size) if isinstance(size, int) else size
    if rows is None:
        return {"image_size": size or _guessed_size(found, cell, source)}
    if not facts.get("asked_size"):
        _check_covered(size, cell, source)
    options = prefix if isinstance(prefix, tuple) else (prefix,)
    covered, grid = _covered_and_grid(rows, options, size, cell, source)
    sizes: dict[str, Any] = {"image_size": (grid[0] * cell[0], grid[1] * cell[1])}
    if isinstance(prefix, tuple):
        sizes["class_token_in_positions"] = covered > 0 or prefix[1] == 0
        sizes["register_tokens_in_positions"] = covered == prefix[0] and prefix[0] > prefix[1]
    return sizes


def _check_covered(size, cell, source) -> None:
    """Checks that patches cover the images that the model was made for."""
    if any(side % step for side, step in zip(size or (), cell, strict=False)):
        covered = tuple(side // step * step for side, step in zip(size, cell, strict=True))
        raise UserError(
            f"{source}: was made for images of {size[0]} x {size[1]} pixels, of which patches of "
            f"{cell[0]} cover {covered[0]} x {covered[1]}; the rest was cut off. To give it images "
            f"of that size, say so with image_size={covered}."
        )


def _covered_and_grid(rows, options, size, cell, source) -> tuple[int, tuple[int, int]]:
    """How many of the rows belong to tokens before the patches, and the grid of the others."""
    grids: dict[int, tuple[int, int] | None] = {
        covered: _square(rows - covered) for covered in options if rows > covered
    }
    if size and len(size) == 2 and all(isinstance(side, int) for side in size):
        wanted = (size[0] // cell[0], size[1] // cell[1])
        # A table of just as many rows was made for that grid, square or not.
        exact = [covered for covered in grids if rows - covered == wanted[0] * wanted[1]]
        grids = dict.fromkeys(exact, wanted) or grids
    found = [(covered, grid) for covered, grid in grids.items() if grid]
    if len(found) != 1:
        raise UserError(
            f"{source}: {rows} positions and patches of {cell} pixels do not tell the image size. "
            f"Give image_size=(height, width) of the file, e.g. {(cell[0] * 14, cell[1] * 14)}."
        )
    return found[0]


def _square(number: int) -> tuple[int, int] | None:
    side = math.isqrt(number)
    return (side, side) if side * side == number else None


def _guessed_size(found, cell, source) -> tuple[int, int]:
    """Fixed positions fit any image; published sizes were trained at 224, small ones at 32."""
    published = any(row[0] == found["width"] for row in VARIANTS.values())
    wanted = 224 if published or max(cell) > 8 else 32
    size = tuple(max(1, round(wanted / side)) * side for side in cell)
    _log.warning(
        "%s: nothing in the file tells the image size; taking %d x %d. "
        "If that is wrong, give image_size=.",
        source,
        *size,
    )
    return size
