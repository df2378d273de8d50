# SPDX-License-Identifier: MIT
"""Learning rates, against the formulas of the papers in plain Python."""

import math

import keras
import pytest

from keras_vit import UserError
from keras_vit.recipes import Schedule
from keras_vit.training.schedules import make_restarting_schedule, make_schedule
from tests.contracts import to_numpy

PEAK, STEPS, EPOCHS = 1e-2, 10, 12
TOTAL = STEPS * EPOCHS


def rates(steps_per_epoch=STEPS, epochs=EPOCHS, **plan):
    schedule = make_schedule(Schedule(**plan), PEAK, steps_per_epoch, epochs)
    return lambda step: float(to_numpy(schedule(step)))


def way_down(kind, progress, final):
    if kind == "cosine":
        return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * progress))
    return 1 - (1 - final) * progress


@pytest.mark.parametrize("kind", ["cosine", "linear"])
@pytest.mark.parametrize("warmup", ["20 steps", "2 epochs", f"{20 / 120}"])
def test_warm_up_and_way_down(kind, warmup):
    at = rates(kind=kind, warmup=warmup, final=0.1)
    assert at(0) == 0
    assert at(10) == pytest.approx(0.5 * PEAK, rel=1e-5)
    for step in (20, 30, 70, 119, 120):
        expected = PEAK * way_down(kind, (step - 20) / 100, 0.1)
        assert at(step) == pytest.approx(expected, rel=1e-5)


def test_reciprocal_square_root_with_cool_down():
    """sqrt(warm-up / step), then a straight line to zero (arXiv 2106.04560)."""
    at = rates(kind="rsqrt", warmup="20 steps", cooldown="2 epochs")
    assert at(10) == pytest.approx(0.5 * PEAK, rel=1e-5)
    for step in (20, 45, 80, 100):
        assert at(step) == pytest.approx(PEAK * math.sqrt(20 / step), rel=1e-5)
    assert at(110) == pytest.approx(0.5 * PEAK * math.sqrt(20 / 100), rel=1e-5)
    assert at(120) == pytest.approx(0, abs=1e-9)


def test_constant_with_cool_down():
    at = rates(kind="constant", warmup="0 steps", cooldown="0.5", final=0.2)
    assert at(0) == at(60) == pytest.approx(PEAK, rel=1e-6)
    assert at(90) == pytest.approx(PEAK * 0.6, rel=1e-5)
    assert at(120) == pytest.approx(PEAK * 0.2, rel=1e-5)


def test_a_cosine_has_arrived_when_it_cools_down():
    at = rates(warmup="0 steps", cooldown="20 steps", final=0.1)
    assert at(50) == pytest.approx(PEAK * way_down("cosine", 0.5, 0.1), rel=1e-5)
    for step in (100, 110, 120):
        assert at(step) == pytest.approx(PEAK * 0.1, rel=1e-5)


def test_a_way_down_can_count_from_the_first_step():
    at = rates(warmup="20 steps", start=0.01, final=0.1, overlap=True)
    assert at(0) == pytest.approx(PEAK * 0.01, rel=1e-5)
    assert at(10) == pytest.approx(PEAK * 0.505, rel=1e-5)
    assert at(60) == pytest.approx(PEAK * way_down("cosine", 0.5, 0.1), rel=1e-5)


def test_a_warm_up_longer_than_the_run_is_cut():
    assert rates(10, 2, warmup="50 epochs")(19) == pytest.approx(PEAK, rel=1e-5)


def test_a_schedule_survives_its_configuration():
    schedule = make_schedule(Schedule(cooldown="5 steps", final=0.1), PEAK, STEPS, EPOCHS)
    again = keras.optimizers.schedules.deserialize(keras.optimizers.schedules.serialize(schedule))
    assert again.get_config() == schedule.get_config()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"warmup": "5"}, "'10000 steps', '5 epochs'"),
        ({"warmup": "5 weeks"}, "received '5 weeks'"),
        ({"kind": "rsqrt", "warmup": "0 steps"}, "needs a warm-up"),
        ({"kind": "cosin"}, "Did you mean cosine"),
        ({"final": 2.0}, "from 0 to 1"),
    ],
)
def test_a_wrong_plan_helps(fields, message):
    with pytest.raises(UserError, match=message):
        Schedule(**fields)


def test_an_extension_begins_again():
    plan = Schedule(kind="cosine", warmup="2 steps")
    once, more = (make_schedule(plan, 1.0, 10, epochs) for epochs in (2, 1))
    both = make_restarting_schedule(plan, 1.0, 10, (2, 1))
    both = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(both))
    rates = [float(both(step)) for step in range(30)]
    expected = [*(float(once(step)) for step in range(20)), *(float(more(s)) for s in range(10))]
    assert rates == pytest.approx(expected, abs=1e-7)
