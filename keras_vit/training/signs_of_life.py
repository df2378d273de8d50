# SPDX-License-Identifier: MIT
"""Says which process a run on several waits for, and ends this one when another gives no sign.

A collective waits for ever for a process that was stopped, hangs, or whose machine is gone, and no
exception reaches a thread that waits there. So each process writes a sign every two seconds into
the store of JAX's coordination service, which process 0 has, and reads those of the others.
"""

import os
import threading
import time
from collections.abc import Callable
from typing import Any

from keras_vit.progress import say
from keras_vit.training.cluster import Cluster

EVERY = 2.0  # seconds between two signs
LOOK_EVERY = 1.0  # and between two looks at those of the others
SILENT_AFTER = 10.0  # seconds without a sign after which it is said
LOST_AFTER = 30.0  # and after which the run ends
SLOW_AFTER = 30.0  # seconds of one step after which it is said who is waited for
_PAUSE = 5.0  # seconds between two looks after which this process itself was stopped
_FOLDER = "keras_vit/alive"


class Others:
    """What this process knows of the others; times are those of one clock, in seconds.

    Args:
        cluster: the processes of the run.
        now: the time.
    """

    def __init__(self, cluster: Cluster, now: float):
        self.cluster = cluster
        others = [i for i in range(cluster.count) if i != cluster.index]
        self._signs = dict.fromkeys(others, "")
        self._changed = dict.fromkeys(others, now)
        self._heard = self._looked = self._stepped = now
        self._begun = 0
        self._said: set[int | str] = set()

    def hear(self, signs: dict[int, str], now: float) -> None:
        """Takes note of what the store says: `"SIGN STEPS"` of each process that wrote one."""
        self._heard = now
        for i, sign in signs.items():
            if i in self._signs and sign != self._signs[i]:
                self._signs[i], self._changed[i] = sign, now

    def silence(self, process: int, now: float) -> float:
        """Seconds without a sign. Without the store, which process 0 has, nobody can be heard."""
        return (now if process == 0 else self._heard) - self._changed[process]

    def look(self, begun: int, now: float) -> tuple[list[str], str | None]:
        """What is to be said, and why the run cannot go on, if so.

        Args:
            begun: steps that this process has begun.
            now: the time.
        """
        pause, self._looked = now - self._looked, now
        if pause > _PAUSE:  # nobody could be heard
            self._heard = self._stepped = now
            self._changed = dict.fromkeys(self._changed, now)
        if begun != self._begun:
            self._begun, self._stepped = begun, now
            self._said.discard("slow")
        for i in self._signs:
            silent = self.silence(i, now)
            if silent > LOST_AFTER:
                return [], f"process {i} has given no sign of life for {silent:.0f} seconds"
        return [*self._silent(now), *self._slow(now)], None

    def _silent(self, now: float):
        for i in self._signs:
            if self.silence(i, now) <= SILENT_AFTER:
                if i in self._said:
                    self._said.remove(i)
                    yield f"process {i} is back"
            elif i not in self._said:
                self._said.add(i)
                yield (
                    f"process {i} gives no sign of life: it was stopped, or its machine or the "
                    f"network was; after {LOST_AFTER:.0f} seconds this run ends"
                )

    def _slow(self, now: float):
        if not self._begun or now - self._stepped <= SLOW_AFTER or "slow" in self._said:
            return
        self._said.add("slow")
        steps = {i: int(sign.split()[1]) for i, sign in self._signs.items() if sign}
        late = [f"process {i}, in step {n:,}" for i, n in steps.items() if n < self._begun]
        who = f"waiting for {', '.join(late)}" if late else "all processes are in it"
        yield f"step {self._begun:,} has taken {SLOW_AFTER:.0f} seconds so far: {who}"


class SignsOfLife:
    """Gives signs and watches those of the others, in two threads, from here on to `stop`.

    Args:
        store: JAX's, with `key_value_set` and `key_value_dir_get`.
        cluster: the processes of the run.
        end: ends this process; is told why, and does not return.

    Attributes:
        begun: steps that this process has begun; counted by whoever trains.
        go_on: what to type when the run has ended, or nothing yet.
    """

    def __init__(self, store: Any, cluster: Cluster, end: Callable[[str], None]):
        self.begun = 0
        self.go_on: Callable[[], str] = str
        self._store, self._cluster, self._end = store, cluster, end
        self._others = Others(cluster, time.monotonic())
        self._stopped = threading.Event()
        for loop in (self._speak, self._watch):
            threading.Thread(target=loop, daemon=True).start()

    def stop(self) -> None:
        """Is told before this process leaves the others."""
        self._stopped.set()

    def _speak(self):
        """Writes and reads signs. It waits in the store for as long as process 0 is stopped."""
        count = 0
        while not self._stopped.wait(EVERY if count else 0):
            count += 1
            try:
                key = f"{_FOLDER}/{self._cluster.index}"
                self._store.key_value_set(key, f"{count} {self.begun}", allow_overwrite=True)
                found = self._store.key_value_dir_get(_FOLDER)
            except RuntimeError:  # of JAX: process 0 does not answer, or is gone
                continue
            signs = {int(key.rpartition("/")[2]): sign for key, sign in found}
            self._others.hear(signs, time.monotonic())

    def _watch(self):
        while not self._stopped.wait(LOOK_EVERY):
            said, lost = self._others.look(self.begun, time.monotonic())
            for text in said:
                say(text)
            if lost is not None and not self._stopped.is_set():
                self._end(f"keras-vit: error: {lost}. {self.go_on()}".rstrip() + "\n")
                return


def end_process(message: str, code: int = 1) -> None:
    """Ends this process from another thread, as its own waits where no exception reaches it."""
    os.write(2, message.encode())
    os._exit(code)
