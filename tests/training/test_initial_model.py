# SPDX-License-Identifier: MIT
"""Which model a run starts with, and from which weights."""

import dataclasses
import json

import numpy as np
import pytest

from keras_vit import UserError, ViTConfig, config_of, recipes, vit, zoo
from keras_vit.export import Metadata
from keras_vit.preprocessing import View
from keras_vit.recipes import model_for
from keras_vit.training import train
from keras_vit.training.fit import make_model
from keras_vit.training.initial_model import complete, make_initial_model
from keras_vit.training.objectives.base import metadata_for
from keras_vit.training.plan import make_plan
from keras_vit.weights import save
from tests.contracts import randomize, to_numpy
from tests.training.bars import bars


@pytest.fixture(scope="module")
def images():
    return bars(64, (16, 16, 3))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """An official-looking file for 32 pixels and 2 classes that are not ours."""
    model = vit(ViTConfig.of("mu/8", activation="gelu_tanh", image_size=32, num_classes=2))
    randomize(model)
    path = tmp_path_factory.mktemp("weights") / "mu_8.npz"
    save(model, path, "flax_published")
    return path, model


def quick(name, **changes):
    return dataclasses.replace(
        recipes.get(name), epochs=2, batch_size=16, precision="float32", **changes
    )


def test_a_checkpoint_brings_its_sizes_and_loses_its_head(checkpoint, images):
    path, source = checkpoint
    recipe = complete(quick("finetune", init=str(path)), images)
    assert (recipe.model.width, recipe.model.depth, recipe.model.image_size) == (32, 1, (32, 32))
    assert complete(recipe, images) == recipe
    model = make_initial_model(recipe, images.classes)
    for mine, theirs in zip(model.weights, source.weights, strict=True):
        expected = np.zeros(mine.shape) if mine.path.startswith("head/") else to_numpy(theirs)
        np.testing.assert_array_equal(to_numpy(mine), expected, err_msg=mine.path)


def test_a_checkpoint_brings_what_it_sees(tmp_path, images, capsys):
    source = vit(ViTConfig.of("mu/8", image_size=16, num_classes=2))
    source.view = View(0.875, "squash", "bicubic")
    source.save(tmp_path / "model.keras")
    recipe = quick("finetune", init=str(tmp_path / "model.keras"))
    found = complete(recipe, images)
    assert found.data.view == found.preprocessing.view == source.view
    assert (
        "data.crop=0.875, data.framing=squash, data.interpolation=bicubic"
        in capsys.readouterr().err
    )
    assert complete(found, images) == found
    assert make_initial_model(found, images.classes).view == source.view
    metadata = Metadata.parse(metadata_for(found, images).to_json(), "x")
    assert metadata.preprocessing == found.preprocessing
    own = complete(recipes.override(recipe, "data.crop=1", "data.framing=box"), images)
    assert own.data.view == View(1.0, "box", "bicubic")
    scratch = complete(quick("digits"), images)
    assert scratch.data.view == View() and scratch.data.framing == "box"


def test_a_rule_chooses_and_says_so(checkpoint, images, capsys):
    path, _ = checkpoint
    recipe = dataclasses.replace(recipes.get("finetune"), init=str(path))
    found = complete(recipe, images)
    assert (found.epochs, found.optimizer.learning_rate, found.optimizer.layer_decay) == (
        100,
        5e-4,
        0.75,
    )
    assert capsys.readouterr().err.splitlines() == [
        "finetune: 46 images of about 16 pixels, and a checkpoint of 1 blocks of width 32 for 32 x "
        "32",
        "chosen (--set changes it): image_size=(32,32), optimizer.learning_rate=0.0005, "
        "optimizer.layer_decay=0.75, schedule.head_first=0.1, epochs=100",
    ]
    assert complete(found, images) == found
    assert capsys.readouterr().err == ""
    told = ("image_size=16", "optimizer.learning_rate=0.01", "optimizer.layer_decay=1")
    told = recipes.override(recipe, *told, "schedule.head_first=3 steps", "epochs=7")
    mine = complete(told, images)
    assert (mine.optimizer, mine.schedule, mine.epochs) == (told.optimizer, told.schedule, 7)
    assert mine.model.image_size == (16, 16)
    assert capsys.readouterr().err == ""


def test_positions_are_resampled_and_rates_come_from_the_recipe(checkpoint, images):
    path, source = checkpoint
    plan = ViTConfig.of("B/16", image_size=48, stochastic_depth=0.2)
    recipe = complete(quick("digits", model=plan, init=str(path)), images)
    assert (recipe.model.width, recipe.model.image_size) == (32, (48, 48))
    assert recipe.model.stochastic_depth == 0.2
    table = make_initial_model(recipe, images.classes).get_layer("patch_encoder").position_embedding
    assert table.shape == (1, 1 + 36, 32)
    old = to_numpy(source.get_layer("patch_encoder").position_embedding)
    new = to_numpy(table)
    np.testing.assert_array_equal(new[0, 0], old[0, 0])
    # The files' "zoom" aligns the corners.
    np.testing.assert_allclose(new[0, [1, -1]], old[0, [1, -1]], atol=1e-6)


def test_a_run_can_start_from_a_run(checkpoint, images, tmp_path):
    (tmp_path / "recipe.json").write_text("{}")
    (tmp_path / "labels.txt").write_text("above\nbelow\n")
    _, source = checkpoint
    source.save(tmp_path / "model.keras")
    recipe = complete(quick("finetune", init=str(tmp_path)), images)
    assert recipe.model == config_of(source)
    started = make_initial_model(recipe, images.classes).weights
    for a, b in zip(started, source.weights, strict=True):
        np.testing.assert_array_equal(to_numpy(a), to_numpy(b))  # the head too: the same classes
    head = make_initial_model(recipe, ("left", "right")).get_layer("head")
    assert not to_numpy(head.kernel).any()


def test_the_file_of_a_checkpoint_is_opened_once(checkpoint, images, tmp_path, monkeypatch):
    opened = []

    def open_weights(*args, **options):
        opened.append(args)
        return zoo_open(*args, **options)

    zoo_open = zoo.open_weights
    monkeypatch.setattr(zoo, "open_weights", open_weights)
    _, source = checkpoint
    source.save(tmp_path / "model.keras")
    plan = make_plan(quick("finetune", init=str(tmp_path / "model.keras")), None, images)
    model = make_model(plan)
    assert len(opened) == 1
    np.testing.assert_array_equal(
        to_numpy(model.get_layer("patch_encoder").class_embedding),
        to_numpy(source.get_layer("patch_encoder").class_embedding),
    )


@pytest.mark.slow
def test_a_probe_moves_the_head_alone(checkpoint, images, tmp_path, no_exports, untraced):
    path, _ = checkpoint
    run = train(
        quick("linear_probe", init=str(path), patch_dropout=0.5, accumulate=2, image_size=16),
        tmp_path / "run",
        images,
    )
    started = make_initial_model(run.recipe, images.classes)
    for before, after in zip(started.weights, run.model.weights, strict=True):
        moved = (to_numpy(before) != to_numpy(after)).any()
        assert moved == after.path.startswith("head/"), after.path
    assert "patch_dropout" not in {layer.name for layer in run.model.layers}
    saved = recipes.from_dict(json.loads((tmp_path / "run" / "recipe.json").read_text()))
    assert saved == run.recipe


def test_frozen_random_weights_are_an_error(images):
    with pytest.raises(UserError, match=r"would keep random weights. Name a checkpoint: --init"):
        complete(quick("linear_probe"), images)


def test_without_a_checkpoint_the_images_choose(images, capsys):
    decaying = recipes.override(quick("finetune"), "optimizer.layer_decay=0.75")
    recipe = complete(decaying, images)
    err = capsys.readouterr().err
    assert "warning: finetune starts from random weights" in err
    assert "layer_decay is dropped" in err
    assert recipe.optimizer.layer_decay is None
    assert recipe.optimizer.learning_rate == 5e-4 and recipe.schedule.head_first == "0 steps"
    assert "chosen" not in err
    assert (recipe.model.num_classes, recipe.model.image_size) == (2, (32, 32))
    assert complete(quick("finetune", image_size=(48, 64)), images).model.image_size == (48, 64)


@pytest.mark.parametrize(
    ("side", "count", "size", "width"),
    [(8, 60, 32, 64), (32, 5_000, 32, 128), (64, 900, 64, 64), (500, 50_000, 128, 192)],
)
def test_models_for_images(side, count, size, width):
    model = model_for(side, count)
    assert (model.image_size, model.width, model.num_patches) == ((size, size), width, 64)


def test_files_are_measured_by_their_headers(photos):
    from keras_vit.data import load
    from keras_vit.data.dataset import typical_side

    assert typical_side(load(str(photos))[0].train) == 14
