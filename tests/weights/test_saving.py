# SPDX-License-Identifier: MIT
"""What a family cannot say, what may be lost, and what is said in another form."""

import dataclasses

import keras
import numpy as np
import pytest

from keras_vit import UserError, ViTConfig, config_of, origins, vit
from keras_vit.origins import Origin
from keras_vit.weights import Adapter, convert, inspect, load_model, save
from keras_vit.weights.forms import in_form
from keras_vit.weights.saving import save_arrays
from tests.contracts import slow_but
from tests.weights.fixtures import (
    run,
)


class Plain(Adapter):
    """A family that knows the plain Vision Transformer."""

    name = "plain"

    def rows_for(self, config):
        return config.class_token_in_positions, config.register_tokens_in_positions


USUAL = {"qkv_bias": "all", "dense_bias": True, "patch_bias": True, "head_bias": 0.0}


@pytest.mark.parametrize(
    ("changes", "dialect", "said"),
    [
        ({"activation": "gelu"}, "flax", "activation=gelu .always gelu_tanh there."),
        ({"norm_epsilon": 1e-5}, "big_vision", "norm_epsilon"),
        ({"pixel_mean": 0.4}, "flax", "pixel_mean"),
        ({"layer_scale": 0.1}, "flax", "LayerScale"),
        ({"qk_norm": True}, "hf", "QK-norm"),
        ({"register_tokens": 2}, "hf", "registers"),
        ({"pool": "average"}, "hf", "a pool other than"),
        ({"pool": "average"}, "big_vision", "a class token that is not what is read"),
        ({"pool": "map", "class_token": False}, "flax", "attention pooling"),
        ({"representation_size": 8}, "timm", "a tanh layer"),
        ({"representation_size": 8}, "hf", "a tanh layer"),
        ({"resnet_stages": (1,), "resnet_width": 32, "patch_size": 4}, "timm", "form of the"),
        ({"resnet_stages": (1,), "resnet_width": 32, "patch_size": 4}, "big_vision", "ResNet"),
    ],
)
def test_what_a_dialect_cannot_say_is_an_error(tmp_path, changes, dialect, said):
    config = ViTConfig.of("mu/16", **{"image_size": 32, "activation": "gelu_tanh", **changes})
    path = tmp_path / ("x" if dialect in ("hf", "timm") else "x.npz")
    with pytest.raises(UserError, match=said):
        save_arrays(config, {}, path, dialect)
    assert not path.exists()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"patch_norm": True}, "a norm of the patches"),
        ({"embedding_norm": True}, "a norm before the first block"),
        ({"rotary": "dinov3"}, "rotary positions"),
        ({"relative_position_bias": True}, "relative position bias"),
        ({"pool": "token_and_average"}, "a head on the class token and the average"),
        ({"pool": "map", "pool_heads": 1}, "a pool of attention with heads of its own"),
        ({"pool": "map", "pool_mlp_dim": 8}, "a pool of attention with an MLP size of its own"),
        ({"final_norm": False}, "without a norm after the last block"),
        ({"attention_inner_norm": True}, "a norm inside the attention"),
        ({"gated_mlp": True}, "a gated MLP"),
        ({"mlp_inner_norm": True}, "a norm inside the MLP"),
        ({"norm": "rms"}, "RMS norms"),
        ({"norm_placement": "after"}, "norms after attention and MLP"),
        ({"activation": "silu"}, "the activation silu"),
    ],
)
def test_a_family_that_does_not_know_an_option_refuses_it(changes, said):
    config = ViTConfig.of("mu/16", **{"image_size": 32, **changes})
    with pytest.raises(UserError, match=f"the plain dialect cannot express .*{said}"):
        in_form(config, {}, Plain())
    knows = Plain()
    knows.says = {field: (value,) for field, value in changes.items()}
    assert in_form(config, {}, knows)[0] == config


@pytest.mark.parametrize(
    ("changes", "added"),
    [
        ({"qkv_bias": "none"}, 3),
        ({"qkv_bias": "query_value"}, 1),
        ({"dense_bias": False}, 3),
        ({"patch_bias": False}, 1),
        ({"head_bias": None}, 1),
    ],
)
def test_biases_that_a_family_always_has_are_zeros(changes, added):
    config = ViTConfig.of("mu/16", **{"image_size": 32, "depth": 1, **changes})
    whole, arrays = in_form(config, {}, Plain())
    assert whole == dataclasses.replace(config, **{name: USUAL[name] for name in changes})
    assert len(arrays) == added
    assert not any(array.any() for array in arrays.values())
    says = Plain()
    says.says = {name: (value,) for name, value in changes.items()}
    assert in_form(config, {}, says) == (config, {})


def test_a_loss_that_is_accepted(tmp_path):
    model = vit(ViTConfig.of("mu/16", image_size=32, activation="gelu"))
    save(model, tmp_path / "x.npz", "flax", accept="activation")
    assert config_of(load_model(tmp_path / "x.npz")).activation == "gelu_tanh"
    with pytest.raises(UserError, match="unknown loss to accept"):
        save(model, tmp_path / "x.npz", "flax", accept=("everything",))
    with pytest.raises(UserError, match="can express every field; received 'activation'"):
        save(model, tmp_path / "x.safetensors", "timm", accept="activation")
    with pytest.raises(UserError, match="unknown dialect"):
        save(model, tmp_path / "x.npz", "flux")
    with pytest.raises(UserError, match="is written to a"):
        save(model, tmp_path / "x.safetensors", "flax")


@pytest.mark.parametrize(
    "changes",
    slow_but(
        [{"position": "none"}, {"class_token_in_positions": False}, {"register_tokens": 2}],
        [
            {"position": "sincos2d"},
            {"position": "none"},
            {"class_token_in_positions": False},
            {"head_bias": None},
            {"register_tokens": 2, "register_tokens_in_positions": True},
            {"register_tokens": 2},
        ],
    ),
    ids=str,
)
def test_the_same_function_in_another_form(tmp_path, changes):
    """Exact rewritings: positions written out, tokens that take their positions along."""
    config = ViTConfig.of("mu/16", image_size=32, activation="gelu_tanh", num_classes=4, **changes)
    model = vit(config)
    rng = np.random.default_rng(0)
    for variable in model.weights:
        variable.assign(rng.standard_normal(variable.shape, dtype=np.float32))
    pixels = rng.uniform(0, 255, (2, 32, 32, 3)).astype(np.float32)
    expected = run(model, pixels)
    written = 0
    for dialect, name in (
        ("flax", "x.npz"),
        ("big_vision", "y.npz"),
        ("timm", "z.safetensors"),
        ("hf", "w"),
    ):
        try:
            save(model, tmp_path / name, dialect)
        except UserError:
            assert config.register_tokens
            continue
        written += 1
        back = load_model(tmp_path / name, image_size=32)
        assert np.array_equal(run(back, pixels), expected), dialect
    assert written == (1 if config.register_tokens else 4)


CHAIN = (
    Origin("dinov2-small", "Apache-2.0", "https://example.org/apache"),
    Origin("theirs", "own", "https://example.org/own", "not on Mondays"),
)


@pytest.mark.parametrize(
    "destination, dialect", [("x", "timm"), ("x.safetensors", "timm"), ("x", "hf")]
)
def test_licences_go_with_the_weights(tmp_path, destination, dialect, capsys):
    model = vit(ViTConfig.of("mu/16", image_size=32, num_classes=3, norm_epsilon=1e-6))
    model.origins = CHAIN
    first, second = tmp_path / destination, tmp_path / "again" / "x.safetensors"
    second.parent.mkdir()
    save(model, first, dialect)
    origins._say.cache_clear()  # said once in a process
    told = {"num_heads": 2}
    assert load_model(first, **told).origins == inspect(first, **told).origins == CHAIN
    convert(first, second, "timm", **told)
    assert inspect(second, **told).origins == CHAIN
    assert f"note: {CHAIN[1]}" in capsys.readouterr().err


def test_licences_go_through_keras_files(tmp_path):
    model = vit(ViTConfig.of("mu/16", image_size=32, num_classes=3))
    model.origins = CHAIN
    model.save(tmp_path / "x.keras")
    convert(tmp_path / "x.keras", tmp_path / "x.safetensors", "timm")
    convert(tmp_path / "x.safetensors", tmp_path / "y.keras", "keras")
    back = keras.saving.load_model(tmp_path / "y.keras")
    assert back.origins == CHAIN
    assert back.config == model.config
    convert(tmp_path / "y.keras", tmp_path / "y.npz", "flax", accept="activation")
    assert inspect(tmp_path / "y.npz").origins == ()  # has no place for them
