# SPDX-License-Identifier: MIT
"""big_vision's stacked blocks, half precision and older names."""

import ml_dtypes
import numpy as np

from keras_vit.weights import load_model, save
from tests.weights.fixtures import (
    BIG_VISION,
    reproduces,
    run,
    stored,
    tensors_of,
    write,
)


def test_scan_stacked_blocks_and_bfloat16_leaves(tmp_path):
    """bfloat16 is what the file holds: the model is that of the rounded weights."""
    model = load_model(BIG_VISION)
    for variable in model.weights:
        variable.assign(np.asarray(variable.numpy(), ml_dtypes.bfloat16).astype(np.float32))
    save(model, tmp_path / "scan.npz", "big_vision_scan")
    raw = {
        name: array.astype(ml_dtypes.bfloat16).view("V2")
        for name, array in tensors_of(tmp_path / "scan.npz").items()
    }
    assert raw["params/Transformer/encoderblock/LayerNorm_0/scale"].shape[0] == 2
    np.savez(tmp_path / "bfloat16.npz", **raw)
    pixels, _ = stored(BIG_VISION)
    assert np.array_equal(run(load_model(tmp_path / "bfloat16.npz"), pixels), run(model, pixels))


def test_older_big_vision_names(tmp_path):
    tensors = {
        name.replace("MAPHead_0/", "").replace("params/pos_e", "params/Transformer/pos_e"): array
        for name, array in tensors_of(BIG_VISION).items()
    }
    assert reproduces(write(tmp_path / "x.npz", tensors), BIG_VISION)
