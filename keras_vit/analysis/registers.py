# SPDX-License-Identifier: MIT
"""Registers at test time: what a model keeps in patch tokens moves to a token of its own.

After arXiv 2506.08010, sections 3 and 4: a few neurons of the MLPs write the artefacts of
arXiv 2309.16588. Where these neurons fire into one more token instead, which nobody trained, the
patch tokens show what is in their patches.
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from keras_vit.analysis.tokens import ARTEFACT, long_tokens, token_norms
from keras_vit.analysis.walk import outputs_of, through, tokens_of
from keras_vit.errors import UserError
from keras_vit.models import blocks, config_of
from keras_vit.models.graph import check_movable


class Neuron(NamedTuple):
    """A number in the hidden layer of an MLP.

    Attributes:
        block: whose MLP, from 0.
        unit: which, from 0.
    """

    block: int
    unit: int


@dataclasses.dataclass(frozen=True)
class Moved:
    """What a model does with a register that it was not trained with.

    Attributes:
        outputs: float32 `(batch, outputs)`.
        norms: lengths of the patch tokens after each block, `(depth, batch, rows, columns)`.
        register: of the register, `(depth, batch)`.
    """

    outputs: np.ndarray
    norms: np.ndarray
    register: np.ndarray

    @property
    def artefacts(self) -> np.ndarray:
        """Those that are left, bool `(batch, rows, columns)`; see `keras_vit.analysis.artefacts`.

        The limit is that of this model: lengths are compared with the median of the image.
        """
        return long_tokens(self.norms[-1])


def register_neurons(model: keras.Model, images: np.ndarray, count: int = 10) -> list[Neuron]:
    """The neurons that write the artefacts.

    Args:
        model: a model built by `keras_vit.vit`.
        images: `(batch, height, width, channels)`, 0 to 255, some of which have artefacts.
        count: how many to return.

    Returns:
        Of the blocks up to the one after which artefacts stand out, the neurons that fire most at
        the patches that become artefacts (algorithm 1), the strongest first.

    Raises:
        UserError: where no image has an artefact.
    """
    norms = token_norms(model, images)
    found = long_tokens(norms[-1])
    if not found.any():
        raise UserError(
            f"register neurons: none of the {len(found)} images has an artefact, a patch token "
            f"more than {ARTEFACT:g} times as long as the median; nothing is to be moved."
        )
    times_median = norms / np.median(norms, axis=(2, 3), keepdims=True)
    stand_out = times_median[:, found].mean(axis=1) > ARTEFACT  # (depth,)
    prefix, strengths, x = config_of(model).num_prefix_tokens, [], tokens_of(model, images)
    for block in blocks(model)[: int(stand_out.argmax()) + 1]:
        seen: list[np.ndarray] = []
        x, _ = through(block, x, hidden=functools.partial(_keep, seen=seen))
        at_patches = np.abs(seen[0][:, prefix:]).reshape(*found.shape, -1)
        strengths.append(at_patches[found].mean(axis=0))  # (mlp_dim,)
    order = np.argsort(-np.stack(strengths), axis=None, kind="stable")[:count]
    places = zip(*np.unravel_index(order, (len(strengths), len(strengths[0]))), strict=True)
    return [Neuron(int(block), int(unit)) for block, unit in places]


def move_to_register(
    model: keras.Model, images: np.ndarray, neurons: Sequence[tuple[int, int]]
) -> Moved:
    """Lets neurons fire into a register instead of patches.

    The register begins as zeros, behind the tokens before the patches. Of what a neuron says to the
    tokens of an image, the number of largest magnitude goes to the register, and zero to the
    patches; the tokens before them keep what they hear. No pool reads the register.

    Args:
        model: a model whose tokens carry their positions along.
        images: `(batch, height, width, channels)`, 0 to 255.
        neurons: pairs of block and unit, as `register_neurons` returns them.

    Raises:
        UserError: for a model with rotary positions or a relative bias, which count the tokens.
    """
    config = config_of(model)
    check_movable(config, "registers at test time")
    x, place, norms = tokens_of(model, images), config.num_prefix_tokens, []
    x = ops.concatenate([x[:, :place], ops.zeros_like(x[:, :1]), x[:, place:]], axis=1)
    for number, block in enumerate(blocks(model)):
        units = [unit for of, unit in neurons if of == number]
        x, _ = through(block, x, hidden=functools.partial(_moved, units=units, place=place))
        norms.append(np.linalg.norm(_numpy(x), axis=-1))
    x = ops.concatenate([x[:, :place], x[:, place + 1 :]], axis=1)
    lengths = np.stack(norms)  # (depth, B, tokens)
    return Moved(
        _numpy(outputs_of(model, x)),
        lengths[..., place + 1 :].reshape(*lengths.shape[:2], *config.grid),
        lengths[..., place],
    )


def _moved(hidden: Any, units: Sequence[int], place: int) -> Any:
    """Hidden layers `(batch, tokens, mlp_dim)` of which some units fire at a register."""
    if not units:
        return hidden
    values = np.array(_numpy(hidden))
    for unit in units:
        said = values[..., unit]  # (B, tokens)
        strongest = np.take_along_axis(said, np.abs(said).argmax(axis=1)[:, None], axis=1)[:, 0]
        values[:, place + 1 :, unit] = 0
        values[:, place, unit] = strongest
    return ops.convert_to_tensor(values, hidden.dtype)


def _keep(hidden: Any, seen: list[np.ndarray]) -> Any:
    seen.append(_numpy(hidden))
    return hidden


def _numpy(tensor: Any) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(tensor), "float32")
