# SPDX-License-Identifier: MIT
"""A run folder may be somebody else's: whatever its files are, reading it is one line, and nothing
outside of it is read, written or removed."""

import dataclasses
import shutil
import signal

import pytest

from keras_vit import UserError
from keras_vit.reports.reconstruction import draw_reconstruction
from keras_vit.training import RunOptions, resume, train
from keras_vit.training.checkpoints import Checkpoints
from tests.conftest import untraced_runs
from tests.damages import DAMAGES, SECRET, WAYS, damaged, refused, secret_is_whole
from tests.training.quick import Stop, quick_runs, recipe


@pytest.fixture(scope="module", autouse=True)
def quick():
    with quick_runs(), untraced_runs():
        yield


@pytest.fixture(scope="module")
def stopped(images, tmp_path_factory):
    """A run with two checkpoints that is not finished."""
    folder = tmp_path_factory.mktemp("stopped") / "run"
    with pytest.raises(KeyError):
        train(recipe(), folder, images, [Stop(6)], RunOptions(None, 2))
    return folder


@pytest.fixture(autouse=True)
def at_most_a_minute():
    signal.alarm(60)  # a pipe would wait for ever
    yield
    signal.alarm(0)


@pytest.mark.parametrize("damage", WAYS)
def test_what_says_how_a_run_began(stopped, images, tmp_path, damage):
    """Each file in each way, by whoever goes on with the run."""
    if damage != "object":  # whatever it says of another machine is only a note
        folder = damaged(stopped, tmp_path / "env", "env.json", damage)
        refused(lambda: resume(folder, images), "env.json")
    folder = damaged(stopped, tmp_path / "index", "data_index.json.gz", damage)
    refused(lambda: resume(folder, images), "data_index.json.gz")
    assert not list(tmp_path.rglob("secret")) or secret_is_whole(tmp_path)


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


@pytest.mark.slow
@pytest.mark.parametrize("damage", [name for name in DAMAGES if name != "link"])
def test_pictures_of_a_reconstruction(tmp_path, damage):
    (tmp_path / "a" / "run").mkdir(parents=True)
    path = tmp_path / "a" / "run" / "reconstruction.npz"
    DAMAGES[damage](path)
    refused(lambda: draw_reconstruction(path.parent), "reconstruction.npz")
