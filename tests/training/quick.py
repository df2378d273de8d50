# SPDX-License-Identifier: MIT
"""Runs of seconds, and ways to break them off."""

import contextlib
import dataclasses
import os
import shutil

import keras
import pytest

from keras_vit import models, recipes
from keras_vit.files import replacing
from keras_vit.layers import StochasticDepth
from keras_vit.training import history, initial_model
from keras_vit.training.objectives.classify import Classification
from tests.conftest import unexported_runs

STEPS, EPOCHS = 5, 3  # of `recipe`, with 86 images to train
SAVE = Classification.save


def recipe(**changes):
    """Everything that draws random numbers or keeps a memory."""
    small = recipes.debug(recipes.get("digits"))  # with mixup, clipping and shifted crops
    model = dataclasses.replace(small.model, dropout=0.1, stochastic_depth=0.2)
    optimizer = recipes.Optimizer(learning_rate=1e-2, ema=0.9)
    schedule = dataclasses.replace(small.schedule, head_first="4 steps")
    values = {
        "model": model,
        "optimizer": optimizer,
        "schedule": schedule,
        "epochs": EPOCHS,
        "batch_size": 16,
    }
    return dataclasses.replace(small, **{**values, "precision": "float32", **changes})


def small_model(config, patch_dropout):
    """Is traced in a tenth of the time of a Transformer."""
    pixels = keras.Input((*config.image_size, config.channels))
    x = keras.layers.Resizing(*config.image_size)(keras.layers.Rescaling(1 / 255)(pixels))
    x = keras.layers.Flatten()(x)
    x = keras.layers.Dropout(config.dropout)(keras.layers.Dense(8, "tanh", name="hidden")(x))
    x = keras.layers.Add()([x, StochasticDepth(config.stochastic_depth)(x)])
    return keras.Model(pixels, keras.layers.Dense(config.num_classes, name="head")(x))


def save(model, path):
    with replacing(path) as temporary:
        model.save(temporary, include_optimizer=False)


@contextlib.contextmanager
def quick_runs():
    """Without exports and pictures, and with the small model; test_kill.py has all as they are."""
    with pytest.MonkeyPatch.context() as patch, unexported_runs():
        patch.setattr(history, "draw_curves", lambda path, rows: None)
        patch.setattr(initial_model, "vit", small_model)
        patch.setattr(Classification, "save", staticmethod(save))
        yield


@contextlib.contextmanager
def real_model():
    """A Transformer, within `quick_runs`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(initial_model, "vit", models.vit)
        patch.setattr(Classification, "save", SAVE)
        yield


class Stop(keras.callbacks.Callback):
    """Breaks a run off after a number of train steps, or of batches of the validation."""

    def __init__(self, step=None, validation=None):
        super().__init__()
        self.left = {"step": step, "validation": validation}

    def on_train_batch_end(self, batch, logs=None):
        self._count("step")

    def on_test_batch_end(self, batch, logs=None):
        self._count("validation")

    def _count(self, what):
        if self.left[what] is not None:
            self.left[what] -= 1
            if self.left[what] == 0:
                raise KeyError(what)


class Signal(Stop):
    """Sends SIGTERM instead of breaking off."""

    def _count(self, what):
        try:
            super()._count(what)
        except KeyError:
            os.kill(os.getpid(), 15)


class CopyFolder(keras.callbacks.Callback):
    """Copies the run folder as it is when a train step ends: what a kill would leave there.

    The checkpoint of the step itself is not written yet.

    Args:
        folder: that of the run; a copy stands next to it and is called after the step.
        steps: after which a copy is made, from 1.
    """

    def __init__(self, folder, steps):
        super().__init__()
        self.folder, self.steps, self.step = folder, steps, 0

    def on_train_batch_end(self, batch, logs=None):
        self.step += 1
        if self.step in self.steps:
            shutil.copytree(self.folder, copy_of(self.folder, self.step))


def copy_of(folder, step):
    return folder.with_name(f"after-{step}")
