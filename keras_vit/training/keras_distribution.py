# SPDX-License-Identifier: MIT
"""The engine of the JAX backend: `keras.distribution`, in one process or in several."""

import atexit
import contextlib
import sys
import threading
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from keras_vit.errors import UserError
from keras_vit.recipes.distribution import Distribution
from keras_vit.training.agreement import check_same_software, store
from keras_vit.training.cluster import Cluster, cluster_of
from keras_vit.training.engine import OneDevice, as_many, check_batch
from keras_vit.training.layouts import check_shards, fsdp_axis, model_axis
from keras_vit.training.signs_of_life import SignsOfLife, end_process

# Seconds without a heartbeat after which JAX ends the others, with a stack trace: later than
# `signs_of_life` does, with a message.
_DEAD_AFTER = 60
_LEAVE_WITHIN = 10  # seconds that a process which breaks off waits for the others
_LATE_AFTER = 300  # seconds that processes wait for one that has not begun
_signs: SignsOfLife | None = None  # of this process, once it has joined others


class KerasDistribution(OneDevice):
    """`keras.distribution`, on the JAX backend.

    Args:
        wanted: how the run is spread.
        devices: how many of the devices it takes; None for all.
    """

    def __init__(self, wanted: Distribution, devices: int | None = None):
        names = keras.distribution.list_devices()
        count = as_many(devices, len(names))
        if count % wanted.shards:
            raise UserError(
                f"distribution=model(shards={wanted.shards}): expected a divisor of the number of "
                f"devices, which is {count}."
            )
        self.wanted, self.names, self.cluster = wanted, names[:count], cluster_of()
        self.replicas = count // wanted.shards
        self._distribution = _keras_distribution(wanted, self.names)
        self.share = (self.cluster.index, self.cluster.count)

    def building(self):
        return self._distribution.scope()

    running = building

    @contextlib.contextmanager
    def apart(self) -> Iterator[None]:
        current = keras.distribution.distribution()
        keras.distribution.set_distribution(None)
        try:
            yield
        finally:
            keras.distribution.set_distribution(current)

    def check(self, recipe, examples):
        for size in (recipe.part_size, min(recipe.part_size, examples)):
            check_batch(size, self.replicas, recipe.accumulate)
        if self.wanted.kind == "model":
            check_shards(recipe.model, self.wanted.shards)
        if self.cluster.count > 1 and self.wanted.kind != "data":
            raise UserError(
                f"distribution={recipe.distribution}: divides weights among the devices of one "
                f"process, and here are {self.cluster.count} (see {self.cluster.told_by}). Set "
                "distribution=data, or start one process for all devices of one machine."
            )

    def agreed(self, number):
        if self.cluster.count == 1:
            return number
        from jax.experimental import multihost_utils

        return int(np.max(multihost_utils.process_allgather(np.int32(number))))

    def begin_step(self):
        if _signs is not None:
            _signs.begun += 1

    def explain_loss(self, go_on):
        if _signs is not None:
            _signs.go_on = go_on

    def leave(self):
        if self.cluster.count > 1:
            import jax

            self.agreed(0)  # the others may take their time; those who part may not
            if _signs is not None:
                _signs.stop()
            jax.distributed.shutdown()

    @property
    def text(self):
        processes = f" of {self.cluster.count} processes" if self.cluster.count > 1 else ""
        shared = f", {self.wanted.shards} to a model" if self.wanted.shards > 1 else ""
        return f"{len(self.names)} devices{processes} ({self.wanted.kind}{shared})"


class _Divided(keras.distribution.ModelParallel):
    """Divides each variable along the axis that its path and shape say.

    Args:
        mesh: devices, with an axis "data" and maybe an axis "model".
        wanted: "model" or "fsdp".
    """

    def __init__(self, mesh: keras.distribution.DeviceMesh, wanted: Distribution):
        layouts = keras.distribution.LayoutMap(mesh)  # none: `get_variable_layout` has them
        super().__init__(layout_map=layouts, batch_dim_name="data", auto_shard_dataset=False)
        self._wanted = wanted

    def get_variable_layout(self, variable):
        if getattr(variable, "_layout", None) is not None:
            return variable._layout  # of a moment: that of its weight
        axes: list[str | None] = [None] * len(variable.shape)
        if self._wanted.kind == "model":
            axis, name = model_axis(variable.path, variable.shape, self._wanted.shards), "model"
        else:
            axis, name = fsdp_axis(variable.shape, self.num_model_replicas), "data"
        if axis is not None:
            axes[axis] = name
        return keras.distribution.TensorLayout(axes, self.device_mesh)

    def get_tensor_layout(self, path):
        return None


def _keras_distribution(wanted: Distribution, names: list[str]):
    if wanted.kind == "data":
        return keras.distribution.DataParallel(devices=names, auto_shard_dataset=False)
    count = len(names)
    if wanted.kind == "fsdp":
        mesh = keras.distribution.DeviceMesh((count,), ("data",), names)
    else:
        shape = (count // wanted.shards, wanted.shards)
        mesh = keras.distribution.DeviceMesh(shape, ("data", "model"), names)
    return _Divided(mesh, wanted)


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
