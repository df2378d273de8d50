# SPDX-License-Identifier: MIT
"""Makes of a finished pre-training the file that comes with the package.

    python benchmarks/backbone/pack.py runs/drawn --out drawn-mini.safetensors

The head, which knows drawings, is left out; numbers are float16, which halves the file. Names are
those of timm, so that its readers know them too; licence and origin stand in the header.
"""

import argparse
from pathlib import Path

import numpy as np

from keras_vit import zoo
from keras_vit.origins import Origin
from keras_vit.weights.formats import open_checkpoint, write_safetensors
from keras_vit.weights.saving import save_arrays

LIMIT = 3_000_000  # bytes
ORIGIN = Origin("drawn-mini", "MIT", "https://opensource.org/license/mit")


def pack(weights: Path, out: Path) -> None:
    """Writes the backbone of a run, or of a file of weights.

    Raises:
        SystemExit: for one that is too large, or whose numbers float16 does not hold.
    """
    config, arrays = zoo.open_weights(weights).fitted(num_classes=0)
    out.parent.mkdir(parents=True, exist_ok=True)
    save_arrays(config, dict(arrays), out, "timm", origins=[ORIGIN])
    whole = open_checkpoint(out)
    tensors = {name: whole[name] for name in whole}
    if max(np.abs(array).max() for array in tensors.values()) > np.finfo("float16").max:
        raise SystemExit(f"{weights}: has numbers that float16 does not hold.")
    makers = [(name, array.shape, lambda a=array: a) for name, array in tensors.items()]
    write_safetensors(out, makers, whole.metadata, "float16")
    size = out.stat().st_size
    print(f"{out}: {size:,} bytes, {config.num_parameters:,} parameters")
    if size > LIMIT:
        raise SystemExit(f"{out}: more than {LIMIT:,} bytes.")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("weights", type=Path, help="run folder of the pre-training, or its weights")
    parser.add_argument("--out", type=Path, required=True)
    flags = parser.parse_args()
    pack(flags.weights, flags.out)


if __name__ == "__main__":
    main()
