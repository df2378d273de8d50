# SPDX-License-Identifier: MIT
"""Smaller images first: what a model sees when, and that it is one model and one training."""

import dataclasses

import keras
import numpy as np
import pytest

from keras_vit import UserError, config_of, recipes, vit
from keras_vit.data import training_batches
from keras_vit.preprocessing import Preprocessing
from keras_vit.recipes import Distill
from keras_vit.run_folder import RunFolder
from keras_vit.training import dry_run, fit, train
from keras_vit.training.checkpoints import Checkpoints
from keras_vit.training.history import read_history
from keras_vit.training.initial_model import make_initial_model
from keras_vit.training.objectives.classify import Classification
from keras_vit.training.objectives.distill import Distiller
from keras_vit.training.plan import make_plan
from keras_vit.weights.resample import position_grid
from tests.conftest import unexported_runs
from tests.contracts import randomize, to_numpy
from tests.models.test_vit import tiny


@pytest.fixture(scope="module", autouse=True)
def quick():
    with unexported_runs():
        yield


def recipe(model=None, **changes):
    """Of 5 steps of 16 images to an epoch; images of 4, 8 and 16 pixels, patches of 4."""
    small = recipes.debug(recipes.get("digits"))
    model = dataclasses.replace(small.model, image_size=16, **(model or {}))
    optimizer = recipes.Optimizer(learning_rate=1e-2, ema=0.5)
    values = {"model": model, "optimizer": optimizer, "epochs": 6, "batch_size": 16}
    values |= {"precision": "float32", "progressive": ((0.3, 4), (0.6, 8))}
    return dataclasses.replace(small, **{**values, **changes})


def model_of(config, **changes):
    plan = dataclasses.replace(recipe(**changes), model=config, progressive=((0.5, 8),))
    return make_initial_model(plan, [str(i) for i in range(config.num_classes)])


@pytest.mark.parametrize(
    "options",
    [
        {"distillation_token": True, "register_tokens": 2},
        {"pool": "map", "class_token": False, "position": "sincos2d"},
        {"resnet_stages": (1, 1), "resnet_width": 32, "patch_size": 1},
    ],
    ids=["learned", "sincos2d", "hybrid"],
)
def test_a_smaller_image_meets_the_model_of_its_size(options):
    """The one that has the same weights, and the positions that a checkpoint would have there."""
    config = tiny(image_size=(16, 32), **options)
    smaller = dataclasses.replace(config, image_size=(8, 16))
    model, expected = model_of(config), vit(smaller)
    randomize(model)
    for old, new in zip(model.weights, expected.weights, strict=True):
        value = to_numpy(old)
        if old.path.endswith("position_embedding"):
            prefix = value.shape[1] - config.num_patches
            value = position_grid(value, config.grid, smaller.grid, prefix, "bicubic_antialias")
        new.assign(value)
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 8, 16, 3)).astype("float32")
    # float32: the table is resampled there in float64, and added to numbers of about 1.
    np.testing.assert_allclose(to_numpy(model(pixels)), to_numpy(expected(pixels)), atol=2e-4)
    assert config_of(model) == config


def test_without_smaller_sizes_a_model_takes_its_own_alone():
    model = make_initial_model(recipe(progressive=()), ["a"] * 10)
    with pytest.raises(ValueError, match="expected shape="):
        model(np.zeros((1, 8, 8, 1), "float32"))


class Told(keras.callbacks.Callback):
    """Counts what a callback is told."""

    def __init__(self, stop_after=None):
        super().__init__()
        self.calls, self.epochs, self.stop_after = [], [], stop_after

    def on_train_begin(self, logs=None):
        self.calls.append("begin")

    def on_train_end(self, logs=None):
        self.calls.append("end")

    def on_epoch_end(self, epoch, logs=None):
        self.epochs.append(epoch)
        if epoch == self.stop_after:
            self.model.stop_training = True


@pytest.fixture
def sizes(monkeypatch):
    """The size and the number of the batches of each call of `fit`."""
    seen = []

    def spy(*arguments):
        batches, steps = training_batches(*arguments)
        seen.append((batches.element_spec[0].shape[1:], len(batches), arguments))
        return batches, steps

    monkeypatch.setattr("keras_vit.training.fit.training_batches", spy)
    return seen


@pytest.mark.slow
def test_a_run(images, tmp_path, sizes, capsys):
    told = Told()
    plan = recipe(epochs=12, augmentation=recipes.Augmentation(crop="pad", pad=4))
    run = train(plan, tmp_path / "run", images, [told])
    assert [(shape, count) for shape, count, _ in sizes] == [
        ((4, 4, 1), 4 * 5),
        ((8, 8, 1), 3 * 5),
        ((16, 16, 1), 5 * 5),
    ]
    assert [arguments[6].pad for _, _, arguments in sizes] == [1, 2, 4]
    # The first step of each size, and that this process makes all of each batch.
    assert [arguments[-2:] for _, _, arguments in sizes] == [(i, (0, 1)) for i in (0, 20, 35)]
    said = capsys.readouterr().err
    assert said.index("epochs 5 to 7 at 8 x 8 pixels") < said.index("epoch  5/12")
    assert told.calls == ["begin", "end"]
    assert told.epochs == list(range(12))
    assert run.model.input.shape == (None, 16, 16, 1)
    assert (
        run.recipe.progressive == plan.progressive == RunFolder.open(run.workdir).recipe.progressive
    )
    assert run.report["top1"] == 1.0
    history = read_history(tmp_path / "run/history.csv")
    for name in ("image_height", "image_width"):
        assert [row[name] for row in history] == [4] * 4 + [8] * 3 + [16] * 5


def test_the_batches_are_those_of_a_model_of_that_size(images):
    plan = make_plan(recipe(), None, images)
    batches = fit.make_batches(plan, plan.phases[1], 12)
    train_split, augmentation = images.train, plan.recipe.augmentation
    expected, _ = training_batches(
        train_split,
        2,
        Preprocessing((8, 8), 1),
        16,
        4,
        0,
        dataclasses.replace(augmentation, pad=0),
        first_step=12,
    )
    pairs = list(zip(batches, expected, strict=True))
    assert len(pairs) == 4 * 5 - 12
    for ours, theirs in pairs:
        np.testing.assert_array_equal(to_numpy(ours[0]), to_numpy(theirs[0]))
        np.testing.assert_array_equal(to_numpy(ours[1]), to_numpy(theirs[1]))


def test_whoever_stops_the_training_stops_all_of_it(images, tmp_path, sizes, monkeypatch, untraced):
    def small_model(config, patch_dropout):
        pixels = keras.Input((*config.image_size, config.channels))
        x = keras.layers.GlobalAveragePooling2D()(pixels)
        return keras.Model(pixels, keras.layers.Dense(config.num_classes)(x))

    monkeypatch.setattr("keras_vit.training.initial_model.vit", small_model)
    monkeypatch.setattr(Classification, "save", lambda *_: None)
    told = Told(stop_after=1)
    plan = make_plan(recipe(), tmp_path, images)
    fit.fit(plan, Checkpoints(tmp_path / "checkpoints"), callbacks=[told])
    assert told.calls == ["begin", "end"]
    assert told.epochs == [0, 1]
    assert len(sizes) == 1


@pytest.mark.slow
def test_at_the_full_size_nothing_changes(images):
    """A run of one epoch has no room for smaller images."""
    trained = []
    for changes in ({}, {"progressive": ()}):
        plan = make_plan(recipe(epochs=1, **changes), None, images)
        model = fit.make_model(plan)
        model.train_on_batch(*fit.first_batch(plan))
        trained.append(list(map(to_numpy, model.weights)))
    for a, b in zip(*trained, strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_rehearsal_shows_the_sizes_and_what_they_cost(images, untraced):
    dry = dry_run(recipe(epochs=1000), images)
    assert dry.images.shape == (16, 4, 4, 1)
    assert "epochs 301 to 600 at 8 x 8 pixels; epochs 601 to 1000 at 16 x 16" in dry.text
    config = dry.plan.recipe.model
    forward = [dataclasses.replace(config, image_size=s).forward_flops() for s in (4, 8, 16)]
    gflops = 3 * 80 * (300 * forward[0] + 300 * forward[1] + 400 * forward[2]) / 1e9
    assert f"\ntraining  {gflops:,.0f} GFLOPs" in dry.text
    assert round(gflops) != round(3 * 80 * 1000 * forward[2] / 1e9)


def test_a_teacher_sees_the_smaller_images_too(images, untraced):
    config = tiny(image_size=16, channels=1, num_classes=2, distillation_token=True)
    student, seen = model_of(config), []

    def teacher(pixels):
        seen.append(pixels.shape[1:3])
        return keras.ops.ones((2, 2))

    learner = Distiller(student, teacher, Distill())
    learner.compile("sgd")
    for size in (8, 16):
        learner.make_train_function(force=True)
        loss = learner.train_on_batch(np.ones((2, size, size, 1), "float32"), np.eye(2))
        assert np.isfinite(loss)
    assert set(seen) == {(8, 8), (16, 16)}


def test_reconstruction_refuses_it(images, tmp_path):
    plan = recipes.debug(recipes.get("masked_autoencoder_small"))
    model = dataclasses.replace(plan.model or recipe().model, image_size=16, patch_size=4)
    plan = dataclasses.replace(plan, model=model, progressive=((0.5, 8),))
    with pytest.raises(UserError, match=r"progressive: a masked autoencoder .*progressive=\(\)"):
        train(plan, tmp_path / "run", images)
    assert not (tmp_path / "run").exists()
