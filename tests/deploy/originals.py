# SPDX-License-Identifier: MIT
"""A small model to export, and runners that stay in this process."""

import numpy as np

from keras_vit import vit
from keras_vit.deploy import CheckImages, Original, Runners
from keras_vit.export import Metadata, open_runner
from keras_vit.export.gpu import GpuRun
from tests.contracts import randomize
from tests.models.test_vit import tiny

METADATA = Metadata("tiny", ("cat", "dog", "bird"), (16, 24), 3)
PIXELS = np.random.default_rng(5).integers(0, 256, (20, 16, 24, 3)).astype("float32")


def original_in(folder):
    model = vit(tiny(width=32))
    randomize(model)
    path = folder / "model.keras"
    model.save(path)
    return Original(model, path, METADATA)


def images(labels=None, calibration=PIXELS):
    return CheckImages([PIXELS[:10], PIXELS[10:]], labels, calibration=calibration)


def here(**others):
    """Runners that start no process, and time files once: tests/export and test_latency.py have
    processes and times."""

    def run_twice(path, pixels):
        run = open_runner(path)
        return np.concatenate([run(pixels[:1]), run(pixels)])

    ours = {"in_new_process": run_twice, "on_gpu": lambda path, pixels: GpuRun(None), "rounds": 1}
    return Runners(**{**ours, **others})
