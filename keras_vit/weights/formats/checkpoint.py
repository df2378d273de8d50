# SPDX-License-Identifier: MIT
"""What every file of weights looks like from the inside: names, shapes, and arrays on request."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

import numpy as np

from keras_vit.errors import UserError

# A name longer than this, or a tensor of more dimensions, is not of a Vision Transformer.
MAX_NAME = 512
MAX_RANK = 8


class Spec(NamedTuple):
    """A tensor as its file declares it, before any of its numbers is read.

    Attributes:
        shape: its shape in the file.
        dtype: NumPy's name of its type, or "bfloat16".
    """

    shape: tuple[int, ...]
    dtype: str

    @property
    def size(self) -> int:
        """Numbers in the tensor; a Python integer, so that it cannot overflow."""
        return math.prod(self.shape)


class Checkpoint(Mapping[str, np.ndarray]):
    """Tensors by name, each read from the file at the moment it is asked for.

    bfloat16 arrives as float32, which holds it exactly; every other type arrives as it is.

    Args:
        source: what to call the file in messages.
        specs: shape and type of every tensor.
        read: reads one tensor by its name in `specs`.
        metadata: what the file says besides its tensors.
    """

    def __init__(
        self,
        source: str,
        specs: dict[str, Spec],
        read: Callable[[str], np.ndarray],
        metadata: dict[str, str] | None = None,
    ):
        self.source = source
        self.specs = specs
        self.metadata = metadata or {}
        self._read = read

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self.specs:
            raise KeyError(name)
        return self._read(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self.specs)

    def __len__(self) -> int:
        return len(self.specs)

    def renamed(self, new_to_old: dict[str, str]) -> "Checkpoint":
        """The same file under other names; names that are left out are out of sight."""
        return Checkpoint(
            self.source,
            {new: self.specs[old] for new, old in new_to_old.items()},
            lambda new: self._read(new_to_old[new]),
            self.metadata,
        )

    def with_computed(
        self, made: Mapping[str, tuple[tuple[int, ...], Callable[[], np.ndarray]]]
    ) -> "Checkpoint":
        """The same file with tensors that are computed from its own, when they are asked for.

        Args:
            made: shape and maker of each; it takes the place of a tensor of that name.
        """
        specs = self.specs | {name: Spec(shape, "float32") for name, (shape, _) in made.items()}

        def read(name: str) -> np.ndarray:
            return made[name][1]() if name in made else self._read(name)

        return Checkpoint(self.source, specs, read, self.metadata)


def merged(source: str, parts: Iterable[Checkpoint]) -> Checkpoint:
    """One checkpoint of several files; a name in two of them is an error."""
    home: dict[str, Checkpoint] = {}
    metadata: dict[str, str] = {}
    for part in parts:
        for name in part:
            if name in home:
                raise UserError(
                    f"{source}: the tensor {name!r} is in both {home[name].source} and "
                    f"{part.source}. Expected each tensor in one file only."
                )
            home[name] = part
        metadata |= part.metadata
    specs = {name: part.specs[name] for name, part in home.items()}
    return Checkpoint(source, specs, lambda name: home[name][name], metadata)


def check_name(source: str, name: str) -> None:
    """Refuses names that no program of this field writes; some aim at the reader's file system."""
    if not 0 < len(name) <= MAX_NAME or not name.isprintable():
        raise UserError(
            f"{source}: expected tensor names of 1 to {MAX_NAME} printable characters, "
            f"received {name[:80]!r}."
        )
    parts = name.replace("\\", "/").split("/")
    if ".." in parts or parts[0] == "":
        raise UserError(
            f"{source}: the tensor name {name!r} is a path that leaves its folder. "
            "The file is damaged or hostile; do not use it."
        )


def check_shape(source: str, name: str, shape) -> tuple[int, ...]:
    """Returns a declared shape as a tuple, or says what is wrong with it."""
    valid = isinstance(shape, list | tuple) and len(shape) <= MAX_RANK
    if not valid or not all(type(size) is int and size >= 0 for size in shape):
        raise UserError(
            f"{source}: tensor {name!r}: expected a shape of at most {MAX_RANK} whole numbers, "
            f"received {str(shape)[:80]}."
        )
    return tuple(shape)


def from_bfloat16(raw: np.ndarray) -> np.ndarray:
    """float32 of bfloat16 given as 2-byte numbers: bfloat16 is the upper half of a float32."""
    return (raw.astype(np.uint32) << 16).view(np.float32)
