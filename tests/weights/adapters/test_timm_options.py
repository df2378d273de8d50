# SPDX-License-Identifier: MIT
"""Every option of timm's classes: its logits, there and back without the change of a bit, and at
another size.

`tests/fixtures/make_timm.py` says what each fixture is there for.
"""

import json
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_vit.weights import load_model, open_source
from keras_vit.weights.formats import open_checkpoint
from keras_vit.weights.saving import save_arrays
from tests.conftest import arrays_in
from tests.weights.fixtures import close, stored

FOLDER = Path(__file__).parents[2] / "fixtures" / "timm"
CASES = sorted(path.name for path in FOLDER.iterdir() if path.is_dir())
# Their positions are evaluated when they are read, and written as tables.
EVALUATED = ("naflex_factorised", "naflex_map", "relpos", "relpos_shared")
# Of the others, arguments change what tensors do not show: reference grids, a pool, patches.
LIKE_PUBLISHED = ("aimv2", "beit", "beit3", "clip", "dinov2_giant", "dinov3", "post_norm", "relpos")


def logits(model, pixels):
    return keras.ops.convert_to_numpy(model(pixels, training=False))


def written(case, path):
    """Writes a fixture again, and gives its configuration and variables."""
    source = open_source(FOLDER / case)
    arrays = dict(source.arrays())
    save_arrays(source.config, arrays, path, "timm")
    return source.config, arrays


@pytest.mark.parametrize("case", CASES)
def test_logits(case):
    pixels, expected = stored(FOLDER / case)
    assert close(logits(load_model(FOLDER / case), pixels), expected)


@pytest.mark.parametrize("case", [case for case in CASES if case not in EVALUATED])
def test_home_and_back_is_bit_identical(case, tmp_path):
    written(case, tmp_path / "x.safetensors")
    before = open_checkpoint(FOLDER / case)
    after = open_checkpoint(tmp_path / "x.safetensors")
    assert set(after) == set(before)
    assert all(np.array_equal(after[name], before[name]) for name in before)


@pytest.mark.parametrize("form", ["folder", "bare"])
@pytest.mark.parametrize("case", CASES)
def test_what_is_written_tells_what_the_model_is(case, form, tmp_path):
    path = tmp_path / ("x" if form == "folder" else "x.safetensors")
    config, arrays = written(case, path)
    back = open_source(path)
    assert back.config == config
    found = dict(back.arrays())
    assert set(found) == set(arrays)
    assert all(np.array_equal(found[name], arrays[name]) for name in arrays)


@pytest.mark.parametrize("case", LIKE_PUBLISHED)
def test_a_bare_file_and_the_name_of_its_architecture(case, tmp_path):
    told = json.loads((FOLDER / case / "config.json").read_text())
    path = tmp_path / "x.safetensors"
    shutil.copy(FOLDER / case / "model.safetensors", path)
    name = f"{told['architecture']}.tag_of_weights"
    source = open_source(path, architecture=name, num_heads=2, image_size=16)
    assert source.config == open_source(FOLDER / case).config
    source.check()


@pytest.mark.parametrize("case", sorted(set(arrays_in(FOLDER / "resampled.npz")) - {"images"}))
def test_at_another_size_as_timm_computes_it(case):
    stored_there = arrays_in(FOLDER / "resampled.npz")
    model = load_model(FOLDER / case, image_size=24)
    result = logits(model, (stored_there["images"] + 1) * 127.5)
    # Tables are resampled by timm in float32.
    assert np.allclose(result, stored_there[case], atol=5e-5)
