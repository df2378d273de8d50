# SPDX-License-Identifier: MIT
"""Whether the processes of a run have the same plan."""

import hashlib
import json
from typing import Any

from keras_vit import recipes
from keras_vit.data.checks.fingerprint import fingerprint
from keras_vit.training.agreement import check_agreement
from keras_vit.training.plan import Plan


def check_same_run(plan: Plan, step: int) -> None:
    """Raises a `UserError` where another process of the run would train something else.

    Args:
        plan: of this process.
        step: after which it goes on.
    """
    if plan.engine.cluster.count == 1:
        return
    fields = _flat(recipes.to_dict(plan.recipe))
    facts = {
        "the run folder": str(plan.run.path.resolve()),
        **{f"the recipe's {name}": value for name, value in fields.items()},
        "the data": _digest(fingerprint(plan.images)),
        "the step to go on from": str(step),
    }
    check_agreement("run", facts, plan.engine.cluster)


def _flat(values: dict, prefix: str = "") -> dict[str, str]:
    """The fields of a recipe as `--set` names them."""
    found: dict[str, str] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            found |= _flat(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = str(value)
    return found


def _digest(plain: Any) -> str:
    return hashlib.sha256(json.dumps(plain, sort_keys=True, default=str).encode()).hexdigest()[:12]
