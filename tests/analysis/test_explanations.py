# SPDX-License-Identifier: MIT
import numpy as np
import pytest

from keras_vit import UserError, vit
from keras_vit.analysis import explain, explanations
from keras_vit.analysis.explanations import METHODS, relevance
from keras_vit.analysis.walk import outputs_of, through, tokens_of
from keras_vit.models import blocks
from tests.contracts import randomize, slow_but, to_numpy
from tests.models.test_vit import OPTIONS, tiny

WALKED = [
    "plain",
    "distillation",
    "EVA-02",
    "BEiT",
    "AIMv2",
    "norms after the branches",
    "map",
    "hybrid",
    "CLIP",
    "layer scale and QK-norm",
    "token and average",
    "mixed rotary positions",
]


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(5).integers(0, 256, (2, 16, 24, 3)).astype("float32")


def make(**options):
    model = vit(tiny(**options))
    randomize(model)
    return model


@pytest.mark.parametrize("name", slow_but(WALKED[::2], WALKED))
def test_the_walk_is_the_model(images, name):
    model = make(**OPTIONS[name])
    x = tokens_of(model, images)
    for block in blocks(model):
        x, _ = through(block, x)
    # Attention is summed in another order than in the fused operation.
    np.testing.assert_allclose(
        to_numpy(outputs_of(model, x)), to_numpy(model(images)), atol=2e-5, rtol=2e-5
    )


POOLS = ["plain", "average", "map with registers"]


@pytest.fixture(scope="module", params=slow_but(POOLS[1:], POOLS))
def model(request):
    return make(**OPTIONS[request.param])


@pytest.mark.parametrize("method", METHODS)
def test_a_map_of_every_method_and_pool(model, images, method):
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


@pytest.mark.parametrize(
    "name",
    slow_but(
        ["plain", "EVA-02", "token and average"],
        [
            "plain",
            "distillation",
            "hybrid",
            "EVA-02",
            "BEiT",
            "norms after the branches",
            "token and average",
        ],
    ),
)
def test_one_block_by_differences(images, name):
    """Relevance is attention times its gradient, and LeGrad the gradient: by differences, what the
    logit gains when a token reads another one more."""
    # With a smooth activation: differences across ReLU's kink are none.
    model, step = make(**{**OPTIONS[name], "depth": 1, "activation": "gelu"}), 1e-2
    block, config, image = model.get_layer("block_00"), model.config, images[:1]
    start = to_numpy(tokens_of(model, image))
    weights = to_numpy(through(block, start)[1])  # (1, 2, T, T)
    # A copy of the image for each weight.
    change = step * np.eye(weights.size, dtype="float32").reshape(-1, *weights.shape[1:])
    many = start.repeat(weights.size, axis=0)

    def logits(change):
        x, _ = through(block, many, lambda weights: weights + change)
        return to_numpy(outputs_of(model, x))[:, 1]

    slope = ((logits(change) - logits(-change)) / (2 * step)).reshape(weights.shape)
    gained = np.maximum(slope * weights, 0).mean(axis=1)  # (1, T, T)
    prefix = config.num_prefix_tokens
    rows = {
        "token": gained[:, : 2 if config.distillation_token else 1].mean(axis=1),
        "average": gained[:, prefix:].mean(axis=1),
    }
    expected = np.mean([row for key, row in rows.items() if key in config.pool], axis=0)
    expected = expected[:, prefix:].reshape(1, *config.grid)
    # Differences of float32 logits of size 1 over 2e-2: 1e-5 of a slope.
    found = relevance(model, image, np.array([1])).reshape(expected.shape)
    np.testing.assert_allclose(found, expected, atol=4e-3 * expected.max())
    expected = np.maximum(slope, 0).mean(axis=(1, 2))[:, prefix:].reshape(1, *config.grid)
    found = explain(model, image, [1], "legrad")
    np.testing.assert_allclose(found, expected, atol=4e-3 * expected.max())


def test_a_pool_of_attention_counts_what_tokens_read_as_much_as_their_own(images, monkeypatch):
    """The pool reads patch 5; every patch has read patch 0, however little that changed."""
    model = make(depth=1, pool="map", class_token=False)
    block, read = np.zeros((2, 2, 24, 24), "float32"), np.zeros((2, 2, 1, 24), "float32")
    block[..., 0], read[..., 5] = 1e-3, 1
    ones = [np.ones_like(block), np.ones_like(read)]
    monkeypatch.setattr(explanations, "_attention_and_gradients", lambda *_: ([block, read], ones))
    expected = np.zeros((2, 24))
    expected[:, [0, 5]] = 1
    np.testing.assert_allclose(relevance(model, images, np.array([0, 0])), expected, rtol=1e-5)


def test_the_gradient_by_differences(images):
    """What the logit gains when a normalised pixel grows by a share of itself."""
    model, step, image = make(pixel_mean=(0.4, 0.5, 0.6), pixel_std=0.25), 1e-3, images[:1]
    zero = 255 * np.array((0.4, 0.5, 0.6), "float32")  # the color that becomes 0
    change = np.eye(16 * 24, dtype="float32").reshape(-1, 16, 24, 1) * (image - zero) * step
    more, less = (to_numpy(model(image + sign * change))[:, 1] for sign in (1, -1))
    speaks = np.abs((more - less) / (2 * step)).reshape(4, 4, 6, 4).sum(axis=(1, 3))
    found = explain(model, image, [1], "gradient")[0]
    # Differences of float32 logits of size 1 over 2e-3: 1e-4 of each of 16 pixels.
    np.testing.assert_allclose(found, speaks, atol=16 * 2e-4 * max(1, np.abs(more).max()))


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
