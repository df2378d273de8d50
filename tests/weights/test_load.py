# SPDX-License-Identifier: MIT
"""From arrays to a Keras model."""

import keras
import numpy as np
import pytest

from keras_vit.weights import load_model
from tests.weights.fixtures import (
    FLAX,
    tensors_of,
    write,
)


def test_not_a_number_is_counted(tmp_path):
    tensors = tensors_of(FLAX)
    tensors["head/bias"] = tensors["head/bias"].copy()
    tensors["head/bias"][:2] = np.nan, np.inf
    with pytest.warns(UserWarning, match="2 weights in 1 variables are NaN or infinite"):
        load_model(write(tmp_path / "x.npz", tensors))


def test_loading_leaves_nothing_behind_in_keras():
    """A later scope of Keras would initialise again what it still remembers."""
    model = load_model(FLAX)
    assert all(np.isfinite(variable.numpy()).all() for variable in model.variables)
    with keras.StatelessScope():
        dense = keras.layers.Dense(2)
        dense.build((None, 3))
    assert np.any(dense.kernel.numpy())
