# SPDX-License-Identifier: MIT
"""Where training programs put the model, and that it is found there."""

import numpy as np
import pytest

from keras_vit.weights import open_source
from tests.weights.fixtures import (
    BIG_VISION,
    FLAX,
    reproduces,
    tensors_of,
    write,
)


@pytest.mark.parametrize("prefix", ["params/", "opt/target/", "params/img/", "img/"])
def test_prefixes_of_training_programs(tmp_path, prefix):
    tensors = {prefix + name: array for name, array in tensors_of(FLAX).items()}
    beside = "opt/state/step" if not prefix.startswith("opt") else "extra/accum"
    tensors |= {beside: np.ones(3, np.float32), "params/t": np.ones(1, np.float32)}
    tensors["params/txt/head/kernel"] = np.ones((2, 2), np.float32)
    path = write(tmp_path / "x.npz", tensors)
    assert reproduces(path, FLAX)
    assert set(open_source(path).skipped) == {beside, "params/t", "params/txt/head/kernel"}


def test_one_tower_of_two(tmp_path):
    image = {name.removeprefix("params/"): a for name, a in tensors_of(BIG_VISION).items()}
    tensors = {f"params/img/{name}": array for name, array in image.items()}
    tensors |= {f"params/other/{name}": np.ones(2, np.float32) for name in image}
    path = write(tmp_path / "x.npz", tensors)
    assert reproduces(f"{path}:img", BIG_VISION)
