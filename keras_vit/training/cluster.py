# SPDX-License-Identifier: MIT
"""Which process of a run on several this one is, as its environment says. Without Keras."""

import dataclasses
import os
from collections.abc import Mapping

from keras_vit.errors import UserError

_KERAS = ("JOB_ADDRESSES", "NUM_PROCESSES", "PROCESS_ID")


@dataclasses.dataclass(frozen=True)
class Cluster:
    """The processes of a run.

    Attributes:
        index: which of them this one is, from 0.
        count: how many there are.
        address: `host:port` of process 0; None where JAX finds it by itself.
        told_by: what said so, for messages.
    """

    index: int = 0
    count: int = 1
    address: str | None = None
    told_by: str = "nothing"

    @property
    def leads(self) -> bool:
        """Whether this is the process that writes."""
        return self.index == 0


def cluster_of(environment: Mapping[str, str] = os.environ) -> Cluster:
    """Reads the variables of Keras (`KERAS_DISTRIBUTION_...`), of SLURM's `srun` and of Cloud TPU.

    Raises:
        UserError: where the variables of Keras are not complete, or no whole numbers.
    """
    found = {name: environment.get(f"KERAS_DISTRIBUTION_{name}") for name in _KERAS}
    if any(found.values()):
        return _of_keras(found)
    if int(environment.get("SLURM_NTASKS", 1)) > 1 and "SLURM_STEP_NODELIST" in environment:
        tasks = int(environment["SLURM_NTASKS"])
        return Cluster(int(environment.get("SLURM_PROCID", 0)), tasks, None, "SLURM_NTASKS")
    hosts = environment.get("TPU_WORKER_HOSTNAMES", "").split(",")
    if len(hosts) > 1:
        worker = int(environment.get("TPU_WORKER_ID", 0))
        return Cluster(worker, len(hosts), None, "TPU_WORKER_HOSTNAMES")
    return Cluster()


def _of_keras(found: dict[str, str | None]) -> Cluster:
    addresses, count, index = (found[name] or "" for name in _KERAS)
    whole = count.isdecimal() and index.isdecimal() and int(index) < int(count)
    if not whole or ":" not in addresses:
        shown = ", ".join(f"{name}={value}" for name, value in found.items())
        raise UserError(
            "KERAS_DISTRIBUTION_...: expected JOB_ADDRESSES as host:port of process 0, "
            "NUM_PROCESSES, and PROCESS_ID from 0 to one less than that, in each process; "
            f"received {shown}."
        )
    first = addresses.split(",")[0]
    return Cluster(int(index), int(count), first, "KERAS_DISTRIBUTION_NUM_PROCESSES")
