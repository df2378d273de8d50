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
from keras_vit.errors import UserError
from keras_vit.files import replacing
from keras_vit.models import blocks, config_of
from keras_vit.progress import step
from keras_vit.weights.formats import open_npz
from keras_vit.weights.load import load_model
from keras_vit.weights.opening import own_file
from keras_vit.weights.saving import save
from keras_vit.weights.source import open_source

# Two libraries that add the same float32 numbers in another order differ by a few of these.
TOLERANCE = 2e-5

# A model of ours is written in the words of a reference before that can run it: dialect, name.
_WRITTEN_AS = {"timm": ("timm", "timm"), "hf": ("hf", "hf"), "flax": ("flax", "flax.npz")}


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
        reference: "timm", "hf" or "flax": runs the file's own tensors in that library.
        stored: instead, a `.npz` with "images" (normalised as the model wants them) and "logits",
            and where it has them outputs by layer name.
        record: a `.npz` to store the reference's images and outputs in, for `stored` elsewhere.
        batch: random images to compare on.
        seed: of the images.
        **options: arguments of `load_model` about the file: `num_heads`, `image_size`, ...

    Raises:
        UserError: without exactly one of `reference` and `stored`, or a library that is missing.
    """
    if (reference is None) == (stored is None):
        raise UserError("give either a reference library or a file of stored outputs.")
    model = load_model(path, **options)
    own = own_file(path) is not None
    if own and reference is not None:
        dialect, name = _WRITTEN_AS[reference]
        with tempfile.TemporaryDirectory() as folder:
            written = Path(folder) / name
            save(model, written, dialect)
            found = certify(written, reference=reference, record=record, batch=batch, seed=seed)
        return dataclasses.replace(found, path=str(path), dialect="keras")
    config = config_of(model)
    versions = {"keras": keras.__version__, "backend": keras.backend.backend()}
    if not own:
        heads = options.pop("num_heads", None)
        source = open_source(path, options.pop("skip", ()), num_heads=heads, **options)
    if stored is not None:
        theirs = {name: array for name, array in open_npz(stored).items()}
        if not {"images", "logits"} <= set(theirs):
            raise UserError(f"{stored}: expected images and logits, received {sorted(theirs)}.")
        images = theirs.pop("images")
    else:
        from keras_vit.weights.parity.references import run_reference  # imports what it runs

        shape = (batch, *config.image_size, config.channels)
        images = np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)
        with step(f"running {reference}"):
            theirs, found = run_reference(reference, source, images)
        versions |= found
    if record is not None:
        with replacing(Path(record)) as temporary:
            np.savez(temporary, images=images, **theirs)
    ours = layer_outputs(model, pixels_of(images, config))
    rows = tuple(_row(name, ours[name], theirs[name]) for name in ours if name in theirs)
    return Certificate(
        str(path),
        "keras" if own else source.dialect,
        str(reference or stored),
        versions,
        TOLERANCE,
        rows,
    )


def layer_outputs(model: keras.Model, pixels: np.ndarray) -> dict[str, np.ndarray]:
    """What every named stage of a model computes, in order: the tokens, each block, the logits.

    Args:
        model: a model that `vit` built.
        pixels: `(batch, height, width, channels)`, 0 to 255.
    """
    names = ["patch_encoder", *(block.name for block in blocks(model))]
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
