# SPDX-License-Identifier: MIT
"""Whether the processes of a run would train the same."""

import hashlib
import json
from typing import Any

import numpy as np

from keras_vit import __version__, hardware, recipes
from keras_vit.data.checks.fingerprint import fingerprint
from keras_vit.errors import UserError
from keras_vit.training.cluster import Cluster
from keras_vit.training.plan import Plan


def check_same_run(plan: Plan, step: int) -> None:
    """Raises a `UserError` where another process of the run would train something else.

    Args:
        plan: of this process.
        step: after which it goes on.
    """
    if plan.engine.cluster.count == 1:
        return
    packages = hardware.environment()["packages"]
    facts = {
        "the version of keras_vit": __version__,
        **{f"the version of {name}": str(packages.get(name)) for name in ("keras", "jax", "numpy")},
        "the run folder": str(plan.run.path.resolve()),
        "the recipe": _digest(recipes.to_dict(plan.recipe)),
        "the data": _digest(fingerprint(plan.images)),
        "the step to go on from": str(step),
    }
    check_agreement(facts, plan.engine.cluster)


def _digest(plain: Any) -> str:
    return hashlib.sha256(json.dumps(plain, sort_keys=True, default=str).encode()).hexdigest()[:12]


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
