# SPDX-License-Identifier: MIT
"""`train`: a recipe becomes a run folder with a trained model in it."""

import contextlib
import dataclasses
import json
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import keras

from keras_vit import hardware, recipes
from keras_vit.data import ImageSet, evaluation_batches, load, training_batches
from keras_vit.data.examine import broken_message, problems_of
from keras_vit.data.images import split_batches
from keras_vit.data.splits import write_records
from keras_vit.errors import UserError
from keras_vit.export import Metadata
from keras_vit.files import check_free, next_run_folder, replacing, write_text
from keras_vit.models import config_of, vit
from keras_vit.recipes import Recipe
from keras_vit.training.callbacks import (
    EpochLines,
    History,
    SaveBest,
    StopOnNonFinite,
    StopOnSignal,
)
from keras_vit.training.delivery import export_and_check
from keras_vit.training.objectives import check_task, make_loss, make_metrics
from keras_vit.training.optimizers import make_optimizer
from keras_vit.training.precision import choose_precision
from keras_vit.training.schedules import make_schedule


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
    recipe: Recipe,
    workdir: str | os.PathLike | None = None,
    data: ImageSet | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> Run:
    """Trains through `model.fit`, keeps the best epoch, tests it, exports it and checks the
    exports.

    Args:
        recipe: what to train.
        workdir: the run folder, new or empty; None takes the next free `runs/NAME-N`.
        data: images in memory (see `keras_vit.data.from_arrays`) in place of `recipe.data.source`.
        callbacks: further Keras callbacks, called after the package's own.

    Returns:
        The run; its folder holds `recipe.json`, `command.txt`, `env.json`, `labels.txt`,
        `metadata.json`, `split.csv`, `history.csv`, `curves.png`, `model.keras`, `report.json` and
        `export/`; of image files `audit.json`, and `bad_files.txt` where some were left out.

    Raises:
        UserError: for data or a folder that cannot be used.
        NonFiniteLoss: when the loss is NaN or infinite; what was saved before stays.
        Interrupted: after SIGINT or SIGTERM, when the weights have been saved.
    """
    if workdir is not None:
        check_free(workdir, "--workdir")
    plan = recipe.data
    images = data or _load(plan)
    check_task(recipe.objective, images.task)
    config = dataclasses.replace(recipe.model, num_classes=len(images.classes))
    recipe = dataclasses.replace(recipe, model=config)

    keras.utils.set_random_seed(recipe.seed)
    policy = choose_precision(recipe.precision, config.width)
    batches, steps = training_batches(
        images.train,
        config.num_classes,
        config.image_size,
        config.channels,
        recipe.batch_size,
        recipe.epochs,
        recipe.seed,
        recipe.augmentation,
        plan.crop,
    )
    model = _compiled_model(recipe, policy, steps, images.task)

    folder = Path(workdir) if workdir is not None else next_run_folder("runs", recipe.name)
    folder.mkdir(parents=True, exist_ok=True)
    _describe(folder, recipe, images)
    _say_plan(folder, recipe, images, policy, steps)
    best = _fit(model, batches, steps, recipe, images, folder, callbacks)

    trained = keras.saving.load_model(best.path, compile=False)
    report = _test_and_export(trained, best, recipe, images, folder)
    report["precision"] = policy
    write_text(folder / "report.json", json.dumps(report, indent=2) + "\n")
    return Run(folder, recipe, trained, report)


def _compiled_model(recipe: Recipe, policy: str, steps: int, task: str) -> keras.Model:
    with _dtype_policy(policy):
        model = vit(recipe.model)
    schedule = make_schedule(recipe.schedule, recipe.optimizer.learning_rate, steps, recipe.epochs)
    model.compile(
        optimizer=make_optimizer(recipe.optimizer, schedule, model.trainable_variables),
        loss=make_loss(recipe.objective),
        metrics=make_metrics(task, recipe.model.num_classes),
        jit_compile="auto" if recipe.jit_compile is None else recipe.jit_compile,
    )
    return model


def _fit(
    model: keras.Model,
    batches,
    steps: int,
    recipe: Recipe,
    images: ImageSet,
    folder: Path,
    callbacks: Sequence[keras.callbacks.Callback],
) -> SaveBest:
    """Runs `model.fit`; returns the callback that knows the best epoch and where its weights
    are."""
    best = SaveBest(folder / "model.keras", _save_float32)
    history = History(folder, min(recipe.batch_size, len(images.train)), steps)
    stop = StopOnSignal(folder / "last.keras", _save_float32)
    # The average of the weights is swapped in first: what follows then evaluates and saves it.
    own = [keras.callbacks.SwapEMAWeights(swap_on_epoch=True)] if recipe.optimizer.ema else []
    own += [StopOnNonFinite(best), history, best, stop]
    terminal = sys.stderr.isatty()
    own += [] if terminal else [EpochLines(history)]
    try:
        with contextlib.redirect_stdout(sys.stderr):  # standard output is for results
            model.fit(
                batches,
                steps_per_epoch=steps,
                epochs=recipe.epochs,
                validation_data=_validation_batches(images, recipe),
                callbacks=[*own, *callbacks],
                shuffle=False,  # the pipeline shuffles; this only silences a warning
                verbose=1 if terminal else 0,
            )
    except Exception as error:
        _explain_decoding(error, images)
        raise
    finally:
        stop.restore()
    return best


def _test_and_export(
    model: keras.Model, best: SaveBest, recipe: Recipe, images: ImageSet, folder: Path
) -> dict:
    """Measures the model and its exports on the test split; returns the report."""
    size, channels, crop = recipe.model.image_size, recipe.model.channels, recipe.data.crop
    checked = export_and_check(
        model,
        best.path,
        _metadata(recipe, images),
        folder / "export",
        split_batches(images.test, size, channels, crop, recipe.batch_size),
        images.test.labels,
        name_of=images.test.name_of,
    )
    figures = {name: checked[name] for name in ("top1", "top5", "map") if name in checked}
    return {
        **figures,
        "best_epoch": best.epoch + 1,
        f"validation_{next(iter(figures))}": float(best.best[0]),
        "data": {
            "source": images.name,
            "classes": len(images.classes),
            "train": len(images.train),
            "validation": len(images.validation),
            "test": len(images.test),
            "notes": list(images.notes),
        },
        "parameters": recipe.model.num_parameters,
        "keras": checked["keras"],
        "exports": [{**e, "path": f"export/{e['path']}"} for e in checked["exports"]],
    }


def _load(plan: recipes.Data) -> ImageSet:
    print(f"reading {plan.source}", file=sys.stderr)  # to check many images takes a while
    return load(
        plan.source, plan.data_dir, plan.test, plan.validation, plan.split_seed, plan.on_bad
    )


def _validation_batches(images: ImageSet, recipe: Recipe):
    config = recipe.model
    return evaluation_batches(
        images.validation,
        config.num_classes,
        config.image_size,
        config.channels,
        recipe.batch_size,
        recipe.data.crop,
    )


@contextlib.contextmanager
def _dtype_policy(name: str):
    previous = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(previous)


def _save_float32(model: keras.Model, path: Path) -> None:
    """Saves the weights in a float32 model without optimizer, which is what a user shares."""
    plain = vit(config_of(model))
    plain.set_weights(model.get_weights())
    with replacing(path) as temporary:
        plain.save(temporary)


def _describe(folder: Path, recipe: Recipe, images: ImageSet) -> None:
    """Writes what is needed to repeat the run."""
    write_text(folder / "recipe.json", json.dumps(recipes.to_dict(recipe), indent=2) + "\n")
    write_text(folder / "command.txt", shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]) + "\n")
    write_text(folder / "env.json", json.dumps(hardware.environment(), indent=2) + "\n")
    write_text(folder / "labels.txt", "".join(f"{name}\n" for name in images.classes))
    write_text(folder / "metadata.json", _metadata(recipe, images).to_json())
    write_records(folder, images)
    if images.bad_files:
        write_text(folder / "bad_files.txt", "".join(f"{line}\n" for line in images.bad_files))


def _metadata(recipe: Recipe, images: ImageSet) -> Metadata:
    size, channels = recipe.model.image_size, recipe.model.channels
    return Metadata(recipe.name, images.classes, size, channels, recipe.data.crop, images.task)


def _say_plan(folder: Path, recipe: Recipe, images: ImageSet, policy: str, steps: int) -> None:
    config = recipe.model
    print(
        f"{images.name}: {len(images.classes)} classes, {len(images.train):,} images to train, "
        f"{len(images.validation):,} to validate, {len(images.test):,} to test\n"
        f"{recipe.name}: {config.num_parameters:,} parameters, {recipe.epochs} epochs of {steps} "
        f"steps, {policy}\n"
        f"run folder: {folder}",
        file=sys.stderr,
    )
    for note in images.notes:
        print(f"note: {note}", file=sys.stderr)


def _explain_decoding(error: Exception, images: ImageSet) -> None:
    """When a batch could not be made, finds the files that cannot be decoded and names them."""
    if type(error).__name__ not in ("InvalidArgumentError", "NotFoundError"):
        return
    splits = (images.train, images.validation, images.test)
    paths = {path for split in splits if split.paths is not None for path in split.paths}
    problems = problems_of(sorted(paths))
    if problems:
        raise UserError(broken_message(images.name, problems)) from error
