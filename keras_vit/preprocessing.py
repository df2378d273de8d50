# SPDX-License-Identifier: MIT
"""What a model wants to see of an image, as one value."""

import dataclasses
import math

from keras_vit.errors import UserError, unknown

FRAMINGS = ("box", "shorter_side", "shortest_edge", "squash")
INTERPOLATIONS = ("triangle", "bicubic", "lanczos")


@dataclasses.dataclass(frozen=True)
class View:
    """Which part of an image a model sees, and by which filter it is resized.

    Attributes:
        crop: share of the sides that is kept around the centre, above 0 to 1.
        framing: what it is a share of.

            * "box": the largest box of the input's aspect ratio, in whole pixels; what is outside
              of it has no influence.
            * "shorter_side": the same, as torchvision, timm and OpenCLIP cut it: the image is
              resized until its shorter side is the input's over `crop`, and its centre is cut out.
            * "shortest_edge": the same, as transformers cuts it: where the centre lies between two
              pixels, it takes the upper and left one, the others the even one.
            * "squash": the whole image, whose aspect ratio is lost.
        interpolation: "triangle" (bilinear), "bicubic" (a = -0.5, Pillow's) or "lanczos" (of three
            lobes); all are widened when they shrink an image (antialiased).
    """

    crop: float = 1.0
    framing: str = "box"
    interpolation: str = "triangle"

    def __post_init__(self) -> None:
        if not 0.01 <= self.crop <= 1:
            raise UserError(f"crop: expected a number from 0.01 to 1, received {self.crop!r}.")
        if self.framing not in FRAMINGS:
            raise unknown("framing", self.framing, FRAMINGS)
        if self.interpolation not in INTERPOLATIONS:
            raise unknown("interpolation", self.interpolation, INTERPOLATIONS)

    def __str__(self) -> str:
        part = {
            "box": "the largest centred box",
            "shorter_side": "the centre, resized by the shorter side",
            "shortest_edge": "the centre, resized by the shorter side",
            "squash": "the whole image, squashed",
        }[self.framing]
        share = f", of which {self.crop:.4g} of the sides" if self.crop != 1 else ""
        return f"{part}{share}, {self.interpolation}"


USUAL = View()


def view_of(model: object) -> View:
    """That of a Keras model; the usual one of a model that keras_vit did not make."""
    return getattr(model, "view", USUAL)


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """How an image of any size becomes the input of a model, resized and cropped.

    Of the upright image a box is taken around the centre (see `View` and `box`). It is resized to
    `image_size` in float32 and not rounded; what a filter overshoots is cut off at 0 and 255, and a
    box of whole pixels that has this size already keeps its values. A grey image is repeated for
    three channels; a colored one becomes grey by the weights of ITU-R 601. Pixels stay in 0 to
    255: normalisation is the first layer of the model.

    Training, evaluation, predictions and exported files all do this. It is written twice, in NumPy
    (`keras_vit.data.images`) and in TensorFlow (`keras_vit.data.pipeline.reading`), and
    `tests/data/pipeline/` compares both; `tests/data/test_views.py` compares them with torchvision,
    timm and transformers.

    Attributes:
        image_size: height and width in pixels.
        channels: 1 for grey, 3 for color.
        view: which part of an image is resized, and how.
    """

    image_size: tuple[int, int]
    channels: int = 3
    view: View = USUAL

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels."""
        return (*self.image_size, self.channels)

    @property
    def resized_to(self) -> tuple[int, int]:
        """Height and width to which an image is resized before its centre is cut out.

        Libraries round down; 1e-6 is for a share like 224 / 235, which a file has as two numbers.
        """
        height, width = (math.floor(side / self.view.crop + 1e-6) for side in self.image_size)
        return height, width

    def box(self, height: int, width: int) -> tuple[float, float, float, float]:
        """The part of an image of this height and width that is resized.

        Returns:
            top, left, height and width in pixels: whole numbers for the framing "box", with height
            and width of at least 1. Halves are rounded to even numbers, as Python, TensorFlow and
            torchvision do.
        """
        if self.view.framing != "box":
            return self._cut_after_resizing(height, width)
        wanted_height, wanted_width = self.image_size
        scale = min(height / wanted_height, width / wanted_width) * self.view.crop
        box_height = max(1, min(height, round(wanted_height * scale)))
        box_width = max(1, min(width, round(wanted_width * scale)))
        return (height - box_height) // 2, (width - box_width) // 2, box_height, box_width

    def _cut_after_resizing(self, height: int, width: int) -> tuple[float, float, float, float]:
        """Where the centre of the resized image lies in the image itself."""
        to, framing = self.resized_to, self.view.framing
        if framing != "squash":
            # The side that is shorter, measured by the input, decides. Square inputs are resized by
            # torchvision, which rounds down, others by timm, which rounds.
            whole = math.floor if to[0] == to[1] else round
            first = height * to[1] <= width * to[0]
            wanted, short = (to[0], height) if first else (to[1], width)
            to = whole(height * wanted / short), whole(width * wanted / short)
        sides = []
        for resized, cut, side in zip(to, self.image_size, (height, width), strict=True):
            pixels = side / resized  # of the image, for one of the resized
            half = (resized - cut) / 2
            start = math.floor(half) if framing == "shortest_edge" else round(half)
            sides.append((start * pixels, cut * pixels))
        (top, box_height), (left, box_width) = sides
        return top, left, box_height, box_width
