# SPDX-License-Identifier: MIT
"""`train`: a recipe becomes a run folder with a trained model in it; `resume` goes on with one."""

import dataclasses
import os
import re
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np

from keras_vit import recipes
from keras_vit.advice import advise
from keras_vit.data import ImageSet
from keras_vit.data.dataset import Split
from keras_vit.data.sources.resolve import check_source
from keras_vit.errors import UserError
from keras_vit.files import check_own, next_run_folder
from keras_vit.models.keras_file import load_keras
from keras_vit.origins import origins_of
from keras_vit.recipes import Recipe
from keras_vit.run_folder import RunFolder
from keras_vit.training import record
from keras_vit.training.best_weights import SaveBest
from keras_vit.training.callbacks import save_best
from keras_vit.training.checkpoints import Checkpoint, Checkpoints, Unwritten, check_progress
from keras_vit.training.cluster import cluster_of
from keras_vit.training.exceptions import resume_command
from keras_vit.training.facts import facts_of
from keras_vit.training.fit import first_batch, fit
from keras_vit.training.inputs import check_workdir
from keras_vit.training.objectives import objective_of
from keras_vit.training.options import RunOptions
from keras_vit.training.plan import Plan, make_plan
from keras_vit.training.same_run import check_same_run
from keras_vit.training.trained_part import count_trained


class Answered(NamedTuple):
    """Test images, and what the model of a run made of them: logits, float32 `(n, classes)`."""

    images: Split
    logits: np.ndarray


@dataclasses.dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        workdir: its folder.
        recipe: what was trained, with the number of classes filled in.
        model: the weights of the best epoch, float32.
        report: the results, as the run folder has them.
        answered: what the results were computed from; None of a run that was finished before, and
            of one without classes.
    """

    workdir: Path
    recipe: Recipe
    model: keras.Model
    report: dict
    answered: Answered | None = None

    @property
    def ok(self) -> bool:
        """Whether every export agrees with the model."""
        return all(export["ok"] for export in self.report["exports"])


def train(
    recipe: Recipe | str | os.PathLike,
    workdir: str | os.PathLike | None = None,
    data: ImageSet | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    options: RunOptions | None = None,
) -> Run:
    """Trains through `model.fit`, keeps the best epoch, tests it, exports it and checks the
    exports.

    Args:
        recipe: what to train; or where its images are, as `keras-vit train` takes it: a folder, an
            archive, a table, `"tfds:NAME"` ..., which is trained with the recipe that the command
            would choose.
        workdir: the run folder, new or empty; None takes the next free `runs/NAME-N`,
            NAME being that of the data.
        data: images in memory (see `keras_vit.data.from_arrays`) instead of `recipe.data.source`.
        callbacks: further Keras callbacks, called after those that log and before those that write
            checkpoints. With methods `get_state()` (plain data) and `set_state(state)`, what they
            remember survives a stop.
        options: checkpoints, time limit and further logs.

    Returns:
        The run; its folder holds `recipe.json`, `command.txt`, `env.json`, `labels.txt`,
        `metadata.json`, `split.csv`, `data_index.json.gz` (what the data were), `history.csv`,
        `curves.png`, `model.keras`, `checkpoints/`, `report.json` and `export/`; of image
        files `audit.json`, and `bad_files.txt` where some were left out.

    Raises:
        UserError: for data or a folder that cannot be used.
        NonFiniteLoss: when the loss is NaN or infinite; what was saved before stays.
        Stopped: after SIGINT, SIGTERM or `options.max_time`, when a checkpoint has been written.
        WriteFailed: when the disk is full; the checkpoints stay as they were.
    """
    if not isinstance(recipe, Recipe):
        recipe = _recipe_for(os.fspath(recipe), data)
    check_workdir(recipe, workdir)
    plan = make_plan(recipe, workdir, data, options)
    check_same_run(plan, 0)
    if not plan.engine.leads:
        return _follow(plan, None, callbacks)
    if workdir is None:
        folder = next_run_folder("runs", run_name(plan.images.name))
        plan = dataclasses.replace(plan, run=RunFolder(folder))
    checkpoints = Checkpoints(plan.run.checkpoints_folder, plan.options.keep_checkpoints)
    with checkpoints.locked():
        record.write_record(plan)
        record.say_beginning(plan)
        _draw_samples(plan)
        return _finish(plan, checkpoints, fit(plan, checkpoints, None, callbacks))


def resume(
    workdir: str | os.PathLike | RunFolder,
    data: ImageSet | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    options: RunOptions | None = None,
    extend: int = 0,
) -> Run:
    """Goes on with a run that was stopped, killed or broke off, from its newest good checkpoint.

    On the same machine with the same software the result is, bit for bit, that of a run that was
    never stopped.

    Args:
        workdir: its folder, or the run that was opened there.
        data: the images, for a run that was given them in memory.
        callbacks: as they were given to `train`.
        options: may differ from those of `train`.
        extend: epochs to add to a finished run. The schedule of its recipe begins again over them
            (a warm restart), the moments of the optimizer go on, and the best epoch of all is kept.
            The recipe of the run says so, and a later `resume` goes on with them.

    Returns:
        See `train`. A run that is finished already is only read.

    Raises:
        UserError: for a folder that is no run, and for data that have changed.
        NonFiniteLoss, Stopped, WriteFailed: see `train`.
    """
    run = RunFolder.open(workdir)
    if extend and run.recipe.distribution != "none" and cluster_of().count > 1:
        raise UserError("--extend: expected one process, which the run then goes on with.")
    if extend:
        _extend(run, extend)
    if run.finished:
        print(f"{run.path} is finished: nothing is left to do", file=sys.stderr)
        return Run(run.path, run.recipe, load_keras(run.model_file), run.report)
    for own in (run.checkpoints_folder, run.exports_folder, run.tensorboard_folder):
        check_own(own)
    plan = make_plan(run.recipe, run.path, data, options, new=False)
    if not plan.engine.leads:
        start = Checkpoints(run.checkpoints_folder).load_newest()
        check_same_run(plan, start.step if start else 0)
        return _follow(plan, start, callbacks)
    checkpoints = Checkpoints(run.checkpoints_folder, plan.options.keep_checkpoints)
    with checkpoints.locked():
        record.remove_leftovers(run)
        checkpoints.remove_leftovers()
        record.check_same_data(plan)
        return _go_on(plan, checkpoints, callbacks)


def _go_on(
    plan: Plan, checkpoints: Checkpoints, callbacks: Sequence[keras.callbacks.Callback]
) -> Run:
    """Carries out what the newest good checkpoint leaves to do."""
    start = checkpoints.load_newest()
    check_same_run(plan, start.step if start else 0)
    if start is not None:
        check_progress(start, checkpoints.folder)
        plan = dataclasses.replace(plan, precision=start.progress["precision"])
    record.say_continuation(plan, start)
    if record.is_trained(plan, start):
        best = save_best(plan)
        best.set_state(start.progress["callbacks"]["SaveBest"])
    else:
        best = fit(plan, checkpoints, start, callbacks)
    return _finish(plan, checkpoints, best)


def _follow(
    plan: Plan, start: Checkpoint | None, callbacks: Sequence[keras.callbacks.Callback]
) -> Run:
    """Trains with process 0, which alone writes: what this one would is thrown away."""
    if start is not None:
        plan = dataclasses.replace(plan, precision=start.progress["precision"])
    with tempfile.TemporaryDirectory() as scratch:
        never = dataclasses.replace(plan.options, checkpoint_minutes=None, checkpoint_steps=2**62)
        own = dataclasses.replace(plan, run=RunFolder(Path(scratch)), options=never, deadline=None)
        if not record.is_trained(plan, start):
            fit(own, Unwritten(plan.run.checkpoints_folder), start, callbacks)
    report = {"exports": [], "process": plan.engine.cluster.index}
    return Run(plan.run.path, plan.recipe, load_keras(plan.run.model_file), report)


def _recipe_for(source: str, data: ImageSet | None) -> Recipe:
    """The recipe that `keras-vit train SOURCE` takes."""
    if data is not None:
        raise UserError(
            f"data: does not go with {source!r}, which says where the images are. Give a recipe, "
            "as keras_vit.recipes.get('finetune')."
        )
    check_source(source, None)
    recipe = recipes.get(recipes.default_for(source))
    return dataclasses.replace(recipe, data=dataclasses.replace(recipe.data, source=source))


def run_name(source: str) -> str:
    """What a run on these data is called: "photos" of `photos/`, `photos.zip` or `hf:me/photos`."""
    last = Path(source.partition(":")[2] or source).resolve().name.split(".")[0]
    return re.sub(r"[^\w-]+", "_", last).strip("_")[:60] or "run"


def _draw_samples(plan: Plan) -> None:
    """Draws the images of the first step, where somebody was given who draws."""
    draw = plan.options.draw_samples
    if draw is not None:
        draw(plan.run.samples_picture, *first_batch(plan), plan.images.classes)


def _extend(run: RunFolder, epochs: int) -> None:
    """Makes a finished run one that has epochs left."""
    folder, recipe = run.path, run.recipe
    if not run.finished:
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
    if Checkpoints(run.checkpoints_folder).newest() is None:
        raise UserError(f"--extend: {folder} has no checkpoint to go on from.")
    for outdated in (run.report_file, run.report_page, run.report_html, run.card):
        outdated.unlink(missing_ok=True)
    run.write_recipe(longer)


def _finish(plan: Plan, checkpoints: Checkpoints, best: SaveBest) -> Run:
    """Tests and exports the best weights, and writes the report, which makes a run finished."""
    trained = load_keras(best.path)
    try:
        objective = objective_of(plan.recipe)
        found, logits = objective.finish(trained, plan.recipe, plan.images, plan.run)
    except UserError as error:
        raise UserError(
            f"{error}\nThe model is trained. Once this is repaired, continue with: "
            f"{resume_command(plan.run.path)}"
        ) from error
    report = {**_facts(plan, best), **found}
    if origins := origins_of(trained):
        report["origins"] = [dataclasses.asdict(origin) for origin in origins]
    report["next"] = [dataclasses.asdict(advice) for advice in advise(facts_of(plan, report))]
    plan.run.write_report(report)
    checkpoints.prune(1)
    answered = None if logits is None else Answered(plan.images.test, logits)
    return Run(plan.run.path, plan.recipe, trained, report, answered)


def _facts(plan: Plan, best: SaveBest) -> dict:
    """What the report says of every run."""
    images = plan.images
    *accuracy, loss = best.best
    return {
        "objective": plan.recipe.objective.kind,
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
        "parameters": plan.recipe.model.num_parameters,
        "trained_parameters": count_trained(plan.recipe),
        "precision": plan.precision,
    }
