# SPDX-License-Identifier: MIT
"""What is seen of a training while it goes on."""

import pytest

from keras_vit import progress
from keras_vit.recipes import Phase
from keras_vit.run_folder import RunFolder
from keras_vit.training.history import History
from keras_vit.training.telling import TellProgress, epoch_line

STEPS = 4


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    monkeypatch.setenv("KERAS_VIT_PROGRESS", "off")  # the numbers are there, without the bar
    return now


def run_of(folder, *phases, first_step=0):
    return TellProgress(History(RunFolder(folder), 16, STEPS, phases), first_step)


def play(told, clock, *seconds):
    """Steps that take so long each."""
    for step, took in enumerate(seconds):
        clock[0] += took
        told.on_train_batch_end(step)


def test_the_first_time_left_is_without_compiling_and_of_the_whole_run(tmp_path, clock):
    told = run_of(tmp_path, Phase(0, 10, (8, 8)))
    with told.shown():
        told.on_epoch_begin(0)
        assert told._step.doing == "epoch 1 of 10, compiling"
        play(told, clock, 30)
        assert told._step.left() == "0:30 so far"
        play(told, clock, 1)
        assert told._step.counted() == "2 of 40 steps"
        assert told._step.left() == "0:38 left"
        assert told._step.doing == "epoch 1 of 10"
        told.on_test_begin()
        assert told._step.doing == "epoch 1 of 10, validation"
        clock[0] += 50  # compiles, too
        assert told._step.left() == "0:38 left"
        told.on_test_end()
        assert told._step.left() == "0:38 left"
        told.on_test_begin()
        clock[0] += 1
        assert told._step.left() == "1:16 left"


def test_steps_of_an_earlier_session_say_nothing_of_the_speed(tmp_path, clock):
    told = run_of(tmp_path, Phase(0, 10, (8, 8)), first_step=20)
    with told.shown():
        told.on_epoch_begin(5)
        assert "so far" in told._step.left()
        play(told, clock, 30, 1)
        assert told._step.counted() == "22 of 40 steps"
        assert told._step.left() == "0:18 left"


def test_the_time_left_knows_that_the_images_grow(tmp_path, clock):
    told = run_of(tmp_path, Phase(0, 1, (4, 8)), Phase(1, 3, (8, 8)))
    with told.shown():
        told.on_epoch_begin(0)
        play(told, clock, 30, 1)
        assert told._step.left() == f"0:{2 + 2 * (2 * STEPS)} left"
        play(told, clock, 1, 1)
        told.on_epoch_begin(1)
        play(told, clock, 30, 2)  # a graph for each size
        assert told._step.left() == f"0:{2 * (2 * STEPS - 2)} left"


def test_a_line_for_each_epoch(tmp_path):
    history = History(RunFolder(tmp_path), 16, STEPS, [Phase(0, 10, (8, 8))])
    history.rows = [{"epoch": 1, "loss": 0.5, "val_loss": 2.0, "images_per_second": 0.0}]
    line = "epoch  1/10  loss 0.5000  val_loss 2.0000"
    assert epoch_line(history, None) == line
    history.rows[0] |= {"images_per_second": 1234.4, "skipped_updates": 2}
    line += "  1,234 images/s  15:00 left  2 bad updates skipped"
    assert epoch_line(history, 900.0) == line
