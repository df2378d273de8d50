# SPDX-License-Identifier: MIT
"""`train`: a recipe becomes a run folder with a trained model in it; `resume` goes on with one."""

import dataclasses
import json
import os
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import keras

from keras_vit import hardware, recipes
from keras_vit.data import ImageSet
from keras_vit.data.checks.fingerprint import changes_since, fingerprint
from keras_vit.data.sources.resolve import check_source
from keras_vit.deploy.candidates import FORMATS
from keras_vit.errors import UserError
from keras_vit.files import check_free, check_own, next_run_folder, remove, write_text
from keras_vit.models.keras_file import load_keras
from keras_vit.recipes import Recipe
from keras_vit.run_folder import RunFolder
from keras_vit.training.callbacks import SaveBest
from keras_vit.training.checkpoints import Checkpoint, Checkpoints, check_progress
from keras_vit.training.exceptions import resume_command
from keras_vit.training.loop import Job, first_batch, fit, make_job
from keras_vit.training.session import Session
from keras_vit.training.starting import check_view
from keras_vit.training.tasks import metadata_of
from keras_vit.untrusted.text import visible


@dataclasses.dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        workdir: its folder.
        recipe: what was trained, with the number of classes filled in.
        model: the weights of the best epoch, float32.
        report: the contents of `report.json`.
    """

    workdir: Path
    recipe: Recipe
    model: keras.Model
    report: dict

    @property
    def ok(self) -> bool:
        """Whether every export agrees with the model."""
        return all(export["ok"] for export in self.report["exports"])


def train(
    recipe: Recipe | str | os.PathLike,
    workdir: str | os.PathLike | None = None,
    data: ImageSet | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    session: Session | None = None,
) -> Run:
    """Trains through `model.fit`, keeps the best epoch, tests it, exports it and checks the
    exports.

    Args:
        recipe: what to train; or where its images are, as `keras-vit train` takes it: a folder, an
            archive, a table, `"tfds:NAME"` ..., which is trained with the recipe that the command
            would choose.
        workdir: the run folder, new or empty; None takes the next free `runs/NAME-N`,
            NAME being that of the data.
        data: images in memory (see `keras_vit.data.from_arrays`) in place of `recipe.data.source`.
        callbacks: further Keras callbacks, called after those that log and before those that write
            checkpoints. With methods `get_state()` (plain data) and `set_state(state)`, what they
            remember survives a stop.
        session: checkpoints, time limit and further logs.

    Returns:
        The run; its folder holds `recipe.json`, `command.txt`, `env.json`, `labels.txt`,
        `metadata.json`, `split.csv`, `data_index.json.gz` (what the data were), `history.csv`,
        `curves.png`, `model.keras`, `checkpoints/`, `report.json` and `export/`; of image
        files `audit.json`, and `bad_files.txt` where some were left out.

    Raises:
        UserError: for data or a folder that cannot be used.
        NonFiniteLoss: when the loss is NaN or infinite; what was saved before stays.
        Stopped: after SIGINT, SIGTERM or `session.max_time`, when a checkpoint has been written.
        WriteFailed: when the disk is full; the checkpoints stay as they were.
    """
    if not isinstance(recipe, Recipe):
        recipe = _recipe_for(os.fspath(recipe), data)
    if workdir is not None:
        check_free(workdir, "--workdir")
    job = make_job(recipe, workdir, data, callbacks, session)
    if recipe.model is not None:
        check_view(job.recipe, job.images, job.session.intended)
    if workdir is None:
        folder = next_run_folder("runs", run_name(job.images.name))
        job = dataclasses.replace(job, folder=folder)
    job.folder.mkdir(parents=True, exist_ok=True)
    with job.checkpoints.locked():
        _describe(job)
        _say_plan(job)
        if job.session.draw_samples is not None:
            job.session.draw_samples(
                job.folder / "samples.jpg", *first_batch(job), job.images.classes
            )
        return _carry_out(job, None)


def _recipe_for(source: str, data: ImageSet | None) -> Recipe:
    if data is not None:
        raise UserError(
            f"data: does not go with {source!r}, which says where the images are. Give a recipe, "
            "as keras_vit.recipes.get('finetune')."
        )
    check_source(source, None)
    recipe = recipes.get(recipes.default_for(source))
    return dataclasses.replace(recipe, data=dataclasses.replace(recipe.data, source=source))


def resume(
    workdir: str | os.PathLike,
    data: ImageSet | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    session: Session | None = None,
    extend: int = 0,
) -> Run:
    """Goes on with a run that was stopped, killed or broke off, from its newest good checkpoint.

    On the same machine with the same software the result is, bit for bit, that of a run that was
    never stopped.

    Args:
        workdir: its folder.
        data: the images, for a run that was given them in memory.
        callbacks: as they were given to `train`.
        session: may differ from that of `train`.
        extend: epochs to add to a finished run. The schedule of its recipe begins again over them
            (a warm restart), the moments of the optimizer go on, and the best epoch of all is kept.
            The recipe of the run says so, and a later `resume` goes on with them.

    Returns:
        See `train`. A run that is finished already is only read.

    Raises:
        UserError: for a folder that is no run, and for data that have changed.
        NonFiniteLoss, Stopped, WriteFailed: see `train`.
    """
    folder = Path(workdir)
    kept = RunFolder.open(folder)
    recipe = kept.recipe
    if extend:
        recipe = _extended(folder, recipe, extend)
    if os.path.lexists(folder / "report.json"):
        print(f"{folder} is finished: nothing is left to do", file=sys.stderr)
        model = load_keras(folder / "model.keras")
        return Run(folder, recipe, model, kept.report)
    for own in ("checkpoints", "export", "tensorboard"):
        check_own(folder / own)
    job = make_job(recipe, folder, data, callbacks, session)
    with job.checkpoints.locked():
        _remove_leftovers(folder)
        job.checkpoints.remove_leftovers()
        _check_data(job)
        start = job.checkpoints.load_newest()
        if start is not None:
            check_progress(start, job.checkpoints.folder)
            job = dataclasses.replace(job, precision=start.progress["precision"])
        _say_continuation(job, start)
        return _carry_out(job, start)


def _extended(folder: Path, recipe: Recipe, epochs: int) -> Recipe:
    """Makes a finished run one that has epochs left; returns its new recipe."""
    if not os.path.lexists(folder / "report.json"):
        raise UserError(f"--extend: {folder} is not finished. First: {resume_command(folder)}")
    if recipe.optimizer.ema is not None:
        raise UserError(
            f"--extend: {folder} ended with the average of its weights, not with the weights. "
            f"Start a new run with --init {folder}."
        )
    longer = dataclasses.replace(
        recipe,
        epochs=recipe.epochs + epochs,
        steps=None,
        extensions=(*recipe.extensions, epochs),
    )
    if Checkpoints(folder / "checkpoints").newest() is None:
        raise UserError(f"--extend: {folder} has no checkpoint to go on from.")
    for name in ("report.json", "report.md"):
        (folder / name).unlink(missing_ok=True)
    write_text(folder / "recipe.json", json.dumps(recipes.to_dict(longer), indent=2) + "\n")
    return longer


def _is_trained(job: Job, start: Checkpoint | None) -> bool:
    """Whether nothing is left to train, also of what an extension added."""
    return start is not None and start.trained and start.step >= job.steps


def run_name(source: str) -> str:
    """What a run on these data is called: "photos" of `photos/`, `photos.zip` or `hf:me/photos`."""
    last = Path(source.partition(":")[2] or source).resolve().name.split(".")[0]
    return re.sub(r"[^\w-]+", "_", last).strip("_")[:60] or "run"


def _say_plan(job: Job) -> None:
    """Says on standard error what will be trained."""
    images, recipe = job.images, job.recipe
    classes = f"{len(images.classes)} classes, " if images.classes else ""
    print(
        f"{images.name}: {classes}{len(images.train):,} images to train, "
        f"{len(images.validation):,} to validate, {len(images.test):,} to test\n"
        f"{recipe.name}: {recipe.model.num_parameters:,} parameters, {recipe.epochs} epochs of "
        f"{job.steps_per_epoch} steps, {job.precision}\n"
        f"run folder: {job.folder}",
        file=sys.stderr,
    )
    for note in images.notes:
        print(f"note: {visible(note)}", file=sys.stderr)


def _carry_out(job: Job, start: Checkpoint | None) -> Run:
    """Trains what is left to train, then tests and exports."""
    if _is_trained(job, start):
        best = job.best
        best.set_state(start.progress["callbacks"]["SaveBest"])
    else:
        best = fit(job, start)
    trained = load_keras(best.path)
    try:
        found = job.task.deliver(trained, job)
    except UserError as error:
        raise UserError(
            f"{error}\nThe model is trained. Once this is repaired, continue with: "
            f"{resume_command(job.folder)}"
        ) from error
    report = {**_facts(job, best), **found}
    write_text(job.folder / "report.json", json.dumps(report, indent=2) + "\n")
    job.checkpoints.prune(1)
    return Run(job.folder, job.recipe, trained, report)


def _facts(job: Job, best: SaveBest) -> dict:
    """What the report says of every run."""
    images, *accuracy, loss = job.images, *best.best
    return {
        "objective": job.recipe.objective.kind,
        "best_epoch": best.epoch + 1,
        "validation_loss": -loss,
        f"validation_{'map' if images.task == 'multi' else 'top1'}": accuracy[0]
        if accuracy
        else None,
        "data": {
            "source": images.name,
            "classes": len(images.classes),
            "train": len(images.train),
            "validation": len(images.validation),
            "test": len(images.test),
            "notes": list(images.notes),
        },
        "parameters": job.recipe.model.num_parameters,
        "precision": job.precision,
    }


def _describe(job: Job) -> None:
    """Writes what is needed to repeat the run; the recipe last, which makes the folder a run."""
    run, images = RunFolder(job.folder), job.images
    write_text(run.command_file, shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]) + "\n")
    write_text(run.environment_file, json.dumps(hardware.environment(), indent=2) + "\n")
    write_text(run.labels_file, "".join(f"{name}\n" for name in images.classes))
    write_text(run.metadata_file, metadata_of(job.recipe, images).to_json())
    run.write_data_records(images)
    run.write_recipe(job.recipe)


def _check_data(job: Job) -> None:
    kept = RunFolder(job.folder).fingerprint_file
    changed = changes_since(kept, fingerprint(job.images))
    if changed:
        listed = "".join(f"\n  {line}" for line in changed)
        raise UserError(
            f"{job.images.name}: the data are not those that {job.folder} began with:{listed}\n"
            "Put them back as they were to resume, or start a new run."
        )


def _say_continuation(job: Job, start: Checkpoint | None) -> None:
    here, there = hardware.environment(), RunFolder(job.folder).environment
    for what in ("packages", "cpu", "keras_backend"):
        if here[what] != there.get(what):
            print(
                f"note: {what} differ from those that the run began with (env.json): the result "
                "may differ in its last digits",
                file=sys.stderr,
            )
    if start is None:
        where = "has no checkpoint yet and starts again"
    elif _is_trained(job, start):
        where = "is trained; what is left are its test and exports"
    else:
        where = f"goes on after step {start.step:,} of {job.steps:,}"
    print(f"{job.folder}: {where}", file=sys.stderr)


def _remove_leftovers(folder: Path) -> None:
    """Removes what a killed process left half-written, and its exports, which are made again."""
    exports = [folder / "export" / name for name in FORMATS.values()]
    rejected = [path.with_name(f"{path.name}.rejected") for path in exports]
    scratch = [*folder.glob(".*.tmp"), *folder.glob("export/.*.tmp")]
    scratch += folder.glob("export/.checking-*")
    for path in [*scratch, *exports, *rejected]:
        remove(path)
