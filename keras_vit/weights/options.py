# SPDX-License-Identifier: MIT
"""What may be said about a checkpoint when it is loaded: the one statement of these arguments."""

import dataclasses
from collections.abc import Sequence
from typing import Any, Self

from keras_vit.errors import unknown
from keras_vit.preprocessing import View
from keras_vit.weights.resample import METHODS

# Fields of `ViTConfig` that the caller may know where the file does not tell.
_TOLD = ("image_size", "num_heads", "pixel_mean", "pixel_std", "activation", "norm_epsilon", "pool")


@dataclasses.dataclass(frozen=True)
class LoadOptions:
    """Arguments of `load_model`, and of everything that opens a checkpoint.

    Attributes:
        image_size: height and width in pixels to resample the positions for. Where the file does
            not tell its own (grids that are not square), the size of the file.
        num_heads: attention heads, where nothing in the file tells (bare timm files).
        num_classes: another number of classes replaces the head by one that starts from zero (and,
            as in the paper, drops the tanh layer before it); 0 takes it off, so that the model
            returns its representation.
        pixel_mean: what is subtracted from pixels / 255, where no JSON file tells; default 0.5.
        pixel_std: what divides them after that; default 0.5.
        crop, framing, interpolation: what of an image the model wants to see, where no JSON file
            tells, or what is wanted otherwise; see `keras_vit.preprocessing.View`.
        architecture: what timm calls the model, e.g. `"vit_base_patch16_224"`, for a bare file: it
            tells heads, GELU, epsilon and pool, which tensors do not.
        activation: of the MLPs, for a bare timm file of a model made with another `act_layer`.
        norm_epsilon: epsilon of every LayerNorm, for a bare file of a model made with another.
        pool: "average", for a bare timm file of a model that has a class token, averages all the
            same, and normalises before that.
        patch_size: another patch size, through the pseudo-inverse resize of FlexiViT; of timm's
            files as timm does it, with a bicubic instead of a bilinear.
        resample: how positions are resampled. Each library's own way if not given: "zoom" (`.npz`),
            "bicubic" (transformers) or "bicubic_antialias" (timm, `.keras`); see
            `keras_vit.interpolation.matrix`.
        skip: patterns of names in the file to treat as if they were not there, e.g. `"extra/*"`;
            what the encoder computes with cannot be left out.
    """

    image_size: int | tuple[int, int] | None = None
    num_heads: int | None = None
    num_classes: int | None = None
    pixel_mean: float | Sequence[float] | None = None
    pixel_std: float | Sequence[float] | None = None
    crop: float | None = None
    framing: str | None = None
    interpolation: str | None = None
    architecture: str | None = None
    activation: str | None = None
    norm_epsilon: float | None = None
    pool: str | None = None
    patch_size: int | tuple[int, int] | None = None
    resample: str | None = None
    skip: str | Sequence[str] = ()

    def __post_init__(self) -> None:
        if self.resample not in (None, *METHODS):
            raise unknown("resampling method", self.resample, METHODS)
        dataclasses.replace(View(), **self.told_view())  # checks them
        skip = (self.skip,) if isinstance(self.skip, str) else tuple(self.skip)
        object.__setattr__(self, "skip", skip)

    @classmethod
    def of(cls, **given: Any) -> Self:
        """The options of some keyword arguments.

        Raises:
            UserError: for a name that is none of them, with the nearest ones that are.
        """
        known = [field.name for field in dataclasses.fields(cls)]
        for name in given:
            if name not in known:
                raise unknown("option of load_model", name, known)
        return cls(**given)

    def told(self) -> dict[str, Any]:
        """The fields of `ViTConfig` that the caller knows."""
        values = {name: getattr(self, name) for name in _TOLD}
        return {name: value for name, value in values.items() if value is not None}

    def told_view(self) -> dict[str, Any]:
        """The fields of `View` that the caller knows."""
        values = {name: getattr(self, name) for name in ("crop", "framing", "interpolation")}
        return {name: value for name, value in values.items() if value is not None}
