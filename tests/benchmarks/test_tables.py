# SPDX-License-Identifier: MIT
"""The tables of benchmarks/recipes, without their runs."""

import argparse
import dataclasses
import importlib
import json
from pathlib import Path

import pytest
from keras_vit.apps import train
from keras_vit.apps.cli import make_parser

from keras_vit import recipes

FOLDER = Path(__file__).parents[2] / "benchmarks" / "recipes"


@pytest.fixture
def tables(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("tables")


@pytest.fixture
def flags(tmp_path):
    for split, count in (("train", 5), ("test", 2)):
        for name in ("cat", "dog", "eel"):
            folder = tmp_path / "data" / split / name
            folder.mkdir(parents=True)
            for i in range(count):
                (folder / f"{i}.jpg").touch()
    return argparse.Namespace(data=tmp_path / "data", out=tmp_path / "out", test=2)


def write_run(folder, losses, seconds, *more):
    """A run that has been made, of two epochs."""
    folder.mkdir()
    rows = [f"{epoch},{loss}" for epoch, loss in enumerate(losses, start=1)]
    (folder / "history.csv").write_text("\n".join(["epoch,loss", *rows, ""]))
    (folder / "report.json").write_text(json.dumps({"top1": 0.5, "data": {"test": 200}}))
    arguments = ["train", "data", "--recipe", "digits", "--workdir", str(folder), *more]
    arguments += ["--set", "epochs=2", "--set", "seed=0", "--set", "a.b=1"]
    cost = {"arguments": arguments, "cpu_seconds": seconds}
    (folder / "cost.json").write_text(json.dumps(cost))


def test_links_are_the_images_after_the_first(tables, flags):
    folder = tables.link(flags, "two", 2, ["cat", "eel"], start=3)
    found = sorted(str(file.relative_to(folder)) for file in folder.rglob("*.jpg"))
    assert found == [
        f"{split}/{name}/{i}.jpg"
        for split, numbers in (("test", (0, 1)), ("train", (3, 4)))
        for name in ("cat", "eel")
        for i in numbers
    ]
    assert tables.link(flags, "two", 2, ["cat", "eel"], start=3) == folder  # again


def test_a_rehearsal_has_no_image_of_test(tables, flags):
    folder = tables.link(flags, "rehearsal", 2, ["cat"], start=1, test="train")
    linked = {path.name: path.resolve() for path in folder.rglob("*.jpg")}
    assert {path.parent.parent.name for path in linked.values()} == {"train"}
    assert len(linked) == 2 + flags.test


def test_too_few_images_are_named(tables, flags):
    with pytest.raises(SystemExit, match="fewer than 6"):
        tables.link(flags, "all", 6, tables.classes_of(flags.data))


def test_epochs_pay_for_seconds_without_the_start(tables):
    one, several = (tables.Result(Path(), n, 50 + 4 * n, 0) for n in (1, 12))
    assert tables.epochs_for(50 + 4 * 30, one, several) == 30
    # A start that happened to cost more than the whole run does not ask for endless epochs.
    assert tables.epochs_for(200, one, tables.Result(Path(), 12, 40, 0)) < 1000


def test_runs_that_are_there_are_read(tables, tmp_path, capsys):
    write_run(tmp_path / "label-smoothing", (2.0, 1.5), 90)
    write_run(tmp_path / "tuned", (2.0, 1.5), 30, "--init", str(tmp_path / "label-smoothing"))
    table = tables.Table(tmp_path, seed=0)
    start = table.train("label smoothing", Path("data"), "digits", 2, {"a.b": 1})
    tuned = table.train("tuned", Path("data"), "digits", 2, {"a.b": 1}, init=start)
    assert (start.own, start.total, tuned.own, tuned.total) == (90, 90, 30, 120)
    rows = capsys.readouterr().out.splitlines()[1:]
    # Wilson's interval of 100 in 200, to one digit.
    row = "label smoothing 2 1.50 1.50 50.0 % (43.1 to 56.9) 2.000 to 1.500"
    assert " ".join(rows[0].split()) == row
    assert rows[1].split()[:4] == ["tuned", "2", "0.50", "2.00"]


def test_a_loss_that_rises_is_no_row(tables, tmp_path):
    write_run(tmp_path / "base", (1.5, 2.0), 90)
    with pytest.raises(SystemExit, match="does not fall"):
        tables.Table(tmp_path, seed=0).train("base", Path("data"), "digits", 2, {"a.b": 1})


@pytest.mark.parametrize(
    ("script", "rows", "before", "after"),
    [
        ("cifar10", 16, "cifar10-seed", "half-the-rate"),
        ("settings", 8, "baseline", "mixup"),
        ("objectives", 9, "masked-autoencoder", "baseline"),
        ("transfer", 7, "nine-classes", "scratch--the-same-epochs"),
    ],
)
def test_train_accepts_every_run_of_a_table(
    tables, flags, script, rows, before, after, monkeypatch, capsys
):
    """The tables themselves, with runs that end as soon as `keras-vit train` has its recipe."""
    models = {}

    def run(arguments, folder):
        recipe = train._recipe(make_parser("train").parse_args(arguments[1:]))
        folder.mkdir()
        (folder / "recipe.json").write_text(json.dumps(recipes.to_dict(recipe)))
        (folder / "history.csv").write_text("epoch,loss\n1,2.0\n2,1.5\n")
        (folder / "report.json").write_text(json.dumps({"top1": 0.5, "data": {"test": 200}}))
        models[folder.name] = recipe.model
        return 50 + recipe.epochs

    monkeypatch.setattr(tables, "_run", run)
    small = ["--images", "2", "--test", "2", "--epochs", "3"]
    pretraining = {"objectives": ["--unlabelled", "3"], "transfer": ["--pretrain_images", "3"]}
    small += pretraining.get(script, [])
    monkeypatch.setattr("sys.argv", [script, str(flags.data), "--out", str(flags.out), *small])
    importlib.import_module(script).main()
    assert len(capsys.readouterr().out.splitlines()) == 1 + rows
    # Compared are models of one shape.
    classes = models[after].num_classes
    assert dataclasses.replace(models[before], num_classes=classes) == models[after]
