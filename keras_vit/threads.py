# SPDX-License-Identifier: MIT
"""All cores for what is done to one image after the other: in threads, in order, a little ahead.

Threads are enough: Pillow, NumPy and the runtimes of models let go of Python's lock while they
compute.
"""

import collections
import contextlib
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from keras_vit import hardware

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_in_threads(
    function: Callable[[Item], Result], items: Iterable[Item], ahead: int
) -> Generator[Result, None, None]:
    """`map`, computed by as many threads as `hardware.threads()` says.

    An error is raised where its result would have come. Who stops early, because of an error or of
    Ctrl-C, waits for what has begun, and for nothing else.

    Args:
        function: of one item; called from several threads at once.
        items: are taken by the caller's thread, `ahead` of the results at most.
        ahead: results that may wait for the caller, at least 1.

    Yields:
        The results in the order of the items.
    """
    threads = min(hardware.threads(), ahead)
    if threads == 1:
        yield from map(function, items)
        return
    pool, waiting = ThreadPoolExecutor(threads), collections.deque[Future]()
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) >= ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


class Room:
    """What threads may hold together, such as pixels: who wants more waits for the others.

    Args:
        size: of all of it.
    """

    def __init__(self, size: int):
        self._size = self._left = size
        self._changed = threading.Condition()

    @contextlib.contextmanager
    def taken(self, amount: int) -> Iterator[None]:
        """Takes a part of it for as long as the block takes; who wants more than all gets all."""
        amount = min(amount, self._size)
        with self._changed:
            self._changed.wait_for(lambda: amount <= self._left)
            self._left -= amount
        try:
            yield
        finally:
            with self._changed:
                self._left += amount
                self._changed.notify_all()
