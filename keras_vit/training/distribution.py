# SPDX-License-Identifier: MIT
"""The devices of a run, and the engine that spreads it over them.

No engine is our own: on JAX it is `keras.distribution`, on TensorFlow
`tf.distribute.MirroredStrategy`. What is added is what they leave to their caller: which axis of
which variable is divided, gradients that are summed before they are clipped, and seeds that differ.
"""

import contextlib
import os

import keras

from keras_vit.errors import UserError
from keras_vit.recipes.distribution import Distribution
from keras_vit.training.cluster import Cluster, cluster_of
from keras_vit.training.engine import OneDevice, as_many, check_batch
from keras_vit.training.joining import join
from keras_vit.training.keras_distribution import KerasDistribution

_SEED_STEP = 0x9E37  # between the seeds of two replicas; any number above 0


class Mirrored(OneDevice):
    """`tf.distribute.MirroredStrategy`: one process, and all weights on each device.

    Args:
        devices: how many of the devices it takes; None for all.
    """

    def __init__(self, devices: int | None = None):
        import tensorflow as tf

        kind = "GPU" if tf.config.list_logical_devices("GPU") else "CPU"
        names = [device.name for device in tf.config.list_logical_devices(kind)]
        self.names = names[: as_many(devices, len(names))]
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
        for size in (recipe.part_size, min(recipe.part_size, examples)):
            check_batch(size, self.replicas, recipe.accumulate)
        if recipe.accumulate > 1:
            raise UserError(
                f"accumulate={recipe.accumulate}: on TensorFlow, Keras cannot sum gradients over "
                "devices in the branch that it accumulates in. Set accumulate=1, as each device "
                "has a part of a batch only, or KERAS_BACKEND=jax, which does both."
            )
        if recipe.jit_compile:
            raise UserError(
                "jit_compile: XLA does not compile a step of several devices on TensorFlow. Set "
                "jit_compile=none, or KERAS_BACKEND=jax, which compiles all of them."
            )

    @property
    def text(self):
        return f"{self.replicas} devices (data, MirroredStrategy)"


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


def engines(backend: str, cluster: Cluster) -> dict[str, str]:
    """What spreads a run over devices here, or why nothing does, by what a recipe calls it."""
    engine = "keras.distribution on JAX" if backend == "jax" else "MirroredStrategy of TensorFlow"
    told = {}
    for kind in ("data", "fsdp", "model(shards=N)"):
        wanted = Distribution(kind.partition("(")[0])
        told[f"distribution={kind}"] = _or_why(wanted, backend, cluster, engine)
    several = Cluster(0, max(2, cluster.count))
    started = f"; this is {cluster.index} of {cluster.count}" if cluster.count > 1 else ""
    told["several processes"] = _or_why(
        Distribution("data"), backend, several, f"distribution=data{started}"
    )
    return told


def _or_why(wanted: Distribution, backend: str, cluster: Cluster, engine: str) -> str:
    try:
        check_engine(wanted, backend, cluster)
    except UserError as error:
        return f"no: {error}"
    return engine


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
        join(cluster)


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


def _make_cpus_of_tensorflow(devices: int | None) -> None:
    import tensorflow as tf

    cpus = tf.config.list_physical_devices("CPU")
    if devices is None or tf.config.list_physical_devices("GPU"):
        return
    parts = [tf.config.LogicalDeviceConfiguration()] * devices
    with contextlib.suppress(RuntimeError):  # TensorFlow has begun, with the devices that it has
        tf.config.set_logical_device_configuration(cpus[0], parts)


def device_names() -> list[str]:
    """What the backend of Keras computes on, as it calls them."""
    return list(keras.distribution.list_devices())


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
