# SPDX-License-Identifier: MIT
"""How the processes of a run come together, by JAX, and part. Without Keras."""

import atexit
import sys
import threading
from collections.abc import Callable
from typing import Any

from keras_vit.training.agreement import check_same_software, store
from keras_vit.training.cluster import Cluster
from keras_vit.training.signs_of_life import SignsOfLife, end_process

# Seconds without a heartbeat after which JAX ends the others, with a stack trace: later than
# `signs_of_life` does, with a message.
_DEAD_AFTER = 60
_LEAVE_WITHIN = 10  # seconds that a process which breaks off waits for the others
_LATE_AFTER = 300  # seconds that processes wait for one that has not begun
_signs: SignsOfLife | None = None  # of this process, once it has joined others


def join(cluster: Cluster) -> None:
    """Waits for the other processes of a run, and says that it does."""
    import jax

    place = f" at {cluster.address}" if cluster.address else ""
    print(
        f"process {cluster.index} of {cluster.count}: waiting for the others{place}, for "
        f"{_LATE_AFTER} seconds at most",
        file=sys.stderr,
    )
    told: dict[str, Any] = {}
    if cluster.address is not None:
        told = {"num_processes": cluster.count, "process_id": cluster.index}
        told["coordinator_address"] = cluster.address
        if cluster.leads:  # by default JAX listens on every interface
            told["coordinator_bind_address"] = cluster.address
    # JAX would end this process without a word of ours.
    alarm = threading.Timer(
        _LATE_AFTER,
        end_process,
        [
            f"keras-vit: error: distribution: not all {cluster.count} processes came{place} within "
            f"{_LATE_AFTER} seconds. Start all of them with the same address and count, each with "
            "an index of its own.\n",
            2,
        ],
    )
    alarm.daemon = True
    alarm.start()
    try:
        jax.distributed.initialize(
            **told,
            initialization_timeout=2 * _LATE_AFTER,
            heartbeat_timeout_seconds=_DEAD_AFTER,
            shutdown_timeout_seconds=_LEAVE_WITHIN,
        )
    finally:
        alarm.cancel()
    global _signs
    _signs = SignsOfLife(store(), cluster, end_process)
    atexit.register(_signs.stop)  # before JAX leaves, which registered earlier
    check_same_software(cluster)


def begin_step() -> None:
    """Is told of each step, so that the others can say whom they wait for."""
    if _signs is not None:
        _signs.begun += 1


def explain_loss(go_on: Callable[[], str]) -> None:
    """Is told what to say when another process is lost."""
    if _signs is not None:
        _signs.go_on = go_on


def leave() -> None:
    """Parts from the processes that `join` waited for, when all of them are here."""
    import jax

    if _signs is not None:
        _signs.stop()
    jax.distributed.shutdown()
