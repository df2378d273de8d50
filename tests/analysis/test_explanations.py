# SPDX-License-Identifier: MIT
import numpy as np
import pytest

from keras_vit import UserError, vit
from keras_vit.analysis import explain
from keras_vit.analysis.explanations import METHODS, relevance
from keras_vit.analysis.walk import outputs_of, through, tokens_of
from keras_vit.models import blocks
from tests.contracts import randomize, to_numpy
from tests.models.test_vit import AVERAGE, OPTIONS, tiny

WALKED = ("plain", "distillation", "EVA-02", "BEiT", "AIMv2", "norms after the branches", "map")


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(5).integers(0, 256, (2, 16, 24, 3)).astype("float32")


def make(**options):
    model = vit(tiny(**options))
    randomize(model)
    return model


@pytest.mark.parametrize("name", [*WALKED, "layer scale and QK-norm", "token and average"])
def test_the_walk_is_the_model(images, name):
    model = make(**OPTIONS[name])
    x = tokens_of(model, images)
    for block in blocks(model):
        x, _ = through(block, x)
    # Attention is summed in another order than in the fused operation.
    np.testing.assert_allclose(
        to_numpy(outputs_of(model, x)), to_numpy(model(images)), atol=2e-5, rtol=2e-5
    )


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "options",
    [{}, {**AVERAGE, "register_tokens": 2}, {"pool": "map", "class_token": False}],
    ids=["token", "average", "map"],
)
def test_a_map_of_every_method_and_pool(images, method, options):
    model = make(**options)
    maps = explain(model, images, [0, 2], method)
    assert maps.shape == (2, 4, 6) and maps.dtype == np.float32
    assert (maps >= 0).all() and (np.ptp(maps, axis=(1, 2)) > 0).all()
    alone = explain(model, images[1:], [2], method)
    # Images do not touch; sums over another number of rows.
    np.testing.assert_allclose(alone[0], maps[1], rtol=1e-3, atol=1e-5 * maps[1].max())
    other = explain(model, images, [1, 2], method)
    about_classes = method not in ("attention", "rollout")
    assert np.allclose(other[0], maps[0]) != about_classes
    np.testing.assert_allclose(other[1], maps[1], rtol=1e-4, atol=1e-6 * maps[1].max())


def test_relevance_of_one_block_is_attention_times_its_gradient(images):
    """The gradient by differences: what the logit gains when the class token reads a patch more."""
    model = make(depth=1)
    block, step = model.get_layer("block_00"), 1e-2
    start = to_numpy(tokens_of(model, images))
    weights = to_numpy(through(block, start)[1])
    # Of each image a copy for each weight of the class token on a patch: (image, head and patch).
    many, change = start.repeat(2 * 24, axis=0), np.zeros((2, 2 * 24, 2, 25, 25), "float32")
    for head in range(2):
        for patch in range(24):
            change[:, 24 * head + patch, head, 0, 1 + patch] = step
    change = change.reshape(-1, 2, 25, 25)

    def logits(change):
        x, _ = through(block, many, lambda weights: weights + change)
        return to_numpy(outputs_of(model, x))[:, 1]

    slope = (logits(change) - logits(-change)) / (2 * step)
    product = slope.reshape(2, 2, 24) * weights[:, :, 0, 1:]
    expected = np.maximum(product, 0).mean(axis=1)
    found = relevance(model, images, np.array([1, 1]))
    # Differences of float32 logits of size 1 over 2e-2: 1e-5 of a slope.
    np.testing.assert_allclose(found, expected, atol=2e-3 * expected.max())


def test_the_predicted_class_is_the_usual_one(images):
    model = make()
    predicted = np.argmax(to_numpy(model(images)), axis=1)
    np.testing.assert_array_equal(explain(model, images), explain(model, images, predicted))


@pytest.mark.parametrize("classes", [[0], [0, 3], [-1, 0]])
def test_wrong_classes_are_told(images, classes):
    with pytest.raises(UserError, match="expected 2 numbers from 0 to 2"):
        explain(make(), images, classes)
    with pytest.raises(UserError, match="Did you mean relevance"):
        explain(make(), images, method="relevanz")


def test_pixels_that_are_not_looked_at_do_not_speak(images):
    """A model whose blocks pass tokens on as they are, and whose class token knows nothing."""
    model = make()
    for block in blocks(model):
        for layer in (block.attention.output_dense, block.mlp.output_projection):
            layer.kernel.assign(np.zeros(layer.kernel.shape))
    for method in ("relevance", "legrad", "gradient"):
        assert not explain(model, images, [0, 0], method).any()
