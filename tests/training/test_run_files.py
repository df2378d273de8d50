# SPDX-License-Identifier: MIT
"""A run folder may be somebody else's: whatever its files are, reading it is one line, and nothing
outside of it is read, written or removed."""

import dataclasses
import json
import os
import shutil
import signal

import keras
import pytest

from keras_vit import UserError, recipes
from keras_vit.files import replacing
from keras_vit.predictor import Predictor
from keras_vit.reports import export_table, write_report
from keras_vit.reports.reconstruction import draw_reconstruction
from keras_vit.training import Session, resume, starting, tasks, train
from keras_vit.training.checkpoints import Checkpoints
from keras_vit.training.run_files import read_report
from tests.training import test_resume

SECRET = "not to be touched"


@pytest.fixture(scope="module", autouse=True)
def quick():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tasks, "_formats", tuple)
        patch.setattr(starting, "vit", lambda config, patch_dropout: small_model(config))
        patch.setattr(tasks.Classification, "save", staticmethod(save))
        yield


def small_model(config):
    pixels = keras.Input((*config.image_size, config.channels))
    x = keras.layers.Dense(config.num_classes, name="head")(keras.layers.Flatten()(pixels))
    return keras.Model(pixels, x)


def save(model, path):
    with replacing(path) as temporary:
        model.save(temporary, include_optimizer=False)


@pytest.fixture(scope="module")
def stopped(images, tmp_path_factory):
    """A run with two checkpoints that is not finished."""
    folder = tmp_path_factory.mktemp("stopped") / "run"
    with pytest.raises(KeyError):
        train(test_resume.recipe(), folder, images, [test_resume.Stop(6)], Session(None, 2))
    return folder


@pytest.fixture(scope="module")
def finished(images, stopped, tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished") / "run"
    shutil.copytree(stopped, folder)
    resume(folder, images)
    return folder


@pytest.fixture(autouse=True)
def at_most_a_minute():
    signal.alarm(60)  # a pipe would wait for ever
    yield
    signal.alarm(0)


def secret(path):
    """A file outside of the run."""
    file = path.parents[3] / "secret"
    file.write_text(SECRET)
    return file


DAMAGES = {
    "link": lambda path: path.symlink_to(secret(path)),
    "lost link": lambda path: path.symlink_to("nowhere"),
    "link to itself": lambda path: path.symlink_to(path.name),
    "pipe": os.mkfifo,
    "folder": os.mkdir,
    "empty": lambda path: path.write_bytes(b""),
    "null": lambda path: path.write_text("null"),
    "list": lambda path: path.write_text("[1, 2]"),
    "object": lambda path: path.write_text('{"a": {"b": [1]}}'),
    "deep": lambda path: path.write_text("[" * 10_000 + "]" * 10_000),
    "deep object": lambda path: path.write_text('{"a":' * 10_000 + "1" + "}" * 10_000),
    "large": lambda path: (path.touch(), os.truncate(path, 10**12)),
    "not text": lambda path: path.write_bytes(b"\xff\xfe\x00\x80" * 100),
}
# A few ways by each reader of a run; the reader that they share has the rest in
# tests/untrusted/test_reading.py.
WAYS = [
    way if way in ("link", "pipe", "deep") else pytest.param(way, marks=pytest.mark.slow)
    for way in DAMAGES
]


def damaged(run, tmp_path, name, damage):
    copy = tmp_path / "a" / "run"
    shutil.copytree(run, copy)
    (copy / name).unlink()
    DAMAGES[damage](copy / name)
    return copy


def refused(call, name):
    with pytest.raises(UserError) as caught:
        call()
    assert name in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("damage", WAYS)
def test_what_says_what_a_run_is(finished, stopped, images, tmp_path, damage):
    """Each file in each way, by whatever reads it."""
    readers = {
        "recipe.json": recipes.of_run,
        "metadata.json": Predictor.open,
        "report.json": read_report,
    }
    for name, read in readers.items():
        folder = damaged(finished, tmp_path / name, name, damage)
        refused(lambda read=read, folder=folder: read(folder), name)
    if damage not in ("empty", "null", "list", "object", "deep", "deep object"):  # that are text
        folder = damaged(finished, tmp_path / "labels", "labels.txt", damage)
        refused(lambda: Predictor.open(folder), "labels.txt")
    if damage != "object":  # whatever it says of another machine is only a note
        folder = damaged(stopped, tmp_path / "env", "env.json", damage)
        refused(lambda: resume(folder, images), "env.json")
    folder = damaged(stopped, tmp_path / "index", "data_index.json.gz", damage)
    refused(lambda: resume(folder, images), "data_index.json.gz")
    assert not list(tmp_path.rglob("secret")) or secret_is_whole(tmp_path)


def secret_is_whole(tmp_path):
    return {file.read_text() for file in tmp_path.rglob("secret")} == {SECRET}


@pytest.mark.parametrize("damage", WAYS)
@pytest.mark.parametrize("name", ["meta.json", "progress.json", "state.npz"])
def test_a_damaged_checkpoint_is_set_aside(stopped, tmp_path, capsys, name, damage):
    newest = Checkpoints(stopped / "checkpoints").newest().name
    folder = damaged(stopped, tmp_path / "b", f"checkpoints/{newest}/{name}", damage)
    store = Checkpoints(folder / "checkpoints")
    assert store.load_newest().step == 2  # the one before
    assert f"{newest} is damaged and not used" in capsys.readouterr().err
    assert store.newest().name == "step_00000002"


def test_a_checkpoint_that_says_too_little_is_refused(stopped, images, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(stopped, folder)
    store = Checkpoints(folder / "checkpoints")
    whole = store.load_newest()
    for change, words in {
        "precision": "precision: expected 'float32' or 'mixed_bfloat16', received 3",
        "callbacks": r"callbacks\.SaveBest: expected an object, received nothing",
    }.items():
        value = 3 if change == "precision" else {}
        shutil.rmtree(store.newest())
        progress = {**whole.progress, change: value}
        store.save(dataclasses.replace(whole, progress=progress))
        with pytest.raises(UserError, match=words):
            resume(folder, images)


@pytest.mark.parametrize("name", ["checkpoints", "export", "tensorboard"])
def test_a_folder_of_its_own_is_no_link(stopped, images, tmp_path, name):
    folder, elsewhere = tmp_path / "run", tmp_path / "elsewhere"
    shutil.copytree(stopped, folder)
    if (folder / name).exists():
        shutil.move(folder / name, elsewhere)
    else:
        (elsewhere / "saved_model").mkdir(parents=True)
    (folder / name).symlink_to(elsewhere)
    before = sorted(elsewhere.rglob("*"))
    with pytest.raises(UserError, match=rf"{name}: expected a folder of the run itself"):
        resume(folder, images)
    assert sorted(elsewhere.rglob("*")) == before


@pytest.mark.parametrize("damage", ["link", "lost link", "link to itself", "pipe", "folder"])
def test_the_lock_is_a_file_of_its_own(stopped, images, tmp_path, damage):
    folder = damaged(stopped, tmp_path / "b", "checkpoints/.lock", damage)
    with pytest.raises(UserError, match=r"checkpoints/\.lock: "):
        resume(folder, images)
    assert secret_is_whole(tmp_path) or damage != "link"


def test_links_in_the_place_of_leftovers_and_checkpoints_go_alone(stopped, images, tmp_path):
    folder, elsewhere = tmp_path / "run", tmp_path / "elsewhere"
    shutil.copytree(stopped, folder)
    (elsewhere / "step_00000099").mkdir(parents=True)
    (elsewhere / "kept").write_text(SECRET)
    (folder / "export").mkdir()
    for name in (".left.tmp", "export/saved_model", "export/.checking-1"):
        (folder / name).symlink_to(elsewhere)
    (folder / "export" / "model.tflite").symlink_to(elsewhere / "kept")
    (folder / "checkpoints" / "step_00000099").symlink_to(elsewhere / "step_00000099")
    (folder / "history.csv").unlink()
    (folder / "history.csv").symlink_to(elsewhere / "kept")  # is written, not written through
    resume(folder, images)
    assert sorted(path.name for path in elsewhere.iterdir()) == ["kept", "step_00000099"]
    assert (elsewhere / "kept").read_text() == SECRET
    assert not list((folder / "export").iterdir()) and not (folder / "history.csv").is_symlink()


def test_a_report_of_another_shape_is_refused(finished, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    report = read_report(folder)
    assert export_table(report) and write_report(folder)
    for change, words in {
        "top1": r"top1: expected a number from 0 to 1, received 'x'",
        "exports": r"exports: expected a list .*, received 'x'",
        "data": r"data: expected an object, received 'x'",
        "keras": r"keras: expected an object, received 'x'",
    }.items():
        (folder / "report.json").write_text(json.dumps({**report, change: "x"}))
        with pytest.raises(UserError, match=rf"report\.json: {words}"):
            write_report(folder)


@pytest.mark.slow
@pytest.mark.parametrize("damage", [name for name in DAMAGES if name != "link"])
def test_pictures_of_a_reconstruction(tmp_path, damage):
    (tmp_path / "a" / "run").mkdir(parents=True)
    path = tmp_path / "a" / "run" / "reconstruction.npz"
    DAMAGES[damage](path)
    refused(lambda: draw_reconstruction(path.parent), "reconstruction.npz")
