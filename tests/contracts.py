# SPDX-License-Identifier: MIT
"""What every layer must be able to do."""

import keras
import numpy as np
import pytest


def check_layer(make, input_shape, tmp_path, tolerance=0.0):
    """Checks one layer.

    Args:
        make: makes the layer; called with keyword arguments for the base layer.
        input_shape: shape without the batch.
        tmp_path: a folder for files.
        tolerance: of the comparison after saving; 0 where the same operations run on the same
            numbers.
    """
    x = np.random.default_rng(0).normal(size=(3, *input_shape)).astype("float32")

    by_call, by_shape = make(), make()
    y = to_numpy(by_call(x))
    by_shape.build((None, *input_shape))
    assert [w.shape for w in by_shape.weights] == [w.shape for w in by_call.weights]
    assert by_call.compute_output_shape((3, *input_shape)) == y.shape
    assert np.isfinite(y).all()

    symbolic = by_call(keras.Input(input_shape))
    assert symbolic.shape == (None, *y.shape[1:])

    config = by_call.get_config()
    again = type(by_call).from_config(config)
    assert again.get_config() == config

    inputs = keras.Input(input_shape)
    model = keras.Model(inputs, make()(inputs))
    randomize(model)
    path = tmp_path / "layer.keras"
    model.save(path)
    loaded = keras.saving.load_model(path, safe_mode=True)
    np.testing.assert_allclose(to_numpy(loaded(x)), to_numpy(model(x)), rtol=0, atol=tolerance)

    mixed = make(dtype="mixed_bfloat16")
    assert keras.backend.standardize_dtype(mixed(x).dtype) == "bfloat16"
    assert all(weight.dtype == "float32" for weight in mixed.trainable_weights)

    if model.trainable_weights:
        before = [to_numpy(weight) for weight in model.trainable_weights]
        model.compile(keras.optimizers.SGD(1.0), "mse", run_eagerly=True)  # to trace takes longer
        target = np.random.default_rng(1).normal(size=y.shape).astype("float32")
        loss = model.train_on_batch(x, target)
        assert np.isfinite(loss)
        after = [to_numpy(weight) for weight in model.trainable_weights]
        still = [
            weight.path
            for weight, old, new in zip(model.trainable_weights, before, after, strict=True)
            # Softmax is blind to what is added to all keys: that gradient is zero up to rounding.
            if (old == new).all() and not weight.path.endswith(("key/bias", "key_norm/beta"))
        ]
        assert not still, f"no gradient reaches {still}"


def randomize(model, seed=0):
    """Gives every weight a random part: zeros and ones hide mistakes."""
    random = np.random.default_rng(seed)
    for weight in model.weights:
        weight.assign(to_numpy(weight) + random.normal(0, 0.1, weight.shape))


def to_numpy(tensor):
    """A tensor or variable of any backend as an array."""
    tensor = tensor.value if isinstance(tensor, keras.Variable) else tensor
    return np.asarray(keras.ops.convert_to_numpy(tensor))


def slow_but(often, values):
    """Values to parametrise a test with, all but those of `often` marked slow."""
    return [v if v in often else pytest.param(v, marks=pytest.mark.slow) for v in values]
