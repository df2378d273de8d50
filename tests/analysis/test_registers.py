# SPDX-License-Identifier: MIT
import numpy as np
import pytest

from keras_vit import UserError, vit
from keras_vit.analysis import artefacts, move_to_register, register_neurons
from keras_vit.models import blocks
from tests.contracts import randomize
from tests.models.test_vit import OPTIONS, tiny


def marked(**options):
    """A model whose neuron 5 of the second block makes a bright patch's token 40 times as long."""
    model = vit(tiny(depth=3, **options))
    for variable in model.variables:
        if not variable.path.endswith("gamma"):
            variable.assign(np.zeros(variable.shape))
    kernel = np.zeros((48, 16))
    kernel[:, 0] = 1 / 48  # white is 1 and black -1
    model.get_layer("patch_encoder").projection.kernel.assign(kernel)
    mlp = blocks(model)[1].mlp
    hidden, output = np.zeros((16, 32)), np.zeros((32, 16))
    hidden[0, 5], output[5, 1] = 10, 1
    mlp.hidden.kernel.assign(hidden)
    mlp.output_projection.kernel.assign(output)
    return model


@pytest.fixture
def images():
    images = np.zeros((2, 16, 24, 3), "float32")
    images[0, 4:8, 8:12] = 255  # the patch (1, 2)
    return images


def test_a_planted_neuron_is_found_and_its_artefact_moves(images):
    model = marked()
    before = artefacts(model, images)
    assert before.sum() == 1 and before[0, 1, 2]
    neurons = register_neurons(model, images, 1)
    assert neurons == [(1, 5)]
    moved = move_to_register(model, images, neurons)
    assert not moved.artefacts.any()
    np.testing.assert_allclose(moved.norms, 1, atol=1e-5)
    # The normalised token is sqrt(16 - 1) at its one place; the register was zero before.
    fired = 10 * 15**0.5
    np.testing.assert_allclose(moved.register, [[0, 0], [fired, 0], [fired, 0]], rtol=1e-4)


def test_other_neurons_leave_the_artefact_where_it_is(images):
    moved = move_to_register(marked(), images, [(0, 5), (1, 6)])
    np.testing.assert_array_equal(moved.artefacts, artefacts(marked(), images))


def test_without_an_artefact_there_is_no_neuron(images):
    with pytest.raises(UserError, match="none of the 2 images has an artefact"):
        register_neurons(marked(), 0 * images)


@pytest.mark.parametrize("name", ["average", "map with registers", "distillation", "AIMv2"])
def test_every_pool_has_outputs(images, name):
    model = vit(tiny(**OPTIONS[name]))
    randomize(model)
    moved = move_to_register(model, images, [(0, 1), (1, 3)])
    assert moved.outputs.shape == (2, 3) and np.isfinite(moved.outputs).all()
    assert moved.norms.shape == (2, 2, 4, 6) and moved.register.shape == (2, 2)


@pytest.mark.parametrize("name", ["EVA-02", "BEiT"])
def test_models_that_count_their_tokens_are_refused(images, name):
    with pytest.raises(UserError, match="registers at test time"):
        move_to_register(vit(tiny(**OPTIONS[name])), images, [])
