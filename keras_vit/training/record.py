# SPDX-License-Identifier: MIT
"""What a run writes down of itself before its first step, and holds on to when it goes on."""

import json
import shlex
import sys
from pathlib import Path

from keras_vit import hardware
from keras_vit.data.checks.fingerprint import changes_since, fingerprint
from keras_vit.errors import UserError
from keras_vit.files import remove, write_text
from keras_vit.run_folder import EXPORT_NAMES, RunFolder
from keras_vit.training.checkpoints import Checkpoint
from keras_vit.training.objectives.base import metadata_for
from keras_vit.training.plan import Plan
from keras_vit.training.trained_part import parameters_text
from keras_vit.untrusted.text import visible


def write_record(plan: Plan) -> None:
    """Writes what is needed to repeat the run; the recipe last, which makes the folder a run."""
    run, images = plan.run, plan.images
    write_text(run.command_file, shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]) + "\n")
    write_text(run.environment_file, json.dumps(hardware.environment(), indent=2) + "\n")
    write_text(run.labels_file, "".join(f"{name}\n" for name in images.classes))
    origins = plan.weights.origins if plan.weights else ()
    write_text(run.metadata_file, metadata_for(plan.recipe, images, origins).to_json())
    run.write_data_records(images, plan.audit)
    run.write_recipe(plan.recipe)


def check_same_data(plan: Plan) -> None:
    """Raises a `UserError` when the images are not those that the run began with."""
    changed = changes_since(plan.run.fingerprint_file, fingerprint(plan.images))
    if changed:
        listed = "".join(f"\n  {line}" for line in changed)
        raise UserError(
            f"{plan.images.name}: the data are not those that {plan.run.path} began with:{listed}\n"
            "Put them back as they were to resume, or start a new run."
        )


def remove_leftovers(run: RunFolder) -> None:
    """Removes what a killed process left half-written, and its exports, which are made again."""
    folder = run.exports_folder
    exports = [folder / name for name in EXPORT_NAMES.values()]
    rejected = [path.with_name(f"{path.name}.rejected") for path in exports]
    scratch = [*run.path.glob(".*.tmp"), *folder.glob(".*.tmp"), *folder.glob(".checking-*")]
    for path in [*scratch, *exports, *rejected]:
        remove(path)


def say_beginning(plan: Plan) -> None:
    """Says on standard error what will be trained."""
    images, recipe = plan.images, plan.recipe
    classes = f"{len(images.classes)} classes, " if images.classes else ""
    print(
        f"{images.name}: {classes}{len(images.train):,} images to train, "
        f"{len(images.validation):,} to validate, {len(images.test):,} to test\n"
        f"{recipe.name}: {parameters_text(recipe)}, {recipe.epochs} epochs of "
        f"{plan.steps_per_epoch} steps, {plan.precision}{_devices(plan)}\n"
        f"run folder: {plan.run.path}",
        file=sys.stderr,
    )
    for note in images.notes:
        print(f"note: {visible(note)}", file=sys.stderr)


def _devices(plan: Plan) -> str:
    return f", {plan.engine.text}" if plan.engine.text else ""


def say_continuation(plan: Plan, start: Checkpoint | None) -> None:
    """Says on standard error where a run goes on, and whether on another machine."""
    here, there = hardware.environment(), plan.run.environment
    for what in ("packages", "cpu", "keras_backend"):
        if here[what] != there.get(what):
            print(
                f"note: {what} differ from those that the run began with "
                f"({plan.run.environment_file.name}): the result may differ in its last digits",
                file=sys.stderr,
            )
    if start is None:
        where = "has no checkpoint yet and starts again"
    elif is_trained(plan, start):
        where = "is trained; what is left are its test and exports"
    else:
        where = f"goes on after step {start.step:,} of {plan.steps:,}"
    print(f"{plan.run.path}: {where}", file=sys.stderr)


def is_trained(plan: Plan, start: Checkpoint | None) -> bool:
    """Whether nothing is left to train, also of what an extension added."""
    return start is not None and start.trained and start.step >= plan.steps
