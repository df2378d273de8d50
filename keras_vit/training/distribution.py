# SPDX-License-Identifier: MIT
"""The devices of a run, and the engine that spreads it over them.

No engine is our own: on JAX it is `keras.distribution`, on TensorFlow
`tf.distribute.MirroredStrategy`. What is added is what they leave to their caller: which axis of
which variable is divided, gradients that are summed before they are clipped, and seeds that differ.
"""

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from keras_vit.errors import UserError
from keras_vit.recipes import Recipe
from keras_vit.recipes.distribution import Distribution
from keras_vit.training.cluster import Cluster, cluster_of
from keras_vit.training.layouts import check_shards, fsdp_axis, model_axis

_DEAD_AFTER = 30  # seconds without a sign of life after which a process of the run counts as lost
_LEAVE_WITHIN = 10  # seconds that a process which breaks off waits for the others
_LATE_AFTER = 300  # seconds that processes wait for one that has not begun
_SEED_STEP = 0x9E37  # between the seeds of two replicas; any number above 0


class OneDevice:
    """Computes where the backend computes by itself, and is what the other engines differ from.

    Attributes:
        replicas: parts that a batch is divided into.
        cluster: the processes of the run, and which of them this one is.
        share: which part of each batch this process decodes, `(index, count)`.
    """

    replicas = 1
    cluster = Cluster()
    share = (0, 1)

    @property
    def leads(self) -> bool:
        """Whether this is the process that writes the run folder."""
        return self.cluster.leads

    def building(self) -> contextlib.AbstractContextManager:
        """Where model, optimizer and metrics are made."""
        return contextlib.nullcontext()

    def running(self) -> contextlib.AbstractContextManager:
        """Where `fit` and `evaluate` are called."""
        return contextlib.nullcontext()

    def apart(self) -> contextlib.AbstractContextManager:
        """Where a copy of the model is made that is on one device."""
        return contextlib.nullcontext()

    def finish_optimizer(self, optimizer: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
        """The optimizer with what the engine asks of one."""
        return optimizer

    def spread_seeds(self, model: keras.Model) -> None:
        """Gives each replica draws of its own, where the engine would repeat them."""

    def check(self, recipe: Recipe, examples: int) -> None:
        """Raises a `UserError` for a complete recipe that cannot be spread so."""

    def agreed(self, number: int) -> int:
        """The largest of the numbers that the processes of the run call this with."""
        return number

    def leave(self) -> None:
        """Parts from the other processes, when all of them are here."""

    @property
    def text(self) -> str:
        """The devices in words; empty for one."""
        return ""


class KerasDistribution(OneDevice):
    """`keras.distribution`, on the JAX backend.

    Args:
        wanted: how the run is spread.
        devices: how many of the devices it takes; None for all.
    """

    def __init__(self, wanted: Distribution, devices: int | None = None):
        names = keras.distribution.list_devices()
        count = _as_many(devices, len(names))
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
        _check_batch(min(recipe.part_size, examples), self.replicas, recipe.accumulate)
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

    def leave(self):
        if self.cluster.count > 1:
            import jax

            self.agreed(0)  # the others may take their time; those who part may not
            jax.distributed.shutdown()

    @property
    def text(self):
        processes = f" of {self.cluster.count} processes" if self.cluster.count > 1 else ""
        shared = f", {self.wanted.shards} to a model" if self.wanted.shards > 1 else ""
        return f"{len(self.names)} devices{processes} ({self.wanted.kind}{shared})"


class Mirrored(OneDevice):
    """`tf.distribute.MirroredStrategy`: one process, and all weights on each device.

    Args:
        devices: how many of the devices it takes; None for all.
    """

    def __init__(self, devices: int | None = None):
        import tensorflow as tf

        kind = "GPU" if tf.config.list_logical_devices("GPU") else "CPU"
        names = [device.name for device in tf.config.list_logical_devices(kind)]
        self.names = names[: _as_many(devices, len(names))]
        self.replicas = len(self.names)
        # Between CPUs there is no NCCL, and TensorFlow would say so at length.
        across = tf.distribute.ReductionToOneDevice() if kind == "CPU" else None
        self._strategy = tf.distribute.MirroredStrategy(self.names, cross_device_ops=across)

    def building(self):
        return self._strategy.scope()

    def finish_optimizer(self, optimizer):
        return sum_gradients_first(optimizer)

    def spread_seeds(self, model):
        import tensorflow as tf

        for variable in model.variables:
            if not variable.path.endswith("seed_generator_state"):
                continue
            for i, state in enumerate(self._strategy.experimental_local_results(variable.value)):
                step = tf.constant([i * _SEED_STEP, 0], state.dtype)
                state.assign(variable.value.values[0] + step if i else state)

    def check(self, recipe, examples):
        _check_batch(min(recipe.part_size, examples), self.replicas, recipe.accumulate)
        if recipe.jit_compile:
            raise UserError(
                "jit_compile: XLA does not compile a step of several devices on TensorFlow. Set "
                "jit_compile=none, or KERAS_BACKEND=jax, which compiles all of them."
            )

    @property
    def text(self):
        return f"{self.replicas} devices (data, MirroredStrategy)"


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


def make_engine(text: str, devices: int | None = None) -> OneDevice:
    """Makes the engine of a recipe's `distribution` on this backend.

    Args:
        text: see `keras_vit.recipes.Recipe`.
        devices: how many; None for all that there are.

    Raises:
        UserError: where this environment has no engine for it.
    """
    wanted = Distribution.of(text)
    if wanted.kind == "none":
        if devices is not None and devices > 1:
            raise UserError(
                f"--devices {devices}: expected a distribution that uses them. Set "
                "distribution=data, or leave --devices out."
            )
        return OneDevice()
    check_engine(wanted, keras.backend.backend(), cluster_of())
    if keras.backend.backend() == "jax":
        return KerasDistribution(wanted, devices)
    return Mirrored(devices)


def check_engine(wanted: Distribution, backend: str, cluster: Cluster) -> None:
    """Raises a `UserError` where a backend of Keras has no engine that gives the right result."""
    if backend == "jax":
        return
    if backend != "tensorflow":
        raise UserError(
            f"distribution: expected the JAX or the TensorFlow backend of Keras, not {backend}. "
            "Set KERAS_BACKEND=jax."
        )
    if wanted.kind != "data":
        raise UserError(
            f"distribution={wanted.kind}: keras.distribution is for the JAX backend; on "
            "TensorFlow, Keras takes it and ignores it. Set KERAS_BACKEND=jax, or "
            "distribution=data for MirroredStrategy."
        )
    if cluster.count > 1 or "TF_CONFIG" in os.environ:
        raise UserError(
            "distribution=data: on TensorFlow, several processes would need "
            "MultiWorkerMirroredStrategy, which breaks in Keras 3 (keras issue 20585; Ray's "
            "trainer for TensorFlow needs it too). Set KERAS_BACKEND=jax in each process."
        )


def prepare_devices(text: str, devices: int | None) -> None:
    """Makes virtual devices and joins the other processes: before the backend computes anything.

    Args:
        text, devices: see `make_engine`. On a machine of CPUs alone, `devices` are made of its
            cores.

    Raises:
        UserError: where this environment has no engine for it, or not all processes come.
    """
    wanted, backend = Distribution.of(text), keras.backend.backend()
    if wanted.kind == "none":
        return
    cluster = cluster_of()
    check_engine(wanted, backend, cluster)
    if backend == "tensorflow":
        _make_cpus_of_tensorflow(devices)
        return
    import jax

    if devices is not None and cluster.count == 1:
        with contextlib.suppress(RuntimeError):  # JAX has begun, with the devices that it has
            jax.config.update("jax_num_cpu_devices", devices)
    if cluster.count > 1 and not jax.distributed.is_initialized():
        _join(cluster)


def _join(cluster: Cluster) -> None:
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
    try:
        jax.distributed.initialize(
            **told,
            initialization_timeout=_LATE_AFTER,
            heartbeat_timeout_seconds=_DEAD_AFTER,
            shutdown_timeout_seconds=_LEAVE_WITHIN,
        )
    except RuntimeError as error:
        raise UserError(
            f"distribution: not all {cluster.count} processes came{place} within {_LATE_AFTER} "
            f"seconds ({str(error).splitlines()[0][:200]}). Start all of them with the same "
            "address and count, each with an index of its own."
        ) from error


def check_agreement(facts: dict[str, str], cluster: Cluster) -> None:
    """Raises a `UserError` where processes of a run would not train the same.

    Args:
        facts: texts that all processes have to have alike, by what they are.
        cluster: the processes.
    """
    if cluster.count == 1:
        return
    from jax.experimental import multihost_utils

    size = 256  # bytes of each text that are compared
    texts = [text.encode()[:size].ljust(size, b"\0") for text in facts.values()]
    mine = np.array([list(text) for text in texts], "uint8")  # (facts, size)
    everyone = np.asarray(multihost_utils.process_allgather(mine))  # (processes, facts, size)
    for number, name in enumerate(facts):
        found = [bytes(row[number]).rstrip(b"\0").decode(errors="replace") for row in everyone]
        if len(set(found)) > 1:
            listed = ", ".join(f"process {i}: {text}" for i, text in enumerate(found))
            raise UserError(
                f"distribution: the processes differ in {name} ({listed}). Start all of them with "
                "the same software, recipe, data and run folder."
            )


def sum_gradients_first(optimizer: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    """Makes an optimizer sum the gradients of all replicas before it does anything with them.

    Keras clips those of each replica and sums after (`_backend_apply_gradients` comes before
    `_all_reduce_sum_gradients`): in AdamW with a clip norm of 1, weights are then off by 6.6e-3
    after 30 steps of a tiny model, where otherwise they are by 1.5e-5.

    Returns:
        The same optimizer.
    """
    kind = type(optimizer)
    optimizer.__class__ = type(f"{kind.__name__}OfAllReplicas", (_SummingFirst, kind), {})
    return optimizer


class _SummingFirst:
    def apply(self, grads, trainable_variables=None):
        import tensorflow as tf

        context = tf.distribute.get_replica_context()
        grads = list(grads)
        known = [i for i, grad in enumerate(grads) if grad is not None]
        sums = context.all_reduce(tf.distribute.ReduceOp.SUM, [grads[i] for i in known])
        for i, gradient in zip(known, sums, strict=True):
            grads[i] = gradient
        super().apply(grads, trainable_variables)

    def _all_reduce_sum_gradients(self, grads_and_vars):
        return list(grads_and_vars)  # they are summed


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


def _as_many(wanted: int | None, present: int) -> int:
    """How many devices are used.

    Raises:
        UserError: where there are fewer than are wanted.
    """
    if wanted is not None and wanted > present:
        raise UserError(
            f"--devices {wanted}: this process has {present}. Leave --devices out to use all; "
            "devices of CPUs are made at the beginning of a process alone."
        )
    return present if wanted is None else wanted


def _check_batch(size: int, replicas: int, parts: int) -> None:
    if size % replicas:
        of_a_part = f" divided by accumulate={parts}" if parts > 1 else ""
        raise UserError(
            f"batch_size: expected a multiple of {replicas}, the number of devices that divide a "
            f"batch; it is {size}{of_a_part}."
        )


def _make_cpus_of_tensorflow(devices: int | None) -> None:
    import tensorflow as tf

    cpus = tf.config.list_physical_devices("CPU")
    if devices is None or tf.config.list_physical_devices("GPU"):
        return
    parts = [tf.config.LogicalDeviceConfiguration()] * devices
    with contextlib.suppress(RuntimeError):  # TensorFlow has begun, with the devices that it has
        tf.config.set_logical_device_configuration(cpus[0], parts)


def has_gpu() -> bool:
    """Whether the backend of Keras computes on a GPU."""
    try:
        return bool(keras.distribution.list_devices("gpu"))
    except RuntimeError:  # JAX without one
        return False


def gpu_names() -> list[str]:
    """Names of the GPUs of the TensorFlow backend; empty without one."""
    return [str(details.get("device_name", "GPU")) for details in _gpu_details()]


def gpu_compute_capabilities() -> list[tuple[int, int]]:
    """Compute capability of each GPU of the TensorFlow backend; empty without one."""
    return [tuple(details.get("compute_capability", (0, 0))) for details in _gpu_details()]


def _gpu_details() -> list[dict]:
    if keras.backend.backend() != "tensorflow":
        return []
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    return [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
