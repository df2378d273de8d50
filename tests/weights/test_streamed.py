# SPDX-License-Identifier: MIT
"""Variables that are read one at a time are those that are read all at once."""

import numpy as np
import pytest

from keras_vit import UserError
from keras_vit.weights import open_source
from keras_vit.weights.saving import save_arrays
from tests.weights.fixtures import BIG_VISION, LANGUAGE, TIMM, tensors_of, write

KNOWN = {"num_heads": 2}


@pytest.mark.parametrize(
    ("path", "options"),
    [
        (TIMM, {**KNOWN, "image_size": 24}),
        (TIMM, {**KNOWN, "patch_size": 8, "num_classes": 3}),
        (TIMM, {**KNOWN, "num_classes": 0}),
        (BIG_VISION, {}),
        (LANGUAGE / "siglip_vision", {"image_size": 8}),
    ],
)
def test_any_order_gives_the_same_numbers(path, options):
    source = open_source(path, **options)
    config, expected = source.fitted()
    again, streamed = source.streamed()
    expected = dict(expected)
    assert (again, set(streamed)) == (config, set(expected))
    for name in [*reversed(list(streamed)), "patch_encoder/projection/kernel"]:
        assert np.array_equal(streamed[name], expected[name]), name
    with pytest.raises(KeyError):
        streamed["block_99/mlp/hidden/kernel"]


def test_variables_that_are_stacked_in_one_tensor(tmp_path):
    config, arrays = open_source(BIG_VISION).fitted()
    arrays = dict(arrays)
    save_arrays(config, arrays, tmp_path / "x.npz", "big_vision_scan")
    _, streamed = open_source(tmp_path / "x.npz").streamed()
    assert all(np.array_equal(streamed[name], arrays[name]) for name in arrays)


def test_a_file_that_does_not_fit_is_refused_before_anything_is_read(tmp_path):
    tensors = tensors_of(TIMM)
    del tensors["norm.weight"], tensors["blocks.1.mlp.fc2.bias"]
    source = open_source(write(tmp_path / "x.safetensors", tensors), **KNOWN)
    with pytest.raises(UserError, match=r"blocks\.1\.mlp\.fc2\.bias"):
        source.streamed()
