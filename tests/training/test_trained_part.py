# SPDX-License-Identifier: MIT
"""LoRA adapters and frozen backbones: what moves, what is counted, saved, resumed and exported."""

import dataclasses
import shutil

import keras
import numpy as np
import pytest

from keras_vit import UserError, ViTConfig, load_model, recipes, vit
from keras_vit.config.costs import training_bytes
from keras_vit.models.keras_file import load_keras
from keras_vit.reports import markdown_report
from keras_vit.training import RunOptions, resume, train
from keras_vit.training.checkpoints import Checkpoints
from keras_vit.training.fit import make_model
from keras_vit.training.initial_model import make_initial_model
from keras_vit.training.plan import make_plan
from keras_vit.training.trained_part import count_trained
from tests.contracts import randomize, to_numpy
from tests.training.bars import bars
from tests.training.quick import CopyFolder, copy_of

ADAPTED = ("query", "key", "value", "attention_output", "hidden", "output_projection")
KINDS = {"lora": {"lora": 2}, "linear_probe": {}}


@pytest.fixture(scope="module")
def images():
    return bars(64, (16, 16, 3))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A model of 16 pixels and three classes that are not ours."""
    model = vit(ViTConfig.of("mu/8", depth=2, image_size=16, num_classes=3, qk_norm=True))
    randomize(model)
    path = tmp_path_factory.mktemp("weights") / "mu_8.keras"
    model.save(path)
    return str(path)


def recipe(kind, checkpoint, **changes):
    name = "linear_probe" if kind == "linear_probe" else "finetune"
    values = {"epochs": 2, "batch_size": 16, "precision": "float32", "init": checkpoint}
    return dataclasses.replace(recipes.get(name), **{**values, **KINDS[kind], **changes})


def logits(model, images):
    return to_numpy(model(np.stack([images.test.pixels_of(i) for i in range(4)])))


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_counted_is_what_moves(kind, checkpoint, images):
    plan = make_plan(recipe(kind, checkpoint), None, images)
    model = make_model(plan)
    trained = sum(np.prod(v.shape) for v in model.trainable_variables)
    assert count_trained(plan.recipe) == trained < plan.recipe.model.num_parameters
    config = plan.recipe.model
    spared = training_bytes(config, 16) - training_bytes(
        config, 16, trained=count_trained(plan.recipe)
    )
    assert spared == 12 * (config.num_parameters - trained)  # a gradient and two moments
    adapted = {v.path.split("/")[-2] for v in model.trainable_variables if "lora" in v.path}
    assert adapted == (set(ADAPTED) if kind == "lora" else set())
    assert len(model.optimizer.variables) < 3 * len(model.weights)  # no moments of what is frozen


def test_an_adapted_model_begins_as_it_was(checkpoint, images):
    plain = make_initial_model(
        make_plan(recipe("linear_probe", checkpoint), None, images).recipe, ()
    )
    adapted = make_initial_model(make_plan(recipe("lora", checkpoint), None, images).recipe, ())
    for model in (plain, adapted):
        model.get_layer("head").kernel.assign(np.eye(32, 2))
    np.testing.assert_array_equal(logits(adapted, images), logits(plain, images))


class Keep(keras.callbacks.Callback):
    """Keeps what the model says at the end of each epoch, from 1."""

    def __init__(self, images):
        super().__init__()
        self.images, self.logits = images, {}

    def on_epoch_end(self, epoch, logs=None):
        self.logits[epoch + 1] = logits(self.model, self.images)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_run_stopped_and_resumed(kind, checkpoint, images, tmp_path, no_exports, untraced):
    """`test_an_adapted_model_is_exported` is traced and exported."""
    folder, stopped = tmp_path / "run", tmp_path / "stopped"
    often = RunOptions(checkpoint_steps=3)
    keep = Keep(images)
    callbacks = [CopyFolder(folder, (4,)), keep]
    run = train(recipe(kind, checkpoint), folder, images, callbacks, often)
    shutil.copytree(copy_of(folder, 4), stopped)
    again = resume(stopped, images)
    ends = [Checkpoints(f / "checkpoints").load_newest() for f in (folder, stopped)]
    assert ends[0].arrays.keys() == ends[1].arrays.keys()
    for name, array in ends[0].arrays.items():
        np.testing.assert_array_equal(array, ends[1].arrays[name], err_msg=name)
    for one, other in zip(run.model.weights, again.model.weights, strict=True):
        np.testing.assert_array_equal(to_numpy(one), to_numpy(other), err_msg=one.path)
    _check_moved(kind, run)
    # A kernel and its adapter are added once in the file, and in each step by the run.
    expected = keep.logits[run.report["best_epoch"]]
    np.testing.assert_allclose(logits(run.model, images), expected, rtol=1e-5, atol=1e-6)
    assert run.report["trained_parameters"] == count_trained(run.recipe)
    assert f"with {count_trained(run.recipe):,} numbers trained" in markdown_report(run.report, "")


def _check_moved(kind, run):
    """The file is an ordinary model, whose kernels have moved where there were adapters."""
    model, before = load_keras(run.workdir / "model.keras"), load_model(run.recipe.init)
    assert not any("lora" in v.path for v in model.weights)
    assert all(v.trainable for v in model.weights)
    old = {v.path: to_numpy(v) for v in before.weights}
    for variable in model.weights:
        if variable.path.startswith("head/"):
            continue
        moved = not np.array_equal(to_numpy(variable), old[variable.path])
        place = variable.path.split("/")
        assert moved == (kind == "lora" and place[-1] == "kernel" and place[-2] in ADAPTED), place


@pytest.mark.slow
def test_an_adapted_model_is_exported(checkpoint, images, tmp_path):
    run = train(recipe("lora", checkpoint), tmp_path / "run", images)
    assert run.ok and {e["format"] for e in run.report["exports"]} == {"saved_model", "litert"}


def test_auto_takes_float32(checkpoint, images):
    assert make_plan(recipe("lora", checkpoint, precision="auto"), None, images).precision == (
        "float32"
    )


def test_what_does_not_go_together(checkpoint, images):
    with pytest.raises(UserError, match="lora=4: freezes all weights but the head by itself"):
        recipes.override(recipes.get("linear_probe"), "lora=4")
    with pytest.raises(UserError, match=r"lora=4 would keep random weights. Name a checkpoint"):
        make_plan(dataclasses.replace(recipe("lora", None), lora=4), None, images)
    with pytest.raises(UserError, match="a masked autoencoder trains a whole one"):
        plan = recipes.get("masked_autoencoder_small")
        make_plan(dataclasses.replace(plan, init=checkpoint, lora=4), None, images)
    with pytest.raises(UserError, match="lora: expected a number from 1 to 1024"):
        recipes.override(recipes.get("finetune"), "lora=0")
