# SPDX-License-Identifier: MIT
"""CPU time and peak memory of converting a ViT-B/16 of 224 pixels, imports included.

    python benchmarks/conversion.py

Makes a checkpoint with random weights in a temporary folder, converts it with `keras-vit convert`,
each time in a process of its own, and prints a table.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from keras_vit.processes import python_command

_MAKE = """
import sys, keras, keras_vit
config = keras_vit.ViTConfig.of("B/16", activation="gelu_tanh")
model = keras_vit.vit(config)
keras_vit.weights.save(model, sys.argv[1], dialect="flax")
"""
_CONVERSIONS = (
    ("B_16.npz", "B_16.keras", "keras"),
    ("B_16.npz", "B_16.safetensors", "timm"),
    ("B_16.safetensors", "B_16_again.keras", "keras"),
    ("B_16.npz", "hf", "hf"),
)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-c", _MAKE, "B_16.npz"], cwd=folder, check=True)
        print(f"{'from':<18}{'to':<18}{'CPU-s':>7}{'peak MB':>9}")
        for source, destination, dialect in _CONVERSIONS:
            command = python_command("keras_vit.apps", "convert", source, destination)
            command += ["--to", dialect, "--num_heads", "12"]
            process = subprocess.Popen(command, cwd=folder, stderr=subprocess.DEVNULL)
            _, status, usage = os.wait4(process.pid, 0)
            if status or not (Path(folder) / destination).exists():
                raise SystemExit(f"failed: {' '.join(command[3:])}")
            seconds, peak = usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1e3 * 1.024
            print(f"{source:<18}{destination:<18}{seconds:>7.1f}{peak:>9.0f}")


if __name__ == "__main__":
    main()
