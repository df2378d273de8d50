# SPDX-License-Identifier: MIT
"""Runs model files in a new process, which knows nothing of the one that wrote them."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import keras_vit
from keras_vit.errors import UserError
from keras_vit.export.runner import open_runner


def run_in_new_process(paths: Sequence[Path], images: np.ndarray) -> list[np.ndarray]:
    """Logits of each file for a batch of one and then for all images.

    Args:
        paths: files that `open_runner` opens.
        images: `(n, height, width, channels)`, 0 to 255.

    Returns:
        For each file float32 `(1 + n, classes)`: the first image alone, then all in one batch.

    Raises:
        UserError: with the last line that the process wrote, when it fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        entry, result = Path(folder) / "images.npy", Path(folder) / "logits.npz"
        np.save(entry, images)
        root = str(Path(keras_vit.__file__).parent.parent)  # also where it is not installed
        environment = {**os.environ, "PYTHONPATH": root, "TF_CPP_MIN_LOG_LEVEL": "3"}
        command = [sys.executable, "-m", __name__, entry, result, *paths]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        if done.returncode:
            said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
            raise UserError(f"a new process cannot run {' '.join(map(str, paths))}: {said[-1]}")
        with np.load(result) as logits:
            return [logits[f"arr_{i}"] for i in range(len(paths))]


def _main(entry: str, result: str, *paths: str) -> None:
    images = np.load(entry)
    runners = [open_runner(path) for path in paths]
    np.savez(result, *(np.concatenate([run(images[:1]), run(images)]) for run in runners))


if __name__ == "__main__":
    _main(*sys.argv[1:])
