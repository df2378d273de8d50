# SPDX-License-Identifier: MIT
"""Makes of a finished pre-training the file that comes with the package.

    python benchmarks/backbone/pack.py runs/drawn --out drawn-mini.safetensors

The head, which knows drawings, is left out; numbers are float16, which halves the file. Names are
those of timm, so that its readers know them too; licence and origin stand in the header.
"""

import argparse
import dataclasses
from pathlib import Path

import numpy as np

from keras_vit.run_folder import RunFolder
from keras_vit.weights.formats import open_checkpoint, write_safetensors
from keras_vit.weights.saving import save_arrays
from keras_vit.weights.source import open_source

LIMIT = 3_000_000  # bytes
ORIGIN = {"licence": "MIT", "origin": "drawn images alone; benchmarks/backbone of keras_vit"}


def pack(run: Path, out: Path) -> None:
    """Writes the backbone of a run.

    Raises:
        SystemExit: for one that is too large, or whose numbers float16 does not hold.
    """
    config, arrays = open_source(RunFolder.open(run).model_file).fitted(num_classes=0)
    config = dataclasses.replace(config, dropout=0.0, attention_dropout=0.0, stochastic_depth=0.0)
    out.parent.mkdir(parents=True, exist_ok=True)
    save_arrays(config, dict(arrays), out, "timm")
    whole = open_checkpoint(out)
    tensors = {name: whole[name] for name in whole}
    tensors = {name: np.asarray(array, "float32") for name, array in tensors.items()}
    if max(np.abs(array).max() for array in tensors.values()) > np.finfo("float16").max:
        raise SystemExit(f"{run}: has numbers that float16 does not hold.")
    makers = [(name, array.shape, lambda a=array: a) for name, array in tensors.items()]
    write_safetensors(out, makers, {**whole.metadata, **ORIGIN}, "float16")
    size = out.stat().st_size
    print(f"{out}: {size:,} bytes, {config.num_parameters:,} parameters")
    if size > LIMIT:
        raise SystemExit(f"{out}: more than {LIMIT:,} bytes.")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="folder of the pre-training")
    parser.add_argument("--out", type=Path, required=True)
    flags = parser.parse_args()
    pack(flags.run, flags.out)


if __name__ == "__main__":
    main()
