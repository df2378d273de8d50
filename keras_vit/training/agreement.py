# SPDX-License-Identifier: MIT
"""Whether the processes of a run would train the same.

They tell each other by the store of JAX's coordination service: it needs no devices, which
processes that differ may not have in common.
"""

import json
from typing import Any

from keras_vit import __version__, hardware
from keras_vit.errors import UserError
from keras_vit.progress import say
from keras_vit.training.cluster import Cluster

_PACKAGES = ("keras", "jax", "jaxlib", "numpy")
_SAY_AFTER = 20_000  # milliseconds that a process is waited for before it is said
_SHOWN = 3  # differences that a message lists


def store() -> Any:
    """JAX's key-value store of the processes that have joined.

    JAX has it for its own use; `tests/test_private_names.py` tells when it moves.
    """
    from jax._src import distributed

    return distributed.global_state.client


def check_same_software(cluster: Cluster) -> None:
    """Raises a `UserError` where another process has other versions, or counts other processes."""
    versions = {f"the version of {name}": str(hardware.installed(name)) for name in _PACKAGES}
    facts = {
        "the number of processes": str(cluster.count),
        "the version of keras_vit": __version__,
        **versions,
    }
    check_agreement("software", facts, cluster)


def check_agreement(what: str, facts: dict[str, str], cluster: Cluster) -> None:
    """Raises a `UserError` where processes of a run would not train the same.

    Every process waits for all others, and says so; one that never comes gives no sign of life
    either (see `signs_of_life`).

    Args:
        what: the facts are about, in a word; once in a process for each.
        facts: texts that all processes have to have alike, by what they are.
        cluster: the processes.
    """
    if cluster.count == 1:
        return
    tell(what, cluster.index, json.dumps(facts))
    differing: dict[str, dict[int, str]] = {}
    for other in range(cluster.count):
        if other == cluster.index:
            continue
        theirs = json.loads(heard(what, other, "said what it would train"))
        for name in dict.fromkeys([*facts, *theirs]):
            pair = {
                i: values.get(name, "nothing")
                for i, values in sorted([(cluster.index, facts), (other, theirs)])
            }
            if len(set(pair.values())) > 1:
                differing.setdefault(name, {}).update(pair)
        if "the number of processes" in differing:
            break  # of those that follow, some may not be there
    if differing:
        raise UserError(_message(differing))


def tell(what: str, process: int, text: str) -> None:
    """Writes what this process, of that number, has to say; once."""
    store().key_value_set(f"keras_vit/{what}/{process}", text)


def heard(what: str, process: int, doing: str) -> str:
    """What a process told, once it has; `doing` is what it "has not" where that takes long."""
    said = False
    while True:
        try:
            return store().blocking_key_value_get(f"keras_vit/{what}/{process}", _SAY_AFTER)
        except RuntimeError as error:
            if "DEADLINE_EXCEEDED" not in str(error):
                raise UserError(
                    f"distribution: process {process} cannot be asked ({_line(error)}). Start all "
                    "of them again."
                ) from error
            if not said:
                say(f"waiting for process {process}, which has not {doing}")
            said = True


def _message(differing: dict[str, dict[int, str]]) -> str:
    told = []
    for name, values in list(differing.items())[:_SHOWN]:
        listed = ", ".join(f"process {i}: {text[:256]}" for i, text in sorted(values.items())[:8])
        told.append(f"{name} ({listed})")
    more = f" and {len(differing) - _SHOWN} more" if len(differing) > _SHOWN else ""
    return (
        f"distribution: the processes differ in {', in '.join(told)}{more}. Start all of them with "
        "the same software, recipe, data and run folder."
    )


def _line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "")[:200]
