#!/usr/bin/env python
# SPDX-License-Identifier: MIT
"""Has timm compute the models of benchmarks/coverage.py from what this program writes of them.

    pip install -e '.[parity]'
    python benchmarks/coverage.py --write CASES --only '^[a-z0-9_]+$'
    python benchmarks/timm_back.py CASES

Each case that can be read is written as a folder of timm, which timm loads by itself, and its
logits are compared with those of the case; Keras is not needed. The exit code is 1 where one
differs by more than 2e-5 max(1, |logit|).
"""

import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np

TOLERANCE = 2e-5


def main() -> int:
    warnings.simplefilter("ignore")
    cases = sorted(path.parent for path in Path(sys.argv[1]).glob("*/*/io.npz"))
    found = {case: _back(case) for case in cases if (case / "hub").is_dir()}
    for case, said in found.items():
        sys.stdout.write(f"{case.parent.name}/{case.name}: {said}\n")
    counts = {word: sum(s.startswith(word) for s in found.values()) for word in _WORDS}
    sys.stdout.write(", ".join(f"{count} {word}" for word, count in counts.items()) + "\n")
    return int(counts["differs"] > 0)


_WORDS = ("exact", "differs", "not read", "not written")


def _back(case: Path) -> str:
    """One of `_WORDS`, and why."""
    import timm
    import torch

    from keras_vit import UserError
    from keras_vit.weights import open_source
    from keras_vit.weights.saving import save_arrays

    try:
        source = open_source(case / "folder")
    except UserError as error:
        return f"not read: {error}"
    with tempfile.TemporaryDirectory() as folder:
        try:
            save_arrays(source.config, dict(source.arrays()), folder, "timm")
        except UserError as error:
            return f"not written: {error}"
        model = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    with np.load(case / "io.npz") as io, torch.no_grad():
        logits = model(torch.from_numpy(io["images"])).numpy()
        difference = np.abs(logits - io["logits"]).max() / max(1.0, np.abs(io["logits"]).max())
    return f"{'exact' if difference <= TOLERANCE else 'differs'}: {difference:.1e}"


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    raise SystemExit(main())
