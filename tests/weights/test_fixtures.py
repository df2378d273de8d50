# SPDX-License-Identifier: MIT
"""Every fixture: the logits of its reference, and back again without the change of a bit."""

import itertools

import keras
import numpy as np
import pytest

from keras_vit import UserError
from keras_vit.config.variables import shapes
from keras_vit.weights import load_model, open_source, save
from keras_vit.weights.formats import open_checkpoint
from keras_vit.weights.load import build
from keras_vit.weights.registry import writer_of, written_dialects
from tests.contracts import to_numpy
from tests.weights.fixtures import arguments, checkpoints, close, stored

CHECKPOINTS = checkpoints()
# Files that leave out biases which mean zeros come back with the zeros written out.
GAINS_ZEROS = ("timm_no_qkv_bias",)

# The families of dialects that can say what each fixture is.
_FLAX, _BIG_VISION, _TIMM, _HF = {"flax"}, {"big_vision"}, {"timm"}, {"hf"}
_NO_KEY_BIASES = {"hf_beit", "hf_data2vec"}
# Classifiers that average normalised patches, and a class token alone.
_AVERAGE, _TOKEN = {"hf_siglip", "hf_siglip2", "hf_ijepa"}, {"hf_pixio"}
SAID_BY = {
    "bv_gap_sincos2d": _FLAX | _BIG_VISION | _TIMM | _AVERAGE,
    "bv_map_learn": _BIG_VISION | _TIMM,
    "hf_deit": _TIMM | _HF,
    "hf_deit_teacher": _TIMM | _HF,
    "hf_v5_names": _TIMM | _HF,
    "hf_vit": _TIMM | _HF,
    "hf_vit_epsilon_tanh": _TIMM | _HF,
    "hf_vit_model": _TIMM | _HF | _TOKEN,
    "hf_vit_model_pooler": _HF,
    "hf_vit_no_qkv_bias": _TIMM | _HF | _NO_KEY_BIASES,
    "hf_vit_not_square": _TIMM | _HF,
    "timm_avg_all_tokens": _TIMM,
    "timm_avg_fc_norm": _TIMM,
    "timm_avg_norm": _TIMM | _AVERAGE,
    "timm_avg_norm_with_class_token": _TIMM,
    "timm_avg_with_class_token": _TIMM,
    "timm_distilled": _TIMM | _HF,
    "timm_distilled_no_head": _TIMM,
    "timm_hybrid": _TIMM,
    "timm_layer_scale": _TIMM,
    "timm_map": _TIMM,
    "timm_map_all_tokens": _TIMM,
    "timm_map_with_registers": _TIMM,
    "timm_no_embed_class": _TIMM | _HF,
    "timm_no_head": _TIMM | _HF | _TOKEN,
    "timm_no_positions": _TIMM | _HF,
    "timm_no_qkv_bias": _TIMM | _HF | _NO_KEY_BIASES,
    "timm_not_square": _TIMM | _HF,
    "timm_qk_norm": _TIMM,
    "timm_registers_in_table": _TIMM,
    "timm_registers_no_embed": _TIMM,
    "timm_tanh": _FLAX | _BIG_VISION | _TIMM | _HF,
    "timm_token": _TIMM | _HF,
    "vit_jax_gap": _FLAX | _BIG_VISION | _TIMM | _AVERAGE,
    "vit_jax_token": _FLAX | _BIG_VISION | _TIMM | _HF,
    "vit_jax_token_prelogits_published_names": _FLAX | _BIG_VISION,
}


def run(model, pixels):
    return keras.ops.convert_to_numpy(model(pixels, training=False))


def target(folder, dialect):
    ending = {"flax": ".npz", "big_vision": ".npz", "timm": ".safetensors"}
    return folder / f"{dialect}{ending.get(writer_of(dialect).name, '')}"


@pytest.fixture(scope="module", params=CHECKPOINTS, ids=lambda path: path.stem)
def loaded(request):
    path = request.param
    known = arguments(path)
    model = load_model(path, **known)
    pixels, logits = stored(path)
    return path, known, model, pixels, run(model, pixels), logits


def test_logits(loaded):
    *_, ours, theirs = loaded
    assert close(ours, theirs)


def test_variables_are_those_that_the_configuration_predicts(loaded):
    path, known, model, *_ = loaded
    expected = shapes(open_source(path, **known).config)
    assert {v.path: tuple(v.shape) for v in model.weights} == expected


def test_home_and_back_is_bit_identical(loaded, tmp_path):
    path, known, model, *_ = loaded
    source = open_source(path, **known)
    back = target(tmp_path, source.dialect)
    save(model, back, source.dialect)
    before, after = open_checkpoint(path), open_checkpoint(back)
    if path.stem not in GAINS_ZEROS:
        assert set(after) == set(before)
    for name in after:
        expected = before[name] if name in before else np.zeros(after.specs[name].shape)
        assert after[name].shape == expected.shape
        assert np.array_equal(after[name], expected), name


def test_every_dialect_that_can_say_it_gives_identical_logits(loaded, tmp_path):
    checkpoint, known, model, pixels, ours, _ = loaded
    size = {k: v for k, v in known.items() if k == "image_size"}
    said_by = set()
    for dialect in written_dialects():
        path = target(tmp_path, dialect)
        try:
            save(model, path, dialect)
        except UserError as error:
            assert "cannot express" in str(error)
            continue
        said_by.add(writer_of(dialect).name)
        source = open_source(path, **size)
        if not is_model(source, model):  # else it need not be built, which takes most of the time
            assert np.array_equal(run(build(source), pixels), ours), dialect
    home = open_source(checkpoint, **known).adapter.name
    # A fixture from elsewhere has no row; its own family at least can say it.
    assert said_by == SAID_BY.get(checkpoint.stem, said_by | {home})


def is_model(source, model):
    """Whether a file says the very model: its configuration, and every bit of its variables."""
    found, ours = dict(source.arrays()), {v.path: to_numpy(v) for v in model.weights}
    return (
        source.config == model.config
        and found.keys() == ours.keys()
        and all(np.array_equal(found[name], array) for name, array in ours.items())
    )


def test_every_pair_of_families_of_plain_models_has_one_in_common():
    rows = [SAID_BY[path.stem] for path in CHECKPOINTS if path.stem in SAID_BY]
    reached = {pair for row in rows for pair in itertools.permutations(row, 2)}
    families = _FLAX | _BIG_VISION | _TIMM | _HF
    assert reached >= set(itertools.permutations(families, 2))
