# SPDX-License-Identifier: MIT
"""What a run computes on: one device, and what engines for several have to answer for."""

import contextlib
from collections.abc import Callable

import keras

from keras_vit.errors import UserError
from keras_vit.recipes import Recipe
from keras_vit.training.cluster import Cluster


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

    def begin_step(self) -> None:
        """Is told of each step, so that the others can say whom they wait for."""

    def explain_loss(self, go_on: Callable[[], str]) -> None:
        """Is told what to say of a run that ends because another process is lost."""

    def leave(self) -> None:
        """Parts from the other processes, when all of them are here."""

    @property
    def text(self) -> str:
        """The devices in words; empty for one."""
        return ""


def as_many(wanted: int | None, present: int) -> int:
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


def check_batch(size: int, replicas: int, parts: int) -> None:
    if size % replicas:
        of_a_part = f" divided by accumulate={parts}" if parts > 1 else ""
        raise UserError(
            f"batch_size: expected a multiple of {replicas}, the number of devices that divide a "
            f"batch; it is {size}{of_a_part}."
        )
