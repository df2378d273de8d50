# SPDX-License-Identifier: MIT
"""What a run writes down of its speed."""

import types

import pytest

from keras_vit.recipes import Phase
from keras_vit.run_folder import RunFolder
from keras_vit.training.history import History

STEPS, BATCH = 3, 16


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    times = types.SimpleNamespace(perf_counter=clock)
    monkeypatch.setattr("keras_vit.training.history.time", times)
    return clock


def history_of(folder, *phases):
    history = History(RunFolder(folder), BATCH, STEPS, phases)
    optimizer = types.SimpleNamespace(learning_rate=0.1)
    history.set_model(types.SimpleNamespace(optimizer=optimizer))
    return history


def play(history, clock, epoch, step_seconds, validation_seconds):
    """Tells of an epoch whose steps take so long each."""
    history.on_epoch_begin(epoch)
    for step, seconds in enumerate(step_seconds):
        clock.now += seconds
        history.on_train_batch_end(step)
    clock.now += validation_seconds
    logs = {"loss": 1.0, "val_loss": 2.0}
    history.on_epoch_end(epoch, logs)
    return history.rows[-1]


def test_tracing_counts_in_no_speed(tmp_path, clock):
    history = history_of(tmp_path, Phase(0, 10, (8, 8)))
    row = play(history, clock, 0, (30, 1, 1), validation_seconds=20)
    assert (row["images_per_second"], row["seconds"]) == (BATCH, 52)
    row = play(history, clock, 1, (2, 2, 2), validation_seconds=1)
    assert row["images_per_second"] == BATCH / 2


def test_the_graph_of_another_size_is_traced_anew(tmp_path, clock):
    history = history_of(tmp_path, Phase(0, 2, (4, 8)), Phase(2, 4, (8, 16)))
    row = play(history, clock, 0, (30, 1, 1), validation_seconds=0)
    assert (row["image_height"], row["image_width"]) == (4, 8)
    play(history, clock, 1, (1, 1, 1), validation_seconds=0)
    row = play(history, clock, 2, (50, 5, 5), validation_seconds=0)  # the graph is a new one
    assert (row["image_height"], row["images_per_second"]) == (8, BATCH / 5)


def test_curves_are_drawn_every_few_seconds_and_at_the_end(tmp_path, clock, monkeypatch):
    drawn = []
    monkeypatch.setattr(
        "keras_vit.training.history.draw_curves", lambda path, rows: drawn.append(len(rows))
    )
    history = history_of(tmp_path, Phase(0, 10, (8, 8)))
    for epoch, seconds in enumerate((1, 1, 11, 1)):
        play(history, clock, epoch, (seconds,), validation_seconds=0)
    history.on_train_end()
    history.on_train_end()  # nothing is new
    assert drawn == [1, 3, 4]
