# SPDX-License-Identifier: MIT
"""Schedule, optimizer, loss and precision, against NumPy and by hand."""

import math

import keras
import numpy as np
import pytest

from keras_vit import hardware, vit
from keras_vit.recipes import Classify, Optimizer, Schedule
from keras_vit.training import precision
from keras_vit.training.objectives import make_loss
from keras_vit.training.optimizers import decays, make_optimizer
from keras_vit.training.schedules import make_schedule
from tests.contracts import to_numpy
from tests.models.test_vit import tiny


def test_schedule_warms_up_and_follows_the_cosine():
    schedule = make_schedule(Schedule(warmup_epochs=2, final=0.1), 1e-2, 10, 12)

    def at(step):
        return float(to_numpy(schedule(step)))

    assert at(0) == 0
    assert at(10) == pytest.approx(0.5e-2, rel=1e-5)
    assert at(20) == pytest.approx(1e-2, rel=1e-5)
    for step in (30, 70, 100, 119):
        cosine = 0.5 * (1 + math.cos(math.pi * (step - 20) / 100))
        assert at(step) == pytest.approx(1e-2 * (0.1 + 0.9 * cosine), rel=1e-4)
    assert at(120) == pytest.approx(1e-3, rel=1e-5)


def test_a_schedule_without_warm_up_starts_at_the_peak():
    schedule = make_schedule(Schedule(warmup_epochs=0), 1e-2, 10, 2)
    assert float(to_numpy(schedule(0))) == pytest.approx(1e-2)


def test_a_warm_up_longer_than_the_run_is_cut():
    schedule = make_schedule(Schedule(warmup_epochs=50), 1e-2, 10, 2)
    assert float(to_numpy(schedule(19))) == pytest.approx(1e-2, rel=1e-5)


def test_weight_decay_acts_on_kernels_alone():
    model = vit(tiny(layer_scale=0.1, qk_norm=True, register_tokens=1))
    kernels = {v.path for v in model.trainable_variables if decays(v)}
    per_block = {
        *(f"attention/{n}/kernel" for n in ("query", "key", "value", "attention_output")),
        *(f"mlp/{n}/kernel" for n in ("hidden", "output_projection")),
    }
    assert kernels == {
        "patch_encoder/projection/kernel",
        "head/kernel",
        *(f"block_0{i}/{name}" for i in range(2) for name in per_block),
    }


def test_a_step_is_adamw_with_clipping():
    """Two steps against AdamW as it is published, in float64."""
    plan = Optimizer(learning_rate=0.1, weight_decay=0.5, clip_norm=1.0)
    kernel = keras.Variable(np.array([1.0, -2.0], "float32"), name="kernel")
    bias = keras.Variable(np.array([3.0], "float32"), name="bias")
    kernel._path, bias._path = "layer/kernel", "layer/bias"
    optimizer = make_optimizer(plan, plan.learning_rate, [kernel, bias])
    weights = [np.array([1.0, -2.0]), np.array([3.0])]
    moments = [[np.zeros(2), np.zeros(2)], [np.zeros(1), np.zeros(1)]]
    for step, grads in enumerate(([[3.0, 4.0], [12.0]], [[0.1, -0.2], [0.2]]), start=1):
        norm = math.sqrt(sum(g * g for gs in grads for g in gs))
        scale = min(1.0, 1.0 / norm)
        optimizer.apply([keras.ops.convert_to_tensor(np.array(g, "float32")) for g in grads])
        for i, grad in enumerate(grads):
            g = np.array(grad) * scale
            if i == 0:
                weights[i] -= 0.1 * 0.5 * weights[i]
            moments[i][0] = 0.9 * moments[i][0] + 0.1 * g
            moments[i][1] = 0.999 * moments[i][1] + 0.001 * g * g
            rate = 0.1 * math.sqrt(1 - 0.999**step) / (1 - 0.9**step)
            weights[i] -= rate * moments[i][0] / (np.sqrt(moments[i][1]) + 1e-8)
    # 1 - 0.999 in float32 is off by 3e-5 of itself, half of that under the root, times a rate of
    # 0.1.
    np.testing.assert_allclose(to_numpy(kernel), weights[0], atol=4e-6)
    np.testing.assert_allclose(to_numpy(bias), weights[1], atol=4e-6)


def test_loss_is_smoothed_cross_entropy():
    logits = np.array([[2.0, 0.5, -1.0]])
    target = np.array([0.9 + 0.1 / 3, 0.1 / 3, 0.1 / 3])
    expected = -(target * (logits[0] - math.log(np.exp(logits[0]).sum()))).sum()
    loss = make_loss(Classify(label_smoothing=0.1))(np.array([[1.0, 0, 0]]), logits)
    assert float(to_numpy(loss)) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("capabilities", "flags", "width", "expected"),
    [
        ([], {"avx512_bf16"}, 192, "mixed_bfloat16"),
        ([], {"amx_bf16"}, 768, "mixed_bfloat16"),
        ([], {"avx512_bf16"}, 64, "float32"),
        ([], {"avx2"}, 768, "float32"),
        ([(8, 0)], set(), 768, "mixed_bfloat16"),
        ([(9, 0), (7, 5)], {"avx512_bf16"}, 768, "float32"),
    ],
)
def test_precision_rule(monkeypatch, capabilities, flags, width, expected):
    monkeypatch.setattr(precision, "gpu_compute_capabilities", lambda: capabilities)
    monkeypatch.setattr(hardware, "cpu_flags", lambda: frozenset(flags))
    assert precision.choose_precision("auto", width) == expected
    assert precision.choose_precision("float32", width) == "float32"
    assert precision.choose_precision("mixed_bfloat16", 8) == "mixed_bfloat16"


def test_sigmoid_loss_is_the_sum_of_binary_cross_entropies():
    random = np.random.default_rng(0)
    logits = random.normal(size=(5, 7)).astype("float32")
    labels = (random.random((5, 7)) < 0.3).astype("float32")
    for smoothing in (0.0, 0.1):
        loss = make_loss(Classify(loss="sigmoid", label_smoothing=smoothing))
        share = 1 / (1 + np.exp(-logits.astype("float64")))
        targets = labels * (1 - smoothing) + smoothing / 2
        terms = -targets * np.log(share) - (1 - targets) * np.log(1 - share)
        expected = terms.sum(axis=1).mean()
        # float32 arithmetic on values near 1: a few units in the seventh digit.
        assert float(loss(labels, logits)) == pytest.approx(expected, rel=1e-6)
