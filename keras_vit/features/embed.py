# SPDX-License-Identifier: MIT
"""Features of images: what the head of a model reads, one row for each image."""

import contextlib
import dataclasses
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_vit import zoo
from keras_vit.data.image_list import ImageList, list_images
from keras_vit.errors import UserError
from keras_vit.export.runner import format_of
from keras_vit.features.files import writer_for
from keras_vit.files import replacing
from keras_vit.preprocessing import Preprocessing
from keras_vit.progress import say, step, track
from keras_vit.run_folder import RunFolder
from keras_vit.threads import map_in_threads
from keras_vit.weights.load import build

if TYPE_CHECKING:
    from keras_vit.models import ViT

_BATCH_BYTES = 500_000_000  # of pixels in a batch; the next one is read meanwhile


@dataclasses.dataclass(frozen=True)
class Embedded:
    """What `embed` did.

    Attributes:
        images: rows that were written.
        features: numbers in a row.
        failed: images that could not be read, and are left out.
    """

    images: int
    features: int
    failed: int


def embed(
    model: str | os.PathLike,
    images: str | os.PathLike | Sequence[str | os.PathLike],
    out: str | os.PathLike,
    batch_size: int = 32,
    data_dir: str | None = None,
    tell: Callable[[str], None] = say,
    **options: Any,
) -> Embedded:
    """Writes the features that a model finds in images into a file.

        import keras_vit

        keras_vit.embed("runs/photos", "photos/", "features.npz")

    Features are what the model's head reads: `keras_vit.create(model, num_classes=0)`. Two batches
    of images are in memory at a time, and the file is there when it is complete.

    Args:
        model: a name of the catalog, a run folder, a `.keras` file or a checkpoint of any dialect.
        images: see `keras_vit.data.image_list.list_images`.
        out: an `.npz` or `.parquet` file; see `keras_vit.features.files`.
        batch_size: images that go through at a time, fewer where one is very large.
        data_dir: where TFDS keeps its data sets.
        tell: is told of each image that cannot be read; by default on standard error.
        **options: those of `keras_vit.weights.LoadOptions`, such as another `image_size`.

    Raises:
        UserError: for a model, images or a file name that cannot be; when no image can be read; and
            for features that are not finite.
    """
    write_to = writer_for(Path(out))
    names = [images] if isinstance(images, str | os.PathLike) else list(images)
    found = list_images([os.fspath(name) for name in names], data_dir)
    with step(f"opening {os.fspath(model)}"):
        backbone, seen = _open(model, options)
    batch_size = max(1, min(batch_size, _BATCH_BYTES // (4 * int(np.prod(seen.shape)))))
    failed: list[str] = []

    def left_out(problem: str) -> None:
        failed.append(problem)
        tell(problem)

    width = backbone.output.shape[-1]
    with (
        replacing(out) as temporary,
        contextlib.closing(write_to(temporary, found, width)) as writer,
    ):
        for places, features in _batches(backbone, found, seen, batch_size, left_out):
            writer.add(places, features)
        if len(failed) == len(found):
            raise UserError(f"{out}: none of the {len(found):,} images can be read.")
        writer.finish()
    return Embedded(len(found) - len(failed), width, len(failed))


def _open(model: str | os.PathLike, options: dict[str, Any]) -> tuple["ViT", Preprocessing]:
    """The model without its head, and what it wants to see."""
    path = Path(zoo.locate(model)[0])
    if format_of(path) in ("litert", "onnx", "saved_model"):
        raise UserError(
            f"{os.fspath(model)}: is an exported file, which gives logits and no features. "
            "Expected a run folder, a .keras file, a checkpoint or a name of the catalog."
        )
    backbone = build(zoo.open_weights(model, **{**options, "num_classes": 0}))
    run = RunFolder.around(path) if path.suffix == ".keras" else None
    view = backbone.view if run is None else run.recipe.data.view
    config = backbone.config
    return backbone, Preprocessing(config.image_size, config.channels, view)


def _batches(
    backbone: "ViT",
    images: ImageList,
    seen: Preprocessing,
    batch_size: int,
    left_out: Callable[[str], None],
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Positions of the images of a batch, `(batch,)`, and their features, `(batch, features)`.

    Each batch that the model sees has `batch_size` images, the last filled up with black ones: it
    is traced once.
    """
    pixels = np.zeros((batch_size, *seen.shape), "float32")
    places: list[int] = []

    def read(place: int) -> np.ndarray | UserError:
        try:
            return images.open(place, seen)
        except UserError as error:
            return error

    with contextlib.closing(map_in_threads(read, range(len(images)), batch_size)) as arriving:
        for place, image in enumerate(track(arriving, "embedding", len(images))):
            if isinstance(image, UserError):
                left_out(str(image))
                continue
            pixels[len(places)] = image
            places.append(place)
            if len(places) == batch_size:
                yield _features(backbone, pixels, images, places)
                places = []
    if places:
        pixels[len(places) :] = 0
        yield _features(backbone, pixels, images, places)


def _features(
    backbone: "ViT", pixels: np.ndarray, images: ImageList, places: list[int]
) -> tuple[np.ndarray, np.ndarray]:
    features = np.asarray(backbone.predict_on_batch(pixels), "float32")[: len(places)]
    broken = np.flatnonzero(~np.isfinite(features).all(axis=1))
    if len(broken):
        raise UserError(
            f"expected finite features, received NaN or infinity for "
            f"{images.names[places[broken[0]]]}. The weights are damaged."
        )
    return np.array(places), features
