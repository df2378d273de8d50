# SPDX-License-Identifier: MIT
import numpy as np
import pytest

from keras_vit import vit
from keras_vit.export.folding import fold
from keras_vit.export.half import half_logits
from keras_vit.training.gpu_check import in_half
from tests.contracts import randomize, to_numpy
from tests.export.test_forward import ALL
from tests.models.test_vit import tiny

IMAGES = np.random.default_rng(4).integers(0, 256, (2, 16, 24, 3)).astype("float32")


def model_of(**options):
    model = vit(tiny(**options))
    randomize(model)
    return model


@pytest.mark.parametrize("name", ["plain", "average", "map", "distillation", "representation"])
def test_float16_is_near_float32(name):
    model = model_of(**ALL[name])
    found = half_logits(fold(model), IMAGES)
    # A number of float16 has 11 bits; errors of some dozen operators add up.
    np.testing.assert_allclose(found, to_numpy(model(IMAGES)), atol=2e-2)


def with_outliers(size):
    """Positions with a channel of many times the size, as trained models have them."""
    model = model_of()
    table = model.get_layer("patch_encoder").position_embedding
    values = to_numpy(table).copy()
    values[..., 3] += size
    table.assign(values)
    return model


def test_a_channel_of_a_hundred_times_the_size_survives():
    assert in_half(with_outliers(100.0), IMAGES, np.zeros((2, 3))).startswith("finite")


def test_an_overflow_is_told():
    """The square of a channel is above 65,504: LayerNorm then divides by infinity."""
    model = with_outliers(1000.0)
    expected = to_numpy(model(IMAGES))
    said = in_half(model, IMAGES, expected)
    assert said.startswith("overflows"), said


def test_a_hybrid_is_not_simulated():
    assert in_half(model_of(**ALL["hybrid"]), IMAGES, None) == "not simulated for a hybrid"
