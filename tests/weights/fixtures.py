# SPDX-License-Identifier: MIT
"""The checkpoints that reference implementations made, and the logits that they computed.

Those of the repository are in `tests/fixtures/parity`; a folder named by the environment variable
KERAS_VIT_PARITY_FIXTURES is searched as well.
"""

import json
import os
from pathlib import Path

import keras
import numpy as np

from keras_vit.weights import load_model
from keras_vit.weights.formats import open_checkpoint, write_npz, write_safetensors

FOLDER = Path(__file__).parents[1] / "fixtures" / "parity"
LANGUAGE = Path(__file__).parents[1] / "fixtures" / "language"  # with tests of their own
VISION = Path(__file__).parents[1] / "fixtures" / "vision"  # likewise
_MORE = os.environ.get("KERAS_VIT_PARITY_FIXTURES")
FLAX, BIG_VISION = FOLDER / "vit_jax_token.npz", FOLDER / "bv_map_learn.npz"
TIMM, HF = FOLDER / "timm_token.safetensors", FOLDER / "hf_vit"
FOLDERS = [FOLDER, Path(_MORE)] if _MORE else [FOLDER]

# What nothing in the files tells.
_HEADS_OF_24, _HEADS_OF_48 = 2, 3
UNTOLD = {
    "timm_not_square": {"image_size": (16, 20)},
    "timm_no_positions": {"image_size": 16, "architecture": "vit_base_patch16_224"},
    "timm_tanh": {"activation": "gelu_tanh"},
    # timm has architectures with these tensors and either form of GELU.
    "timm_avg_norm": {"activation": "gelu"},
    "timm_map": {"activation": "gelu"},
    "timm_avg_norm_with_class_token": {"pool": "average"},
}


def checkpoints() -> list[Path]:
    """Every checkpoint: a file that has an `.io.npz` beside it, or a folder with an `io.npz`."""
    found = []
    for folder in FOLDERS:
        for path in sorted(folder.iterdir()):
            if path.is_dir() or path.with_suffix(".io.npz").is_file():
                found.append(path)
    return [path for path in found if not path.name.endswith(".io.npz")]


def stored(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Pixels of 0 to 255, and the logits that the reference made of them."""
    file = path / "io.npz" if path.is_dir() else path.with_suffix(".io.npz")
    with np.load(file) as values:
        return (values["images"] + 1) * 127.5, values["logits"]


def arguments(path: Path) -> dict:
    """What `load_model` must be told beside the path."""
    known = dict(UNTOLD.get(path.stem, {}))
    if path.name.startswith("timm") and path.stem != "timm_qk_norm":
        known["num_heads"] = _HEADS_OF_24 if path.parent == FOLDER else _HEADS_OF_48
    return known


def close(result: np.ndarray, expected: np.ndarray) -> bool:
    """The project's tolerance for one model computed by two libraries in float32."""
    return bool(np.abs(result - expected).max() <= 2e-5 * max(1.0, np.abs(expected).max()))


def tensors_of(path: Path) -> dict[str, np.ndarray]:
    """All tensors of a file, by the names in it."""
    checkpoint = open_checkpoint(path)
    return {name: checkpoint[name] for name in checkpoint}


def write(path: Path, tensors: dict[str, np.ndarray]) -> Path:
    """Writes tensors as `.npz` or `.safetensors`."""
    makers = [(name, array.shape, lambda array=array: array) for name, array in tensors.items()]
    if path.suffix == ".npz":
        write_npz(path, makers)
    else:
        write_safetensors(path, makers, {})
    return path


def folder_of(path: Path, config: dict, weights: Path = TIMM, prefix: str = "") -> Path:
    """Puts the tensors of a fixture, behind a prefix, and a config.json in a folder."""
    path.mkdir(exist_ok=True)
    tensors = {prefix + name: array for name, array in tensors_of(weights).items()}
    write(path / "model.safetensors", tensors)
    (path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return path


def run(model, pixels: np.ndarray) -> np.ndarray:
    """Logits."""
    return keras.ops.convert_to_numpy(model(pixels, training=False))


def reproduces(path: Path, fixture: Path, **known) -> bool:
    """Whether a file computes what the reference computed with a fixture."""
    pixels, logits = stored(fixture)
    return close(run(load_model(path, **known), pixels), logits)
