# SPDX-License-Identifier: MIT
import keras
import numpy as np
import pytest
from keras import ops

from keras_vit import UserError, ViTConfig, vit
from keras_vit.models import MaskedAutoencoder, num_visible
from tests.contracts import randomize, to_numpy

SIZES = {"decoder_width": 16, "decoder_depth": 1, "decoder_num_heads": 2}


def config(**changes):
    sizes = {"image_size": 8, "channels": 1, "num_classes": 0, "patch_size": 2, "width": 16}
    return ViTConfig(**{**sizes, "depth": 1, "mlp_dim": 32, "num_heads": 2, **changes})


def autoencoder(seed=0, **changes):
    model = MaskedAutoencoder(vit(config(**changes)), seed=seed, **SIZES)
    randomize(model)
    return model


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (6, 8, 8, 1)).astype("float32")


OFTEN = [(0.01, 2, 15), (0.99, 2, 1), (0.75, 4, 1)]
MORE = [(0.75, 2, 4), (0.5, 2, 8), (0.9, 2, 2)]


def test_the_number_of_visible_patches():
    for mask, patch, visible in OFTEN + MORE:
        assert num_visible(config(patch_size=patch), mask) == visible


@pytest.mark.parametrize(
    ("mask", "patch", "visible"),
    [*OFTEN, *(pytest.param(*row, marks=pytest.mark.slow) for row in MORE)],
)
def test_the_number_of_hidden_patches_is_exact(images, mask, patch, visible):
    model = MaskedAutoencoder(vit(config(patch_size=patch)), mask, **SIZES)
    for training in (True, False):
        masked = to_numpy(model(images, training=training)["masked"])
        assert (masked.sum(axis=1) == masked.shape[1] - visible).all()
        assert set(masked.ravel()) == {0.0, 1.0}


@pytest.mark.parametrize("options", [{"rotary": "axial"}, {"relative_position_bias": True}])
def test_positions_that_need_all_patches_are_refused(options):
    with pytest.raises(UserError, match="MaskedAutoencoder: goes with positions that tokens carry"):
        MaskedAutoencoder(vit(config(**options)), **SIZES)
    with pytest.raises(UserError, match="patch_dropout: goes with positions that tokens carry"):
        vit(config(**options), patch_dropout=0.5)


def test_a_norm_before_the_blocks_is_part_of_the_encoder(images):
    model = autoencoder(embedding_norm=True)
    order = np.tile(np.arange(16), (6, 1))
    alone = keras.Model(model.encoder.input, model.encoder.get_layer("encoder_norm").output)
    # The same operations on the same numbers, but for a gather that changes nothing.
    np.testing.assert_allclose(
        to_numpy(model.encode(images, order)), to_numpy(alone(images)), rtol=0, atol=1e-6
    )


def test_masks_differ_between_images_and_steps_and_repeat_in_evaluation(images):
    model = autoencoder()

    def mask(training):
        return to_numpy(model(images, training=training)["masked"])

    assert len({row.tobytes() for row in mask(True)}) > 1
    assert (mask(True) != mask(True)).any()
    np.testing.assert_array_equal(mask(False), mask(False))
    np.testing.assert_array_equal(mask(False)[:2], to_numpy(model(images[:2])["masked"]))


def test_the_state_of_the_seed_is_a_variable(images):
    """What a checkpoint restores is the next mask, too."""
    first, second = autoencoder(), autoencoder()
    for _ in range(3):
        first(images, training=True)
    for variable, other in zip(second.variables, first.variables, strict=True):
        variable.assign(other.value)
    np.testing.assert_array_equal(
        to_numpy(first(images, training=True)["masked"]),
        to_numpy(second(images, training=True)["masked"]),
    )


@pytest.mark.parametrize("normalize", [True, False])
def test_the_loss_is_that_of_numpy(images, normalize):
    model = MaskedAutoencoder(vit(config()), normalize=normalize, **SIZES)
    randomize(model)
    predicted = model(images, training=False)
    loss = float(to_numpy(model.compute_loss(x=images, y_pred=predicted)))

    scaled = images.astype("float64") / 127.5 - 1
    patches = scaled.reshape(6, 4, 2, 4, 2, 1).transpose(0, 1, 3, 2, 4, 5).reshape(6, 16, 4)
    if normalize:
        deviation = np.sqrt(patches.var(axis=-1, keepdims=True) + 1e-6)
        patches = (patches - patches.mean(axis=-1, keepdims=True)) / deviation
    error = (to_numpy(predicted["patches"]) - patches) ** 2
    hidden = to_numpy(predicted["masked"]) == 1
    # float32 arithmetic: a few units in the seventh digit.
    assert loss == pytest.approx(error.mean(axis=-1)[hidden].mean(), rel=1e-5)


@pytest.mark.parametrize(
    "changes", [{}, {"class_token": False, "pool": "average"}, {"register_tokens": 2}]
)
def test_hidden_pixels_do_not_reach_the_encoder(images, changes):
    """Not approximately: another picture behind the mask gives the same numbers."""
    model = autoencoder(**changes)
    visible = np.array([[3, 0, 9, 14]] * len(images))
    other = images.copy()
    for patch in set(range(16)) - set(visible[0]):
        row, column = divmod(patch, 4)
        other[:, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2] = 255
    latent = to_numpy(model.encode(images, visible))
    assert latent.shape == (6, model.encoder.get_layer("patch_encoder").num_prefix_tokens + 4, 16)
    np.testing.assert_array_equal(latent, to_numpy(model.encode(other, visible)))
    other[:, 0, 0] += 5  # of patch 0, which is visible
    assert (latent != to_numpy(model.encode(other, visible))).any()


def test_all_patches_in_order_are_what_the_encoder_does_alone(images):
    model = autoencoder()
    order = np.tile(np.arange(16), (6, 1))
    alone = keras.Model(model.encoder.input, model.encoder.get_layer("encoder_norm").output)
    # The same operations on the same numbers, but for a gather that changes nothing.
    np.testing.assert_allclose(
        to_numpy(model.encode(images, order)), to_numpy(alone(images)), rtol=0, atol=1e-6
    )


def test_every_patch_comes_back_to_its_place(images):
    """A decoder without attention is a function of token and position alone."""
    model = MaskedAutoencoder(vit(config()), **{**SIZES, "decoder_depth": 0})
    randomize(model)
    order = np.argsort(np.random.default_rng(1).random((6, 16)), axis=1)
    place = np.argsort(order, axis=1)
    latent = to_numpy(model.encode(images, order[:, :4]))
    decoded = to_numpy(model.decode(latent, place))
    projected = to_numpy(model.decoder_projection(latent))[:, 1:]
    for i in range(6):
        tokens = np.tile(to_numpy(model.mask_token)[0], (16, 1))
        tokens[order[i, :4]] = projected[i]
        expected = model.decoder_head(model.decoder_norm((tokens + model._positions[0])[None]))[0]
        # Products of 16 numbers of size 1, summed in another order.
        np.testing.assert_allclose(decoded[i], to_numpy(expected), rtol=0, atol=1e-5)


@pytest.mark.slow
def test_training_lowers_the_loss_and_moves_every_variable():
    # Slopes of one direction: what is hidden follows from what is seen, whatever the masks are.
    slopes = np.linspace(0, 255, 8) * np.linspace(0.5, 1, 6)[:, None]
    images = np.broadcast_to(slopes[:, None, :, None], (6, 8, 8, 1)).astype("float32")
    model = autoencoder(pool="map", representation_size=8)
    model.compile(keras.optimizers.Adam(3e-3))
    before = [to_numpy(variable) for variable in model.trainable_variables]
    frozen = {variable.path.split("/")[0] for variable in model.encoder.non_trainable_variables}
    assert frozen == {"pool", "pre_logits"}
    history = model.fit(images, np.zeros(6), epochs=30, batch_size=3, verbose=0).history["loss"]
    assert np.mean(history[-5:]) < 0.5 * history[0]
    still = [
        variable.path
        for variable, old in zip(model.trainable_variables, before, strict=True)
        if (to_numpy(variable) == old).all() and not variable.path.endswith("key/bias")
    ]
    assert not still


def test_the_file_is_the_model(images, tmp_path):
    model = autoencoder()
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    for name, value in model(images).items():
        np.testing.assert_array_equal(to_numpy(loaded(images)[name]), to_numpy(value))


def test_mixed_precision_keeps_the_loss_in_float32(images):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = autoencoder()
    finally:
        keras.config.set_dtype_policy("float32")
    predicted = model(images)
    assert model.decoder_blocks[0].compute_dtype == "bfloat16"
    loss = model.compute_loss(x=images, y_pred=predicted)
    assert keras.backend.standardize_dtype(loss.dtype) == "float32"
    assert bool(ops.isfinite(loss))


def test_what_cannot_be_masked():
    with pytest.raises(UserError, match="without a ResNet stem"):
        MaskedAutoencoder(vit(config(resnet_stages=(), resnet_width=32, patch_size=1)))
    with pytest.raises(UserError, match="at least 2 patches"):
        MaskedAutoencoder(vit(config(patch_size=8)))
    with pytest.raises(UserError, match="mask: expected a share"):
        MaskedAutoencoder(vit(config()), mask=1.0)
