# SPDX-License-Identifier: MIT
"""What a model wants to see of an image, as one value."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """How an image of any size becomes the input of a model, resized and cropped.

    Of the upright image, the largest box with the aspect ratio of `image_size` is taken around the
    centre, its sides times `crop` (see `box`). It is resized to `image_size` in float32 with an
    antialiased triangle filter and not rounded; a box that has this size already keeps its values.
    A grey image is repeated for three channels; a coloured one becomes grey by the weights of ITU-R
    601. Pixels stay in 0 to 255: normalisation is the first layer of the model.

    Training, evaluation, predictions and exported files all do this. It is written twice, in NumPy
    (`keras_vit.data.images`) and in TensorFlow (`keras_vit.data.pipeline.reading`), and
    `tests/data/pipeline/` compares both.

    Attributes:
        image_size: height and width in pixels.
        channels: 1 for grey, 3 for colour.
        crop: share of the sides of the largest box that is kept, above 0 to 1.
    """

    image_size: tuple[int, int]
    channels: int = 3
    crop: float = 1.0

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels."""
        return (*self.image_size, self.channels)

    def box(self, height: int, width: int) -> tuple[int, int, int, int]:
        """The part of an image of this height and width that is resized.

        Returns:
            top, left, height and width in pixels; height and width are at least 1. Halves are
            rounded to even numbers, as Python and TensorFlow both do.
        """
        wanted_height, wanted_width = self.image_size
        scale = min(height / wanted_height, width / wanted_width) * self.crop
        box_height = max(1, min(height, round(wanted_height * scale)))
        box_width = max(1, min(width, round(wanted_width * scale)))
        return (height - box_height) // 2, (width - box_width) // 2, box_height, box_width
