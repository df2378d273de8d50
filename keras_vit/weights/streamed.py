# SPDX-License-Identifier: MIT
"""The variables of a checkpoint by path, for who writes them one at a time."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from keras_vit.config import ViTConfig
from keras_vit.config.variables import shapes
from keras_vit.weights.binding import Binding, check, read
from keras_vit.weights.fit import fitted
from keras_vit.weights.formats import Checkpoint
from keras_vit.weights.resample import Resampling


class Streamed(Mapping[str, np.ndarray]):
    """A model as `fitted` makes it, of which a tensor of the file is in memory at a time.

    Of a tensor that holds several variables the others are kept until they are asked for. A
    variable that is asked for again is read again.

    Args:
        bindings: the tensors of the file and the variables in them.
        checkpoint: the file, by the names of the table.
        old: the model that it holds.
        new: the model that is wanted.
        method: how it is resampled.

    Raises:
        UserError: where the file and the model do not agree.
    """

    def __init__(
        self,
        bindings: Sequence[Binding],
        checkpoint: Checkpoint,
        old: ViTConfig,
        new: ViTConfig,
        method: Resampling,
    ):
        check(list(bindings), checkpoint)
        self._home = {path: binding for binding in bindings for path in binding.ours}
        self._checkpoint = checkpoint
        self._change = old, new, method
        self._shapes = shapes(new)
        self._waiting: dict[str, np.ndarray] = {}

    def __getitem__(self, path: str) -> np.ndarray:
        if path not in self._shapes:
            raise KeyError(path)
        pairs = [(path, self._read(path))] if path in self._home else []
        return dict(fitted(pairs, *self._change))[path]

    def _read(self, path: str) -> np.ndarray:
        if path not in self._waiting:
            binding = self._home[path]
            there = {binding.theirs} & set(self._checkpoint)  # zeros may be left out
            alone = self._checkpoint.renamed({name: name for name in there})
            self._waiting.update(read([binding], alone, self._change[0]))
        return self._waiting.pop(path)

    def __iter__(self) -> Iterator[str]:
        return iter(self._shapes)

    def __len__(self) -> int:
        return len(self._shapes)
