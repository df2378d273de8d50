# SPDX-License-Identifier: MIT
"""Runs LiteRT files on this machine's GPU, in a process of its own.

LiteRT reaches a GPU through WebGPU, and that through Vulkan; a software device will do
(`.ci/swiftshader`). A process of its own, because a driver that crashes takes its process along.
"""

import dataclasses
import json
import os
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from keras_vit.errors import UserError
from keras_vit.processes import python_command

_SECONDS = 300  # of one file; a driver may hang
_ADAPTER = "Selected adapter: "  # how LiteRT's log names the device


@dataclasses.dataclass(frozen=True)
class GpuRun:
    """What a file computed on a GPU.

    Attributes:
        device: name of the device, or None where there is none.
        logits: float32 `(2, n, classes)`, both of two runs over the images; None where the file did
            not run.
        reason: why it did not run, or None.
    """

    device: str | None
    logits: np.ndarray | None = None
    reason: str | None = None


def run_on_gpu(path: str | os.PathLike, images: np.ndarray) -> GpuRun:
    """Runs a LiteRT file twice on a GPU, in float32.

    Twice, because some devices are right the first time only (LiteRT issue 8065).

    Args:
        path: a `.tflite` file.
        images: pixels, any real dtype `(n, height, width, channels)`, 0 to 255.

    Raises:
        UserError: when the process crashes, or runs for more than five minutes.
    """
    with tempfile.TemporaryDirectory() as folder:
        entry, result = Path(folder) / "images.npy", Path(folder) / "result.npy"
        np.save(entry, images)
        done = _started(str(Path(path).absolute()), str(entry), str(result))
        told = [line for line in done.stdout.splitlines() if line.startswith("{")]
        if done.returncode or not told:
            raise UserError(f"{path}: a run on the GPU ended with {_ending(done)}.")
        reason = json.loads(told[-1])["reason"]
        logits = np.load(result) if result.exists() else None
    return GpuRun(_device(done.stderr), logits, reason)


def find_gpu() -> str | None:
    """Name of the device that LiteRT finds, or None."""
    done = _started()
    return _device(done.stderr)


def _started(*arguments: str) -> subprocess.CompletedProcess:
    command = python_command("keras_vit.export.gpu_worker", *arguments)
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise UserError(f"a run on the GPU took more than {_SECONDS} s.") from error


def _device(log: str) -> str | None:
    """ "SwiftShader Device (Subzero)" of `... Selected adapter: SwiftShader Device (Subzero),
    arch=...`."""
    found = [line.split(_ADAPTER)[1] for line in log.splitlines() if _ADAPTER in line]
    return found[-1].split(", arch=")[0].strip() if found else None


def _ending(done: subprocess.CompletedProcess) -> str:
    if done.returncode < 0:
        return f"signal {-done.returncode}"
    said = done.stderr.strip().splitlines() or ["no message"]
    return f"exit code {done.returncode} ({said[-1][:200]})"
