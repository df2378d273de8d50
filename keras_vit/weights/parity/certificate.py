# SPDX-License-Identifier: MIT
"""A layer-by-layer certificate that a checkpoint computes here what it computes at home.

Against an installed library, or against outputs that one stored earlier (NumPy and Keras only).
"""

import dataclasses
import os
import tempfile
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_vit.config import ViTConfig
from keras_vit.errors import UserError, not_installed, unknown
from keras_vit.files import replacing
from keras_vit.models import blocks, config_of
from keras_vit.progress import step
from keras_vit.weights import registry
from keras_vit.weights.adapter import Taps
from keras_vit.weights.formats import open_npz
from keras_vit.weights.load import build
from keras_vit.weights.saving import save
from keras_vit.weights.source import Source, open_source

# Two libraries that add the same float32 numbers in another order differ by a few of these.
TOLERANCE = 2e-5


@dataclasses.dataclass(frozen=True)
class Row:
    """One layer of a certificate.

    Attributes:
        layer: name of the layer, or "logits".
        difference: largest absolute difference.
        largest: largest absolute value of the reference.
        passed: whether `difference <= TOLERANCE * max(1, largest)`.
    """

    layer: str
    difference: float
    largest: float
    passed: bool


@dataclasses.dataclass(frozen=True)
class Certificate:
    """What was compared with what, and how far apart they are.

    Attributes:
        path: the checkpoint.
        dialect: its dialect.
        reference: the library, or the file of stored outputs.
        versions: of Keras, its backend and the reference.
        tolerance: what `passed` was decided by.
        rows: the layers, first to last.
    """

    path: str
    dialect: str
    reference: str
    versions: dict[str, str]
    tolerance: float
    rows: tuple[Row, ...]

    @property
    def passed(self) -> bool:
        """Whether every layer did."""
        return all(row.passed for row in self.rows)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**dataclasses.asdict(self), "passed": self.passed}


def certify(
    path: str | os.PathLike,
    *,
    reference: str | None = None,
    stored: str | os.PathLike | None = None,
    record: str | os.PathLike | None = None,
    batch: int = 2,
    seed: int = 0,
    **options: Any,
) -> Certificate:
    """Compares every layer of a checkpoint here with a reference.

    Args:
        path: the checkpoint.
        reference: "timm", "hf", "open_clip" or "flax": runs the file's own tensors in that library.
        stored: instead, a `.npz` with "images" (normalised as the model wants them) and "logits",
            and where it has them outputs by layer name.
        record: a `.npz` to store the reference's images and outputs in, for `stored` elsewhere.
        batch: random images to compare on.
        seed: of the images.
        **options: those of `LoadOptions`: `num_heads`, `image_size`, ...

    Raises:
        UserError: without exactly one of `reference` and `stored`, or a library that is missing.
    """
    if (reference is None) == (stored is None):
        raise UserError("give either a reference library or a file of stored outputs.")
    source = open_source(path, **options)
    if reference is not None and source.adapter.reference is None:
        return _of_a_copy(source, reference, record=record, batch=batch, seed=seed)
    model = build(source)
    config = config_of(model)
    versions = {"keras": keras.__version__, "backend": keras.backend.backend()}
    if reference is None:
        images, theirs = _stored(stored)
    else:
        shape = (batch, *config.image_size, config.channels)
        images = np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)
        with step(f"running {reference}"):
            theirs, found = _run(reference, source, images)
        versions |= found
    if record is not None:
        with replacing(Path(record)) as temporary:
            np.savez(temporary, images=images, **theirs)  # type: ignore[arg-type]
    ours = layer_outputs(model, pixels_of(images, config))
    rows = tuple(_row(name, ours[name], theirs[name]) for name in ours if name in theirs)
    by = str(reference or stored)
    return Certificate(str(path), source.dialect, by, versions, TOLERANCE, rows)


def _of_a_copy(source: Source, reference: str, **settings: Any) -> Certificate:
    """The certificate of a model that no library reads as it is: it is written in the dialect of
    one first."""
    with tempfile.TemporaryDirectory() as folder:
        copy = _copy(build(source), reference, Path(folder))
        found = certify(copy, reference=reference, **settings)
    return dataclasses.replace(found, path=str(source.path), dialect=source.dialect)


def _copy(model: keras.Model, reference: str, folder: Path) -> Path:
    """Writes a model in the first dialect of a library that can say it."""
    reasons = []
    for adapter in registry.writers_for(reference):
        ending = "" if "folder" in adapter.written_to else adapter.written_to[0]
        copy = folder / f"{adapter.name}{ending}"
        try:
            save(model, copy, next(iter(adapter.dialects)))
        except UserError as error:
            reasons.append(str(error))
        else:
            return copy
    raise UserError(" ".join(reasons))


def _run(reference: str, source: Source, images: np.ndarray) -> tuple[Taps, dict[str, str]]:
    """Outputs of a library by layer, and versions."""
    home = source.adapter.reference
    if reference not in registry.references():
        raise unknown("reference", reference, registry.references())
    if reference != home:
        raise UserError(
            f"{reference} cannot read a checkpoint in the {source.dialect} dialect. Use "
            f"--reference {home}, or convert the checkpoint first."
        )
    try:
        return source.adapter.run_reference(source, images)
    except ImportError as error:
        what = f"the reference {reference} ({error})"
        raise not_installed(what, reference, "parity") from None


def _stored(path: str | os.PathLike) -> tuple[np.ndarray, Taps]:
    """Images, and outputs that somebody stored, by layer."""
    theirs = dict(open_npz(path).items())
    if not {"images", "logits"} <= set(theirs):
        raise UserError(f"{path}: expected images and logits, received {sorted(theirs)}.")
    return theirs.pop("images"), theirs


def layer_outputs(model: keras.Model, pixels: np.ndarray) -> dict[str, np.ndarray]:
    """What every named stage of a model computes, in order: the tokens, each block, the logits.

    Args:
        model: a model that `vit` built.
        pixels: `(batch, height, width, channels)`, 0 to 255.
    """
    names = ["patch_encoder", *(block.name for block in blocks(model))]
    if config_of(model).embedding_norm:
        names.insert(1, "embedding_norm")
    outputs = {name: model.get_layer(name).output for name in names} | {"logits": model.output}
    taps = keras.Model(model.input, outputs)(pixels, training=False)
    return {name: keras.ops.convert_to_numpy(taps[name]) for name in outputs}


def pixels_of(images: np.ndarray, config: ViTConfig) -> np.ndarray:
    """Undoes the normalisation that the model begins with: pixels of 0 to 255."""
    mean, std = (np.asarray(v, np.float32) for v in (config.pixel_mean, config.pixel_std))
    return (images * std + mean) * np.float32(255)


def _row(layer: str, ours: np.ndarray, theirs: np.ndarray) -> Row:
    if ours.shape != theirs.shape:
        raise UserError(f"{layer}: expected the shape {ours.shape}, received {theirs.shape}.")
    difference = float(np.abs(ours - theirs).max())
    largest = float(np.abs(theirs).max())
    # Written so that NaN does not pass.
    return Row(layer, difference, largest, difference <= TOLERANCE * max(1.0, largest))
