# SPDX-License-Identifier: MIT
"""What is said of processes that give no sign or lag behind; the clock is the test's."""

import threading

import pytest

from keras_vit.training import signs_of_life
from keras_vit.training.cluster import Cluster
from keras_vit.training.signs_of_life import Others, SignsOfLife


@pytest.fixture
def told():
    """Process 1 of 3 looks every second while `signs`, of a second, are heard; what it says."""

    def run(seconds, signs, begun=lambda second: second):
        others, said = Others(Cluster(1, 3), 0.0), []
        for second in range(1, seconds):
            heard = signs(second)
            if heard is not None:
                others.hear(heard, float(second))
            lines, lost = others.look(begun(second), float(second))
            said += [(second, line) for line in lines]
            if lost:
                return said, (second, lost)
        return said, None

    return run


def alive(second, *except_for):
    return {i: f"{second} {second}" for i in (0, 1, 2) if i not in except_for}


def test_all_are_well(told):
    assert told(100, alive) == ([], None)


def test_one_that_is_silent_is_told_and_then_lost(told):
    said, lost = told(100, lambda s: alive(s, *([2] if s > 5 else [])))
    assert [second for second, _ in said] == [16]
    assert "process 2 gives no sign of life: it was stopped" in said[0][1]
    assert lost == (36, "process 2 has given no sign of life for 31 seconds")


def test_one_that_comes_back_is_told(told):
    said, lost = told(100, lambda s: alive(s, *([2] if 5 < s < 20 else [])))
    assert [second for second, _ in said] == [16, 20] and said[1][1] == "process 2 is back"
    assert lost is None


def test_without_the_store_it_is_process_0(told):
    """Process 2 cannot be heard either, and is not blamed."""
    said, lost = told(100, lambda s: alive(s) if s < 5 else None)
    assert all("process 0" in line for _, line in said)
    assert lost == (35, "process 0 has given no sign of life for 31 seconds")


def test_one_that_lags_behind_is_named_once(told):
    def signs(second):
        return {0: f"{second} 8", 2: f"{second} 7"}

    said, lost = told(100, signs, begun=lambda second: 8)
    assert lost is None
    assert said == [(32, "step 8 has taken 30 seconds so far: waiting for process 2, in step 7")]
    said, _ = told(100, lambda s: {0: f"{s} 8", 2: f"{s} 8"}, begun=lambda second: 8)
    assert [line for _, line in said] == [
        "step 8 has taken 30 seconds so far: all processes are in it"
    ]
    assert told(100, alive, begun=lambda second: 0) == ([], None)  # reads its data


def test_who_was_stopped_itself_blames_nobody():
    others = Others(Cluster(0, 2), 0.0)
    others.hear({1: "1 1"}, 1.0)
    assert others.look(1, 1.0) == ([], None)
    assert others.look(1, 500.0) == ([], None)
    others.hear({1: "2 1"}, 501.0)
    assert others.look(1, 501.0) == ([], None)


def test_threads_give_signs_and_end_the_process(monkeypatch):
    """The other wrote one sign, and never another."""
    monkeypatch.setattr(signs_of_life, "EVERY", 0.01)
    monkeypatch.setattr(signs_of_life, "LOOK_EVERY", 0.01)
    monkeypatch.setattr(signs_of_life, "LOST_AFTER", 0.05)
    ended, why = threading.Event(), []

    signs = {"keras_vit/alive/1": "1 0"}

    class Store:
        def key_value_set(self, key, value, allow_overwrite):
            signs[key] = value

        def key_value_dir_get(self, folder):
            return list(signs.items())

    def end(message):
        why.append(message)
        ended.set()

    watch = SignsOfLife(Store(), Cluster(0, 2), end)
    watch.begun, watch.go_on = 4, lambda: "Go on."
    assert ended.wait(60)
    watch.stop()
    assert why == ["keras-vit: error: process 1 has given no sign of life for 0 seconds. Go on.\n"]
    assert signs["keras_vit/alive/0"].endswith(" 4")
