# SPDX-License-Identifier: MIT
"""Checkpoints on disk: whole or not there, whatever happens to the process or the files."""

import errno
import hashlib
import json
import resource

import numpy as np
import pytest

from keras_vit import UserError
from keras_vit.training import WriteFailed
from keras_vit.training.checkpoints import Checkpoint, Checkpoints, read


def checkpoint(step, trained=False):
    arrays = {"00000 kernel": np.full((4, 3), step, "float32"), "00001 seed": np.uint32([7, step])}
    return Checkpoint(step, arrays, {"callbacks": {}, "seconds": step / 3}, trained)


@pytest.fixture
def store(tmp_path):
    store = Checkpoints(tmp_path / "checkpoints")
    for step in (10, 20):
        store.save(checkpoint(step))
    return store


def names(store):
    return sorted(path.name for path in store.folder.iterdir())


def test_there_and_back(store):
    found = store.load_newest()
    assert (found.step, found.progress, found.trained) == (20, checkpoint(20).progress, False)
    for name, array in checkpoint(20).arrays.items():
        assert found.arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(found.arrays[name], array)


def test_the_newest_stay_and_the_end_comes_last(store):
    store.save(checkpoint(30))
    assert names(store) == ["step_00000020", "step_00000030"]
    store.save(checkpoint(30, trained=True))
    assert names(store) == ["step_00000030", "step_00000030_end"]
    assert store.load_newest().trained
    with pytest.raises(UserError, match="at least 1"):
        Checkpoints(store.folder, keep=0)


def truncate(path):
    path.write_bytes(path.read_bytes()[:-40])


def flip_a_bit(path):
    contents = bytearray(path.read_bytes())
    contents[len(contents) // 2] ^= 1
    path.write_bytes(contents)


def remove(path):
    path.unlink()


@pytest.mark.parametrize("name", ["state.npz", "progress.json", "meta.json"])
@pytest.mark.parametrize("damage", [truncate, flip_a_bit, remove])
def test_a_damaged_one_is_named_and_the_one_before_is_used(store, capsys, name, damage):
    damage(store.folder / "step_00000020" / name)
    assert store.load_newest().step == 10
    assert "step_00000020 is damaged and not used" in capsys.readouterr().err
    assert names(store) == ["step_00000010", "step_00000020.damaged"]
    store.save(checkpoint(20))  # the run comes by here again
    assert store.load_newest().step == 20


def test_every_bit_of_meta_that_matters_is_checked(store):
    file = store.folder / "step_00000020" / "meta.json"
    original = json.loads(file.read_text())
    for change in ({"step": 21}, {"format": 2}, {"sha256": {}}):
        file.write_text(json.dumps({**original, **change}))
        with pytest.raises((ValueError, LookupError)):
            read(file.parent)
    file.write_text("[]")
    assert store.load_newest().step == 10


def test_nothing_good_is_no_checkpoint(store, capsys):
    for path in store.folder.glob("*/state.npz"):
        flip_a_bit(path)
    assert store.load_newest() is None
    assert capsys.readouterr().err.count("damaged") == 2


def test_pickle_is_refused(store):
    path = store.folder / "step_00000020"
    with (path / "state.npz").open("wb") as file:
        np.savez(file, evil=np.array([{}], dtype=object))
    meta = json.loads((path / "meta.json").read_text())
    meta["sha256"]["state.npz"] = hashlib.sha256((path / "state.npz").read_bytes()).hexdigest()
    (path / "meta.json").write_text(json.dumps(meta))
    with pytest.raises(ValueError, match="holds pickled Python objects"):
        read(path)


def test_leftovers_of_a_killed_process_are_removed(store):
    (store.folder / ".step_00000030.abc.tmp" / "step_00000030").mkdir(parents=True)
    (store.folder / ".step_00000001.old.tmp").mkdir()
    store.remove_leftovers()
    assert names(store) == ["step_00000010", "step_00000020"]


def test_a_full_disk_leaves_the_previous_one_and_no_leftovers(store, monkeypatch):
    def full(file, **arrays):
        file.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(WriteFailed, match=r"No space left on device.*step_00000020 is intact"):
        store.save(checkpoint(30))
    assert names(store) == ["step_00000010", "step_00000020"]
    assert store.load_newest().step == 20


def test_a_real_limit_on_file_size_leaves_the_previous_one(store):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(WriteFailed, match=r"File too large.*step_00000020 is intact"):
            store.save(Checkpoint(30, {"x": np.zeros(10_000)}, {}))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert names(store) == ["step_00000010", "step_00000020"]
    assert store.load_newest().step == 20


def test_two_at_once_do_not_train_one_run(store):
    other = Checkpoints(store.folder)
    with store.locked(), pytest.raises(UserError, match="another process is training this run"):
        other.locked().__enter__()
    with other.locked():
        assert (store.folder / ".lock").exists()


def test_finite():
    assert checkpoint(1).finite
    broken = checkpoint(1)
    broken.arrays["00000 kernel"][0, 0] = np.nan
    assert not broken.finite
