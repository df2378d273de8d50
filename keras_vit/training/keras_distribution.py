# SPDX-License-Identifier: MIT
"""The engine of the JAX backend: `keras.distribution`, in one process or in several."""

import contextlib
from collections.abc import Iterator

import keras
import numpy as np

from keras_vit.errors import UserError
from keras_vit.recipes.distribution import Distribution
from keras_vit.training import joining
from keras_vit.training.cluster import cluster_of
from keras_vit.training.engine import OneDevice, as_many, check_batch
from keras_vit.training.layouts import check_shards, fsdp_axis, model_axis


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
        joining.begin_step()

    def explain_loss(self, go_on):
        joining.explain_loss(go_on)

    def leave(self):
        if self.cluster.count > 1:
            self.agreed(0)  # the others may take their time; those who part may not
            joining.leave()

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
