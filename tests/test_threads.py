# SPDX-License-Identifier: MIT
import contextlib
import os
import threading
import time

import pytest

from keras_vit import hardware
from keras_vit.threads import Room, map_in_threads


@pytest.fixture(params=[1, 3], ids="{} threads".format)
def threads(request, monkeypatch):
    monkeypatch.setattr(hardware, "_threads", request.param)
    return request.param


def test_results_come_in_order(threads):
    def late(number):
        time.sleep(0.002 * (number % 3 == 0))
        return number, threading.get_ident()

    found = list(map_in_threads(late, range(30), ahead=5))
    assert [number for number, _ in found] == list(range(30))
    mine = threading.get_ident() in {thread for _, thread in found}
    assert mine == (threads == 1)
    assert list(map_in_threads(late, [], ahead=5)) == []


def test_no_more_is_taken_than_may_wait(threads):
    taken = []

    def items():
        for number in range(30):
            taken.append(number)
            yield number

    for count, _ in enumerate(map_in_threads(str, items(), ahead=5), 1):
        assert len(taken) - count < 5


def test_an_error_comes_in_its_place_and_ends_the_rest(threads):
    begun = []

    def one(number):
        begun.append(number)
        return 1 // (number - 4)

    found = map_in_threads(one, range(100), ahead=9)
    assert [next(found) for _ in range(4)] == [1 // (n - 4) for n in range(4)]
    with pytest.raises(ZeroDivisionError):
        next(found)
    assert len(begun) < 4 + 9 + 1 and next(found, None) is None


def test_who_stops_early_leaves_no_thread(threads):
    before = threading.active_count()
    with contextlib.closing(map_in_threads(str, range(100), ahead=9)) as found:
        next(found)
    assert threading.active_count() == before


def test_a_room_is_never_overfull():
    room, inside, most = Room(10), [], []

    def enter(amount):
        with room.taken(amount):
            inside.append(min(amount, 10))
            most.append(sum(inside))
            time.sleep(0.001)
            inside.remove(min(amount, 10))

    crowd = [threading.Thread(target=enter, args=[1 + n % 12]) for n in range(24)]
    for one in crowd:
        one.start()
    for one in crowd:
        one.join()
    assert max(most) <= 10 and len(most) == 24


def test_threads_are_as_many_as_cores_or_as_told(monkeypatch):
    monkeypatch.setattr(hardware, "_threads", None)
    assert hardware.threads() == hardware.usable_cores()
    for name in hardware._THREAD_VARIABLES:
        monkeypatch.setenv(name, "7")
    hardware.use_threads(None)
    assert {os.environ[name] for name in hardware._THREAD_VARIABLES} == {"7"}
    hardware.use_threads(3)
    assert hardware.threads() == 3
    assert {os.environ[name] for name in hardware._THREAD_VARIABLES} == {"3"}
