# SPDX-License-Identifier: MIT
import csv
import dataclasses
import importlib
import inspect
import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest
from keras_vit.apps import cli
from keras_vit.apps import train as app

import keras_vit
from keras_vit import UserError, ViTConfig, config_of, load_model, origins, recipes, vit, zoo
from keras_vit.data import by_name
from keras_vit.deploy import export_run
from keras_vit.export import Metadata
from keras_vit.origins import Origin
from keras_vit.reports import write_report
from keras_vit.run_folder import RunFolder
from keras_vit.training import NonFiniteLoss, RunOptions, TimeIsUp, resume, train
from keras_vit.training.checkpoints import Checkpoints
from keras_vit.training.train import run_name
from keras_vit.untrusted.text import markdown
from keras_vit.weights import save
from tests.contracts import to_numpy


def small(**changes):
    return dataclasses.replace(
        recipes.debug(recipes.get("digits")), batch_size=16, precision="float32", **changes
    )


def test_run_folder(digits_run):
    folder, _ = digits_run
    assert {p.relative_to(folder).as_posix() for p in folder.glob("*")} == {
        *("recipe.json", "command.txt", "env.json", "labels.txt", "history.csv", "curves.png"),
        *("model.keras", "report.json", "report.md", "report.html", "README.md", "export"),
        *("checkpoints", "data_index.json.gz", "metadata.json", "split.csv", "samples.jpg"),
    }
    steps = 3 * (1295 // 64)
    checkpoints = [path.name for path in (folder / "checkpoints").glob("*")]
    assert sorted(checkpoints) == [".lock", f"step_{steps:08d}_end"]
    assert (folder / "export/saved_model/saved_model.pb").exists()
    assert (folder / "labels.txt").read_text().split() == list("0123456789")
    assert "train --debug" in (folder / "command.txt").read_text()
    assert json.loads((folder / "env.json").read_text())["packages"]["keras"] == keras.__version__
    recipe = recipes.from_dict(json.loads((folder / "recipe.json").read_text()))
    assert recipe.epochs == 3
    model = keras.saving.load_model(folder / "model.keras")
    assert config_of(model) == recipe.model
    assert (folder / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_report(digits_run):
    folder, _ = digits_run
    report = json.loads((folder / "report.json").read_text())
    assert 0 <= report["top1"] <= report["top5"] <= 1
    assert [e["format"] for e in report["exports"]] == ["saved_model", "litert"]
    for export in report["exports"]:
        assert export["agreement"] == 1
        assert export["max_abs_diff"] <= 1e-3
        assert export["top1"] == report["top1"]
        assert export["bytes"] > 10_000
        assert export["ms_per_image"] > 0
        assert (folder / export["path"]).exists()
    assert report["data"]["test"] == 359


def test_history(digits_run):
    folder, _ = digits_run
    with (folder / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    report = json.loads((folder / "report.json").read_text())
    best = max(rows, key=lambda row: (float(row["val_accuracy"]), -float(row["val_loss"])))
    assert int(best["epoch"]) == report["best_epoch"]
    assert float(best["val_accuracy"]) == pytest.approx(report["validation_top1"], abs=1e-6)


@pytest.mark.slow
def test_a_run_learns_and_can_be_repeated(images, tmp_path):
    recipe = small(epochs=8, optimizer=recipes.Optimizer(learning_rate=1e-2))
    first = train(recipe, tmp_path / "first", images)
    second = train(recipe, tmp_path / "second", images)
    assert first.ok
    assert first.report["top1"] == 1.0
    for a, b in zip(first.model.weights, second.model.weights, strict=True):
        np.testing.assert_array_equal(to_numpy(a), to_numpy(b))


def test_the_way_to_fit_is_short(tmp_path, monkeypatch):
    """Who follows `keras-vit train` meets these functions, one in the other, and `make_plan`."""
    way = []

    def spy(*args, **kwargs):
        ours = (Path(app.__file__).parent, Path(keras_vit.__file__).parent)
        for entry in reversed(inspect.stack()):
            if any(Path(entry.filename).is_relative_to(folder) for folder in ours):
                way.append(entry.function)
        raise NonFiniteLoss("seen")

    monkeypatch.setattr(keras.Model, "fit", spy)
    parser = cli.make_parser("train")
    args = parser.parse_args(["--debug", "--workdir", str(tmp_path / "run")])
    assert args.command_main(args) == 1
    assert way == ["main", "_train", "train", "fit"]


def test_ema_weights_are_what_is_evaluated_and_saved(images, tmp_path, no_exports, untraced):
    """With momentum 1 the average stays at the initial weights, whatever is learned."""
    recipe = small(optimizer=recipes.Optimizer(learning_rate=1e-2, ema=1.0))
    recipe = dataclasses.replace(recipe, batch_size=40)
    run = train(recipe, tmp_path / "run", images)
    head = to_numpy(run.model.get_layer("head").kernel)
    assert np.abs(head).max() == 0  # what it starts from
    assert run.report["top1"] == 0.0


@pytest.mark.slow
def test_mixed_precision_trains_and_delivers_float32(images, tmp_path):
    recipe = small(epochs=8, optimizer=recipes.Optimizer(learning_rate=1e-2))
    recipe = dataclasses.replace(recipe, precision="mixed_bfloat16")
    run = train(recipe, tmp_path / "run", images)
    assert run.report["precision"] == "mixed_bfloat16"
    assert run.model.get_layer("block_00").compute_dtype == "float32"
    assert keras.config.dtype_policy().name == "float32"
    assert run.report["top1"] > 0.9
    assert run.ok


def test_a_loss_that_is_not_finite_stops_the_run(images, tmp_path, untraced):
    recipe = small(optimizer=recipes.Optimizer(learning_rate=1e-2))

    class Poison(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            if batch == 3:
                kernel = self.model.get_layer("head").kernel
                kernel.assign(to_numpy(kernel) * np.nan)

    with pytest.raises(NonFiniteLoss, match=r"at step 4\..*There is no checkpoint yet"):
        # A slow start would be followed by a checkpoint.
        options = RunOptions(checkpoint_minutes=60)
        train(recipe, tmp_path / "run", images, [Poison()], options)
    assert not (tmp_path / "run" / "model.keras").exists()


def test_a_folder_in_use_is_refused_before_anything_is_read(tmp_path):
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(UserError, match="already holds files"):
        train(small(), tmp_path)
    assert (tmp_path / "mine.txt").read_text() == "precious"


@pytest.fixture
def broken_photos(photos, tmp_path):
    """A file whose header is fine, so that only decoding finds it."""
    root = tmp_path / "photos"
    shutil.copytree(photos, root)
    target = root / "dark" / "05.png"
    target.write_bytes(target.read_bytes()[:-300])
    return root


def photo_recipe(root):
    model = ViTConfig.of("mu/8", image_size=16)
    return small(model=model, data=recipes.Data(source=str(root)))


def test_a_file_that_breaks_in_the_middle_stops_the_run_before_its_first_step(
    broken_photos, tmp_path
):
    with pytest.raises(UserError, match=r"dark/05\.png: .*truncated"):
        train(photo_recipe(broken_photos), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_file_that_breaks_during_the_run_is_named(broken_photos, tmp_path, monkeypatch, untraced):
    monkeypatch.setattr(by_name, "DECODED_SECONDS", 0)  # as for a large set
    with pytest.raises(UserError, match=r"dark/05\.png: .*truncated"):
        train(photo_recipe(broken_photos), tmp_path / "run")


@pytest.mark.slow
def test_a_run_goes_on_when_a_file_that_vanished_is_back(photos, tmp_path):
    root, folder = tmp_path / "photos", tmp_path / "run"
    shutil.copytree(photos, root)

    class Vanish(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 0:
                (root / "dark").rename(tmp_path / "away")

    recipe = photo_recipe(root)
    data = dataclasses.replace(recipe.data, cache="none")  # else the files are read once
    recipe = dataclasses.replace(recipe, epochs=50, data=data)
    with pytest.raises(UserError, match=rf"dark/\d\d\.png(.|\n)*--resume {folder}"):
        train(recipe, folder, callbacks=[Vanish()], options=RunOptions(checkpoint_steps=1))
    with pytest.raises(UserError):
        resume(folder)
    (tmp_path / "away").rename(root / "dark")
    with pytest.raises(TimeIsUp):  # which is to say that it went on
        resume(folder, options=RunOptions(max_time=1e-3))


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_writes_a_checkpoint_and_stops(tmp_path, number, code):
    folder = tmp_path / "run"
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "keras_vit.apps", "train", "--debug"),
            *("--set", "epochs=100000", "--workdir", str(folder)),
        ],
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 240
    while not (folder / "curves.png").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(number)
    _, err = process.communicate(timeout=240)
    assert process.returncode == code, err
    assert "Traceback" not in err
    assert f"Continue with: keras-vit train --resume {folder}" in err
    assert Checkpoints(folder / "checkpoints").load_newest().step > 20
    assert keras.saving.load_model(folder / "model.keras").count_params() > 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_ends_at_once(number):
    """Here a step takes a minute."""
    code = (
        "import time; from keras_vit.training.exceptions import StopSignals\n"
        "StopSignals().watch(); print('step', flush=True)\n"
        "time.sleep(60)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "step\n"
    process.send_signal(number)
    while "a second signal ends at once" not in process.stderr.readline():
        pass
    assert process.poll() is None
    process.send_signal(number)
    assert process.wait(timeout=50) == -number
    process.stdout.close()
    process.stderr.close()


def test_a_path_is_trained_as_the_command_would(photos, tmp_path, monkeypatch):
    made = []
    module = importlib.import_module("keras_vit.training.train")  # not the function of that name
    monkeypatch.setattr(module, "make_plan", lambda recipe, *rest: made.append(recipe) or 1 / 0)
    for source in (photos, str(photos), f"{photos}/"):
        with pytest.raises(ZeroDivisionError):
            train(source, tmp_path / "run")
        args = cli.make_parser("train").parse_args([str(source)])
        assert made[-1] == app._recipe(args)
        assert made[-1].data.source == str(source)
    with pytest.raises(ZeroDivisionError):
        train("digits")
    assert made[-1] == recipes.get("digits")
    with pytest.raises(UserError, match="no data at 'no/such/folder'"):
        train("no/such/folder")
    with pytest.raises(UserError, match="data: does not go with"):
        train(photos, data=object())
    with pytest.raises(TypeError):
        train(None)


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("photos/", "photos"),
        ("/data/my photos.tar.gz", "my_photos"),
        ("tfds:cifar10", "cifar10"),
        ("tfds:imagenet_v2/topimages", "topimages"),
        ("hf:me/cats", "cats"),
        ("digits", "digits"),
        ("...", "run"),
        ("x" * 300, "x" * 60),
    ],
)
def test_a_run_is_called_after_its_data(source, name):
    assert run_name(source) == name


ORIGIN = Origin("theirs", "own", "https://example.org/own", "not on Mondays")


@pytest.mark.slow
def test_licences_of_weights_go_into_a_run_and_into_the_next(
    images, tmp_path, capsys, no_exports, untraced
):
    published = vit(small().model)
    published.origins = (ORIGIN,)
    save(published, tmp_path / "published", "timm")
    origins._say.cache_clear()  # said once in a process
    run = train(small(init=str(tmp_path / "published"), epochs=1), tmp_path / "run", images)
    assert f"note: {ORIGIN}" in capsys.readouterr().err
    folder = RunFolder.open(run.workdir)
    assert folder.metadata.origins == run.model.origins == (ORIGIN,)
    assert folder.report["origins"] == [dataclasses.asdict(ORIGIN)]
    assert markdown(ORIGIN) in write_report(run.workdir).read_text(encoding="utf-8")
    assert load_model(run.workdir).origins == zoo.open_weights(run.workdir).origins == (ORIGIN,)


@pytest.mark.slow
def test_licences_of_weights_go_into_every_file(images, tmp_path):
    published = vit(small().model)
    published.origins = (ORIGIN,)
    published.save(tmp_path / "published.keras")
    run = train(small(init=str(tmp_path / "published.keras")), tmp_path / "run", images)
    lone = shutil.copy(run.workdir / "model.keras", tmp_path / "lone.keras")
    export_run(lone, tmp_path / "out", ("onnx",))
    files = [run.workdir / export["path"] for export in run.report["exports"]]
    assert len(files) == 2
    for file in (*files, tmp_path / "out" / "model.onnx"):
        assert Metadata.read(file).origins == (ORIGIN,)
