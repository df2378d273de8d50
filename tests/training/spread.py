# SPDX-License-Identifier: MIT
"""A run of 30 steps, alone or as one of several processes: `python -m tests.training.spread`.

Its argument is JSON, a list of `[folder, ["name=value" of the recipe ...], {options of run}]`.
"""

import dataclasses
import importlib
import json
import os
import shutil
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

from keras_vit import ViTConfig, recipes
from keras_vit.errors import UserError
from keras_vit.models import MaskedAutoencoder
from keras_vit.training import ProcessLost, RunOptions, Stopped, resume, train
from keras_vit.training.cluster import cluster_of
from keras_vit.training.objectives import labelled
from keras_vit.training.state import capture
from tests.training.bars import bars

STEPS = 30


def recipe(*changes):
    """AdamW, clipping that acts, an average of the weights, a rate for each layer, mixed order."""
    model = ViTConfig(
        image_size=8,
        channels=1,
        patch_size=4,
        width=32,
        depth=1,
        mlp_dim=64,
        num_heads=2,
        # The bias of keys changes no attention: its gradient is rounding, which Adam scales up.
        qkv_bias="query_value",
    )
    optimizer = recipes.Optimizer(
        learning_rate=1e-3,
        weight_decay=0.1,
        clip_norm=0.05,
        ema=0.9,
        learning_rate_factors=(("block_00/", 0.5), ("patch_encoder", 0.25)),
    )
    small = recipes.Recipe(
        "spread", model, 15, 16, optimizer=optimizer, precision="float32", jit_compile=None
    )
    return recipes.override(small, *changes) if changes else small


class Record(keras.callbacks.Callback):
    """Keeps the loss after each step, and at the end all that a step changes."""

    def __init__(self, seconds):
        super().__init__()
        self.losses, self.arrays, self.largest, self.seconds = [], {}, 0.0, seconds

    def on_train_batch_end(self, batch, logs=None):
        self.losses.append(float(logs["loss"]))
        time.sleep(self.seconds)

    def on_epoch_end(self, epoch, logs=None):
        self.arrays = capture(self.model)
        self.largest = largest_share(self.model)
        self.seeds = seeds_of(self.model)
        self.validation = float(logs["val_loss"])


def largest_share(model):
    """Of the bytes of parameters and optimizer, the share that the fullest device holds."""
    if keras.backend.backend() != "jax":
        return 1.0
    held, whole = {}, 0
    for variable in [*model.trainable_variables, *model.optimizer.variables]:
        whole += variable.value.nbytes
        for shard in variable.value.addressable_shards:
            held[shard.device] = held.get(shard.device, 0) + shard.data.nbytes
    return max(held.values()) / whole


def seeds_of(model):
    """The states of all sources of random numbers, on each device where they differ."""
    states = [v.value for v in model.variables if v.path.endswith("seed_generator_state")]
    return [np.array([np.array(x) for x in getattr(s, "values", [s])]) for s in states]


def stopped(folder, copy, step=14):
    """Copies a finished run as it was after a step."""
    shutil.copytree(folder, copy)
    (copy / "report.json").unlink()
    for path in copy.glob("checkpoints/step_*"):
        if path.name != f"step_{step:08d}":
            shutil.rmtree(path)


def in_reading_order(autoencoder, batch, training):
    count = autoencoder.encoder.config.num_patches
    return keras.ops.tile(keras.ops.arange(count)[None], (batch, 1))


def run(folder, *changes, devices=None, seconds=0.0, again=None, patches=(), same_masks=False):
    """Trains in a folder, or goes on there, and writes what it measured to `FOLDER.npz`.

    Args:
        folder: of the run.
        *changes: of the recipe.
        devices: how many; None for all.
        seconds: that each step sleeps.
        again: a finished run, of which a copy goes on from its middle.
        patches: `[module of keras_vit.training, name, value]` of constants to change.
        same_masks: an autoencoder hides the same patches of each image, where replicas of
            TensorFlow would draw otherwise than one device does.
    """
    if same_masks:
        MaskedAutoencoder._draw_order = in_reading_order
    for module, name, value in patches:
        setattr(importlib.import_module(f"keras_vit.training.{module}"), name, value)
    if again is not None:
        stopped(Path(again), Path(folder))
    options = RunOptions(checkpoint_steps=7, devices=devices, keep_checkpoints=99)
    record = Record(seconds)
    images = bars(62, (8, 8))  # 46 to train: 2 steps of 16 in each epoch
    # What two devices cannot divide is filled up.
    images = dataclasses.replace(images, validation=images.validation.take(np.arange(3)))
    if (Path(folder) / "recipe.json").exists():
        resume(folder, images, [record], options)
    else:
        train(recipe(*changes), folder, images, [record], options)
    numbers = {"losses": record.losses, "largest": record.largest, "validation": record.validation}
    numbers["seeds"] = record.seeds
    if cluster_of().leads:
        np.savez(f"{folder}.npz", **numbers, **record.arrays)


if __name__ == "__main__":
    labelled.formats = tuple
    try:
        for folder, changes, options in json.loads(sys.argv[1]):
            run(folder, *changes, **options)
    except (UserError, ProcessLost, Stopped) as error:
        sys.exit(f"{type(error).__name__}: {error}")
