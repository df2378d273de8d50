# SPDX-License-Identifier: MIT
"""The same weights, the same batches: the losses of 30 steps are those of PyTorch."""

import json
import runpy
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_vit.recipes import Optimizer
from keras_vit.training.optimizers import make_optimizer
from keras_vit.training.schedules import WarmupAndDecay
from keras_vit.weights import load_model
from tests.contracts import slow_but

FOLDER = Path(__file__).parents[1] / "fixtures" / "training"
RUNS = json.loads((FOLDER / "runs.json").read_text("utf-8"))
STEPS, BATCH = 30, 16
BACKBONES = json.loads((FOLDER / "backbones.json").read_text("utf-8"))
finetuning = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "finetuning.py"))


def batches():
    """Those of `tests/fixtures/make_training.py`."""
    random = np.random.RandomState(0)
    for _ in range(STEPS):
        labels = random.randint(0, 5, BATCH)
        noise = random.randint(0, 128, (BATCH, 16, 16, 3))
        yield (noise + 25 * labels[:, None, None, None]).astype("float32"), labels


@pytest.mark.parametrize("name", slow_but(["adamw_clipped_registers"], RUNS))
def test_thirty_steps(name):
    run = RUNS[name]
    model = load_model(FOLDER / f"{run['model']}.safetensors", num_heads=2, activation="gelu")
    plan = Optimizer(**run["optimizer"])
    schedule = WarmupAndDecay(plan.learning_rate, 1000, warmup=10, kind="constant", start=0.1)
    optimizer = make_optimizer(plan, schedule, model.trainable_variables)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, jit_compile=keras.backend.backend() == "jax")
    losses = [float(model.train_on_batch(*batch)) for batch in batches()]
    # Both sum float32 numbers in their own order, which was seen to make 3e-7. With the epsilon of
    # Keras, the last run differs by 7e-3.
    np.testing.assert_allclose(losses, run["losses"], rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", finetuning["BACKBONES"])
def test_published_backbones(name):
    """DINOv2-small with registers and CLIP-B/16 in all but their depth and number of patches."""
    run = BACKBONES[name]
    assert finetuning["BACKBONES"][name].items() - run["settings"].items() <= {
        ("num_hidden_layers", 12),
        ("image_size", 224),
    }
    losses = finetuning["keras_losses"](run["settings"], run["shapes"], run["batch"])
    assert run["losses"][-1] < run["losses"][0] == pytest.approx(np.log(5), rel=1e-6)
    # Both sum float32 numbers in their own order, which was seen to make 6e-7.
    np.testing.assert_allclose(losses, run["losses"], rtol=1e-4)
