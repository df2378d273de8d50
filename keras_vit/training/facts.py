# SPDX-License-Identifier: MIT
"""What a finished run knows, for the rules that say what to do next."""

from typing import Any

import numpy as np

from keras_vit.advice import RunFacts
from keras_vit.data import ImageSet
from keras_vit.data.holding_out import FOR_VALIDATION
from keras_vit.hardware import usable_cores
from keras_vit.training.distribution import has_gpu
from keras_vit.training.history import read_history
from keras_vit.training.plan import Plan


def facts_of(plan: Plan, report: dict[str, Any]) -> RunFacts:
    """The facts of a run.

    Args:
        plan: of the run, whose training is over.
        report: what `report.json` will have.
    """
    images, tested = plan.images, report.get("per_class", [])
    log = plan.run.history_file  # somebody may have cleared it away before the run was resumed
    return RunFacts(
        folder=str(plan.run.path),
        recipe=plan.recipe,
        classes=images.classes,
        train_counts=_counts(images),
        validation=len(images.validation),
        held_out=any(FOR_VALIDATION in note for note in images.notes),
        history=tuple(read_history(log)) if log.exists() else (),
        best_epoch=report["best_epoch"],
        top1=report.get("top1"),
        shown=tuple(row["images"] for row in tested),
        right=tuple(row["right"] for row in tested),
        exports=tuple(report["exports"]),
        misleading=_misleading(plan),
        in_memory=plan.in_memory,
        cores=usable_cores(),
        gpu=has_gpu(),
    )


def _counts(images: ImageSet) -> tuple[int, ...]:
    """Training images of each class."""
    labels, classes = images.train.labels, len(images.classes)
    several = labels.ndim == 2
    counts = labels.sum(0, dtype="int64") if several else np.bincount(labels, minlength=classes)
    return tuple(counts.tolist()) if classes else ()


def _misleading(plan: Plan) -> tuple[str, ...]:
    """What the audit of the files found that makes results look other than they are."""
    if plan.audit is None:
        return ()
    return tuple(finding.text for finding in plan.audit.findings if finding.misleads)
