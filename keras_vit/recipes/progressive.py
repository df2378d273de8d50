# SPDX-License-Identifier: MIT
"""Training that begins with smaller images (arXiv 2104.00298, section 4)."""

import dataclasses
import itertools
from typing import Any

from keras_vit.config import ViTConfig, pair
from keras_vit.errors import UserError
from keras_vit.untrusted import schema
from keras_vit.untrusted.fields import within

Progressive = tuple[tuple[float, tuple[int, int]], ...]


@dataclasses.dataclass(frozen=True)
class Phase:
    """Epochs of a run that see images of one size.

    Attributes:
        first: number of the first epoch, from 0.
        end: number of the epoch after the last.
        image_size: height and width in pixels.
    """

    first: int
    end: int
    image_size: tuple[int, int]

    def __str__(self) -> str:
        epochs = f"epochs {self.first + 1} to {self.end}"
        if self.end == self.first + 1:
            epochs = f"epoch {self.end}"
        return f"{epochs} at {self.image_size[0]} x {self.image_size[1]} pixels"


def progressive_of(value: Any) -> Progressive:
    """Pairs of a share of the epochs and a size, both of which grow; a `UserError` for the rest."""
    try:
        pairs = tuple((float(share), pair("progressive", size)) for share, size in value)
    except (TypeError, ValueError, OverflowError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(
            "progressive: expected pairs of a share of the epochs and an image size, as in "
            f"((0.5, 128), (0.8, 160)), received {schema.shown(value)}."
        ) from error
    for share, _ in pairs:
        within("progressive", share, 0.001, 0.999)
    for (share, size), (next_share, next_size) in itertools.pairwise(pairs):
        if share >= next_share or size >= next_size:
            raise UserError(
                "progressive: expected shares and sizes that grow from each pair to the next, as "
                f"in ((0.5, 128), (0.8, 160)), received {schema.shown(value)}."
            )
    return pairs


def phases_of(progressive: Progressive, model: ViTConfig, epochs: int) -> tuple[Phase, ...]:
    """Which epochs see which size.

    A share is rounded to whole epochs, a phase without any is left out, and the last epoch sees the
    size of the model whatever the shares.

    Args:
        progressive: from `progressive_of`.
        model: what is trained.
        epochs: those of the run.

    Raises:
        UserError: for a size that does not fit the model.
    """
    phases, first = [], 0
    for share, size in progressive:
        _check(size, model)
        end = min(round(share * epochs), epochs - 1)
        if end > first:
            phases.append(Phase(first, end, size))
            first = end
    return (*phases, Phase(first, epochs, model.image_size))


def _check(size: tuple[int, int], model: ViTConfig) -> None:
    full = model.image_size
    if size[0] >= full[0] or size[0] * full[1] != size[1] * full[0]:
        raise UserError(
            f"progressive: expected sizes below the model's {full[0]} x {full[1]} pixels and with "
            f"its aspect ratio, received {size[0]} x {size[1]}."
        )
    try:
        dataclasses.replace(model, image_size=size)
    except UserError as error:
        raise UserError(f"progressive: {error}") from error
