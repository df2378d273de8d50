# SPDX-License-Identifier: MIT
"""Our own files are read like those of others."""

import pytest

from keras_vit import UserError, config_of
from keras_vit.weights import load_model
from tests.weights.fixtures import (
    FLAX,
    close,
    run,
    stored,
)


def test_our_own_files(tmp_path):
    model = load_model(FLAX)
    model.save(tmp_path / "x.keras")
    pixels, logits = stored(FLAX)
    back = load_model(tmp_path / "x.keras", num_classes=0, image_size=64)
    assert config_of(back).grid == (8, 8)
    assert close(run(load_model(tmp_path / "x.keras"), pixels), logits)
    (tmp_path / "y.keras").write_bytes(b"no zip")
    with pytest.raises(UserError):
        load_model(tmp_path / "y.keras")
