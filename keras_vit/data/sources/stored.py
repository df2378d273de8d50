# SPDX-License-Identifier: MIT
"""Images that a data set stores as the contents of image files."""

import io
from collections.abc import Sequence

import numpy as np

from keras_vit.data.dataset import Encoded
from keras_vit.data.images import opened, orientation_of
from keras_vit.errors import UserError
from keras_vit.progress import track


def stored_split(where: str, labels: np.ndarray, contents: Sequence[bytes]) -> Encoded:
    """Makes a split of them; training turns them upright, as predictions do.

    Args:
        where: what messages call the split.
        labels: see `keras_vit.data.dataset.Split`.
        contents: of image files, one for each label.

    Raises:
        UserError: names the first example that is no image.
    """
    shown = track(contents, f"reading the headers of {where}", len(contents))
    turns = [_orientation(where, *example) for example in enumerate(shown)]
    return Encoded(labels, contents, np.array(turns, "uint8"))


def _orientation(where: str, index: int, contents: bytes) -> int:
    try:
        with opened(io.BytesIO(contents)) as image:
            return orientation_of(image)
    except UserError as error:
        raise UserError(f"{where}: example {index} {str(error).partition(': ')[2]}") from error
