# SPDX-License-Identifier: MIT
"""What the tables of this folder share: folders of links, runs of `keras-vit train`, and rows.

Every row is one `keras-vit train` in a process of its own. Its CPU minutes are those of that whole
process and its children: imports, tracing and compilation, validation, test and checked exports.
"""

import argparse
import csv
import dataclasses
import json
import os
import subprocess
from collections.abc import Iterable
from pathlib import Path

from keras_vit import recipes
from keras_vit.evaluation import wilson_interval
from keras_vit.files import write_text
from keras_vit.processes import python_command
from keras_vit.run_folder import RunFolder

_COST = "cost.json"
_ROW = "{:<40}{:>7}{:>9}{:>9}   {:<24}{}"


@dataclasses.dataclass(frozen=True)
class Result:
    """A finished run.

    Attributes:
        folder: its run folder.
        epochs: how many it made.
        own: CPU seconds of the run.
        total: CPU seconds of the run and of those that it started from.
    """

    folder: Path
    epochs: int
    own: float
    total: float


def make_parser(doc: str, images: int, test: int, epochs: int) -> argparse.ArgumentParser:
    """The flags of every table, with the defaults of one."""
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="folder: train/CLASS/*.jpg and test/CLASS/*.jpg")
    parser.add_argument(
        "--images", type=int, default=images, help=f"labelled, of each class; default: {images}"
    )
    parser.add_argument(
        "--test", type=int, default=test, help=f"test images of each class; default: {test}"
    )
    parser.add_argument("--epochs", type=int, default=epochs, help=f"default: {epochs}")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--out", type=Path, required=True, help="folder for the runs; those that are there are read"
    )
    return parser


def classes_of(data: Path) -> list[str]:
    """Names of the classes, in order."""
    return sorted(place.name for place in (data / "train").iterdir() if place.is_dir())


def link(
    flags: argparse.Namespace,
    name: str,
    images: int,
    classes: Iterable[str],
    start: int = 0,
    test: str = "test",
) -> Path:
    """A folder of links to images of some classes: of train by name from `start` on, and of test.

    Args:
        flags: of `make_parser`.
        name: of the folder, to which the numbers of images are added.
        images: to train on, of each class.
        classes: which.
        start: how many images of train are passed over.
        test: the split that is tested on; of "train", the images after those that are trained on.
    """
    folder = flags.out / f"{name}-{images}-{flags.test}"
    after = start + images if test == "train" else 0
    parts = (("train", "train", start, images), ("test", test, after, flags.test))
    for split, source, first, count in parts:
        for place in classes:
            files = sorted((flags.data.resolve() / source / place).glob("*.jpg"))
            if len(files) < first + count:
                raise SystemExit(f"{flags.data / source / place}: fewer than {first + count} *.jpg")
            (folder / split / place).mkdir(parents=True, exist_ok=True)
            for file in files[first : first + count]:
                link = folder / split / place / file.name
                if not link.is_symlink():
                    link.symlink_to(file)
    return folder


class Table:
    """Trains, and prints a row for each run as it ends.

    Args:
        folder: where the run folders go.
        seed: of every run.
    """

    def __init__(self, folder: Path, seed: int):
        self.folder = folder
        self.seed = seed
        folder.mkdir(parents=True, exist_ok=True)
        head = ("run", "epochs", "CPU-min", "in all", "test top-1 (95 %)", "training loss")
        print(_ROW.format(*head), flush=True)

    def train(
        self,
        name: str,
        data: Path,
        recipe: str,
        epochs: int,
        changes: dict,
        init: Result | None = None,
        teacher: Result | None = None,
        config: Path | None = None,
    ) -> Result:
        """Trains with `--set` for each of the changes, or reads the run if it is there already.

        Args:
            name: of the row and, with hyphens, of the run folder.
            data: folder of images.
            recipe: its name.
            epochs: passes over the training split.
            changes: values by field of the recipe.
            init: the run that it starts from.
            teacher: the run that it learns from.
            config: file for `--config`.
        """
        folder = self.folder / "".join(c if c.isalnum() else "-" for c in name)
        changes = {"epochs": epochs, "seed": self.seed, **changes}
        if teacher:
            changes["objective.teacher"] = teacher.folder
        arguments = ["train", data, "--recipe", recipe, "--workdir", folder]
        arguments += ["--init", init.folder] if init else []
        arguments += ["--config", config] if config else []
        for field, value in changes.items():
            arguments += ["--set", f"{field}={value}"]
        own = _run([str(argument) for argument in arguments], folder)
        before = sum(run.total for run in (init, teacher) if run)
        result = Result(folder, epochs, own, before + own)
        print(_row(name, result), flush=True)
        return result


def write_model(path: Path, like: Result, **changes) -> Path:
    """Writes the model of a run, with changes, as a file for `--config`."""
    recipe = recipes.to_dict(RunFolder.open(like.folder).recipe)
    write_text(path, json.dumps({"model": {**recipe["model"], **changes}}, indent=2))
    return path


def epochs_for(seconds: float, one: Result, several: Result) -> int:
    """Epochs that take so many CPU seconds, by a run of one epoch and a run of several."""
    each = (several.own - one.own) / (several.epochs - one.epochs)
    each = max(each, one.own / 200)  # less drowns in what the start of a run varies by
    return max(1, round(one.epochs + (seconds - one.own) / each))


def _run(arguments: list[str], folder: Path) -> float:
    """CPU seconds of `keras-vit` with these arguments, now or when it ran."""
    cost = folder / _COST
    if cost.exists():
        told = json.loads(cost.read_text("utf-8"))
        if told["arguments"] == arguments:
            return told["cpu_seconds"]
    log = folder.with_name(f"{folder.name}.log")
    with log.open("w", encoding="utf-8") as output:
        command = python_command("keras_vit.apps", *map(str, arguments))
        process = subprocess.Popen(command, stdout=output, stderr=output)
        _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"failed: keras-vit {' '.join(arguments)}\n{log.read_text('utf-8')}")
    seconds = usage.ru_utime + usage.ru_stime
    write_text(cost, json.dumps({"arguments": arguments, "cpu_seconds": seconds}, indent=2))
    return seconds


def _row(name: str, result: Result) -> str:
    run = RunFolder(result.folder)
    report = json.loads(run.report_file.read_text("utf-8"))
    with run.history_file.open(encoding="utf-8", newline="") as file:
        losses = [float(row["loss"]) for row in csv.DictReader(file)]
    if len(losses) > 1 and not losses[-1] < losses[0]:
        raise SystemExit(f"{name}: the training loss does not fall: {losses[0]} to {losses[-1]}")
    scored = "-"
    if "top1" in report:
        low, high = wilson_interval(report["top1"], report["data"]["test"])
        scored = f"{100 * report['top1']:.1f} %  ({100 * low:.1f} to {100 * high:.1f})"
    minutes = (f"{seconds / 60:.2f}" for seconds in (result.own, result.total))
    fall = f"{losses[0]:.3f} to {losses[-1]:.3f}"
    return _ROW.format(name, result.epochs, *minutes, scored, fall)
