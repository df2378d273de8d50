# SPDX-License-Identifier: MIT
import numpy as np

from keras_vit.models.batch_mean import mean_over_batch


def test_it_is_the_mean():
    losses = np.array([1.0, 2.0, 6.0], "float32")
    assert float(mean_over_batch(losses)) == 3
    assert float(mean_over_batch(losses, np.array([3.0, 0.0, 0.0], "float32"))) == 1
