# SPDX-License-Identifier: MIT
"""The checkpoints that reference implementations made, and the logits that they computed.

Those of the repository are in `tests/fixtures/parity`; a folder named by the environment variable
KERAS_VIT_PARITY_FIXTURES is searched as well.
"""

import os
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parents[1] / "fixtures" / "parity"
_MORE = os.environ.get("KERAS_VIT_PARITY_FIXTURES")
FOLDERS = [FOLDER, Path(_MORE)] if _MORE else [FOLDER]

# What nothing in the files tells.
_HEADS_OF_24, _HEADS_OF_48 = 2, 3
UNTOLD = {
    "timm_not_square": {"image_size": (16, 20)},
    "timm_no_positions": {"image_size": 16, "architecture": "vit_base_patch16_224"},
    "timm_tanh": {"gelu": "tanh"},
    # timm has architectures with these tensors and either form of GELU.
    "timm_avg_norm": {"gelu": "exact"},
    "timm_map": {"gelu": "exact"},
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
