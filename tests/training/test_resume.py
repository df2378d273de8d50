# SPDX-License-Identifier: MIT
"""A run that was stopped and resumed is, bit for bit, a run that was never stopped."""

import contextlib
import dataclasses
import json
import shutil

import keras
import numpy as np
import pytest

from keras_vit import UserError, config_of, recipes
from keras_vit.data.checks.fingerprint import differences, fingerprint
from keras_vit.run_folder import RunFolder
from keras_vit.training import (
    Interrupted,
    NonFiniteLoss,
    RunOptions,
    TimeIsUp,
    WriteFailed,
    bad_updates,
    options,
    resume,
    train,
)
from keras_vit.training.checkpoints import Checkpoints, read
from keras_vit.training.history import read_history
from tests.conftest import untraced_runs
from tests.contracts import slow_but
from tests.training.quick import (
    STEPS,
    CopyFolder,
    Signal,
    Stop,
    copy_of,
    quick_runs,
    real_model,
    recipe,
)

TIMES = {"seconds", "images_per_second"}


@pytest.fixture(scope="module", autouse=True)
def quick():
    with quick_runs():
        yield


@pytest.fixture(scope="module", params=slow_but(["eager"], ["eager", "graph"]))
def kind_of_step(request):
    """Each run of this file is made of steps of graphs too, which take seconds to trace."""
    with untraced_runs() if request.param == "eager" else contextlib.nullcontext():
        yield request.param


def end(folder):
    return Checkpoints(folder / "checkpoints").load_newest()


def same(first, second):
    assert first.name == second.name
    assert first.arrays.keys() == second.arrays.keys()
    for name, array in first.arrays.items():
        np.testing.assert_array_equal(array, second.arrays[name], err_msg=name)
    assert first.progress["callbacks"]["SaveBest"] == second.progress["callbacks"]["SaveBest"]


def history(folder):
    return [
        {name: value for name, value in row.items() if name not in TIMES}
        for row in read_history(folder / "history.csv")
    ]


def trained(tmp_path_factory, images, plan, copied):
    """The folder of a run that was never stopped, and copies of it after some steps."""
    folder = tmp_path_factory.mktemp("straight") / "run"
    train(plan, folder, images, [CopyFolder(folder, copied)], RunOptions(checkpoint_steps=1))
    return folder


@pytest.fixture(scope="module")
def straight(kind_of_step, images, tmp_path_factory):
    return trained(tmp_path_factory, images, recipe(), (2, 3, 5, 6, 15))


def killed(straight, tmp_path, step, every):
    """A run like `straight` that was killed at the end of a step; no checkpoint is of that step.

    Args:
        every: train steps between two checkpoints; of a copy, the others are taken away.
    """
    folder = tmp_path / "run"
    shutil.copytree(copy_of(straight, step), folder)
    for path in (folder / "checkpoints").glob("step_*"):
        if int(path.name.removeprefix("step_")) % every:
            shutil.rmtree(path)
    return folder


@pytest.mark.parametrize(
    ("step", "every", "goes_on_after"),
    [
        (2, 5, None),  # before the first checkpoint
        (3, 2, 2),  # in the middle of an epoch
        pytest.param(5, 1, 4, marks=pytest.mark.slow),  # before the last step of an epoch
        # at the boundary of two epochs, whose validation is made again
        pytest.param(6, 5, 5, marks=pytest.mark.slow),
        (15, 1, 14),  # in the very last step
    ],
)
def test_stopped_and_resumed(straight, images, tmp_path, capsys, step, every, goes_on_after):
    folder = killed(straight, tmp_path, step, every)
    resume(folder, images)
    said = capsys.readouterr().err
    assert ("starts again" if goes_on_after is None else f"after step {goes_on_after} of") in said
    same(end(folder), end(straight))
    assert history(folder) == history(straight)
    assert RunFolder.open(folder).recipe == RunFolder.open(straight).recipe


def test_stopped_and_resumed_in_graphs(images, tmp_path_factory, tmp_path):
    straight = trained(tmp_path_factory, images, recipe(epochs=2), (3,))
    folder = killed(straight, tmp_path, 3, 2)
    resume(folder, images)
    same(end(folder), end(straight))
    assert history(folder) == history(straight)


def test_a_transformer_stopped_and_resumed(
    kind_of_step, images, tmp_path_factory, tmp_path, capsys
):
    with real_model():
        plan = recipe(epochs=2, batch_size=28)  # 3 steps an epoch
        straight = trained(tmp_path_factory, images, plan, (6,))
        folder = killed(straight, tmp_path, 6, 5)
        run = resume(folder, images)
    assert "after step 5 of" in capsys.readouterr().err
    assert config_of(run.model) == run.recipe.model
    same(end(folder), end(straight))
    assert history(folder) == history(straight)


@pytest.mark.slow
def test_blocks_that_are_computed_anew_change_nothing(
    kind_of_step, images, tmp_path_factory, tmp_path
):
    with real_model():
        plan = recipe(epochs=1, batch_size=28)  # 3 steps
        straight = trained(tmp_path_factory, images, plan, ())
        plan = dataclasses.replace(plan, remat=True)
        anew = trained(tmp_path_factory, images, plan, (2,))
        folder = killed(anew, tmp_path, 2, 1)
        assert RunFolder.open(folder).recipe.remat
        resume(folder, images)
    same(end(anew), end(straight))
    same(end(folder), end(straight))
    assert history(anew) == history(straight)


@pytest.mark.parametrize(
    ("step", "every", "goes_on_after"),
    [
        (3, 2, 2),  # among the smaller images
        (6, 5, 5),  # at the boundary of the sizes: `fit` was called for the next one
        (8, 1, 7),  # among the larger ones
    ],
)
@pytest.mark.slow
def test_progressive_sizes_stopped_and_resumed(
    straight_progressive, images, tmp_path, capsys, step, every, goes_on_after
):
    folder = killed(straight_progressive, tmp_path, step, every)
    resume(folder, images)
    said = capsys.readouterr().err
    assert f"after step {goes_on_after} of" in said
    assert ("epoch 1 at 4 x 4 pixels" in said) == (goes_on_after < STEPS)
    same(end(folder), end(straight_progressive))
    assert history(folder) == history(straight_progressive)


@pytest.fixture(scope="module")
def straight_progressive(kind_of_step, images, tmp_path_factory):
    return trained(tmp_path_factory, images, recipe(progressive=((0.4, 4),)), (3, 6, 8))


@pytest.mark.slow
def test_stopped_again_and_again(straight, images, tmp_path):
    folder = tmp_path / "run"
    often = RunOptions(checkpoint_steps=1)
    with pytest.raises(KeyError):
        train(recipe(), folder, images, [Stop(4)], often)
    for stop in (Stop(3), Stop(validation=1), Signal(validation=1), Signal(4), Stop(2)):
        with pytest.raises((KeyError, Interrupted)):
            resume(folder, images, [stop], often)
    resume(folder, images, options=often)
    same(end(folder), end(straight))
    assert history(folder) == history(straight)


def test_a_signal_in_the_validation_loses_nothing(straight, images, tmp_path):
    """Weights are the averages then, and the means of the epoch are overwritten."""
    folder = tmp_path / "run"
    never = RunOptions(checkpoint_steps=1000)
    with pytest.raises(Interrupted, match=f"after step 15; .*--resume {folder}") as stopped:
        train(recipe(), folder, images, [Signal(validation=3)], never)
    assert stopped.value.code == 143
    assert end(folder).name == "step_00000015"
    resume(folder, images)
    same(end(folder), end(straight))
    assert history(folder) == history(straight)


def test_the_time_is_up(straight, images, tmp_path):
    folder = tmp_path / "run"
    with pytest.raises(TimeIsUp) as stopped:
        train(recipe(), folder, images, options=RunOptions(max_time=1e-3))
    assert stopped.value.code == 0
    assert end(folder).step == 1
    resume(folder, images, options=RunOptions(max_time=3600))
    same(end(folder), end(straight))


def test_trained_but_not_exported(straight, images, tmp_path):
    """The disk was full in the exports, say: training is not repeated, half an export goes."""
    folder = tmp_path / "run"
    shutil.copytree(straight, folder)
    (folder / "report.json").unlink()
    (folder / "export").mkdir(exist_ok=True)
    (folder / "export" / "model.tflite").write_bytes(b"half")
    (folder / ".model.keras.abc.tmp").mkdir()
    before = (folder / "model.keras").read_bytes()
    run = resume(folder, images)
    assert run.report["best_epoch"] >= 1
    assert (folder / "model.keras").read_bytes() == before
    assert not (folder / "export" / "model.tflite").exists()
    assert not (folder / ".model.keras.abc.tmp").exists()


def test_a_finished_run_is_only_read(straight, images, capsys):
    before = {path: path.stat().st_mtime_ns for path in straight.rglob("*") if path.is_file()}
    run = resume(straight, images)
    assert "is finished: nothing is left to do" in capsys.readouterr().err
    assert run.report == json.loads((straight / "report.json").read_text())
    assert before == {p: p.stat().st_mtime_ns for p in straight.rglob("*") if p.is_file()}


def test_other_data_are_refused(straight, images, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(straight, folder)
    (folder / "report.json").unlink()
    labels = images.train.labels.copy()
    labels[0] = 1 - labels[0]
    other = dataclasses.replace(images, train=dataclasses.replace(images.train, labels=labels))
    with pytest.raises(UserError, match="train: 86 examples became 86 examples, with other"):
        resume(folder, other)
    with pytest.raises(UserError, match=r"expected the folder of a run"):
        resume(tmp_path)


def test_what_changed_in_files_is_named(photos, tmp_path):
    from keras_vit.data import load

    root = tmp_path / "photos"
    shutil.copytree(photos, root)
    before = fingerprint(load(str(root))[0])
    assert differences(before, fingerprint(load(str(root))[0])) == []
    (root / "dark" / "03.png").unlink()
    shutil.copy(root / "light" / "04.png", root / "dark" / "04.png")
    found = "\n".join(differences(before, fingerprint(load(str(root))[0])))
    assert f"{root}/dark/03.png" in found
    assert f"{root}/dark/04.png" in found and "bytes became" in found


def test_callbacks_of_the_user_are_asked_what_they_remember(images, tmp_path, untraced):
    class Counter(keras.callbacks.Callback):
        count = 0

        def on_train_batch_end(self, batch, logs=None):
            self.count += 1

        def get_state(self):
            return {"count": self.count}

        def set_state(self, state):
            self.count = state["count"]

    with pytest.raises(KeyError):
        often = RunOptions(checkpoint_steps=1)
        train(recipe(epochs=1), tmp_path / "run", images, [Counter(), Stop(3)], often)
    counter = Counter()
    resume(tmp_path / "run", images, [counter])
    assert counter.count == STEPS


def poison(steps, layer="head"):
    """Makes the gradients of some steps NaN, through the weights of a layer, and mends them."""

    class Poison(keras.callbacks.Callback):
        seen = 0

        def on_train_batch_begin(self, batch, logs=None):
            self.seen += 1
            if self.seen in steps:
                kernel = self.model.get_layer(layer).kernel
                self.kept = np.array(keras.ops.convert_to_numpy(kernel))
                kernel.assign(self.kept * np.nan)

        def on_train_batch_end(self, batch, logs=None):
            if self.seen in steps:
                self.model.get_layer(layer).kernel.assign(self.kept)

    return Poison()


def test_bad_updates_are_skipped_and_counted(images, tmp_path, untraced):
    """Two bad steps change nothing: the weights are those of a run whose good steps were these."""

    class Updates(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            optimizer = self.model.optimizer
            seen.append((int(optimizer.iterations), int(optimizer.skipped)))

    seen = []
    plain = recipe(skip_bad_updates=True)
    train(plain, tmp_path / "run", images, [poison({2, 3, 7}), Updates()])
    assert seen[:4] == [(1, 0), (1, 1), (1, 2), (2, 2)]
    assert seen[-1] == (12, 3)
    rows = read_history(tmp_path / "run" / "history.csv")
    assert [row["skipped_updates"] for row in rows] == [2, 3, 3]
    assert all(np.isfinite(row["loss"]) for row in rows)
    assert end(tmp_path / "run").finite


def test_skipping_changes_nothing_where_nothing_is_bad_and_resumes(straight, images, tmp_path):
    folder = tmp_path / "run"
    with pytest.raises(KeyError):
        skipping = recipe(skip_bad_updates=True)
        train(skipping, folder, images, [Stop(8)], RunOptions(checkpoint_steps=3))
    resume(folder, images)
    expected, found = end(straight).arrays, end(folder).arrays
    weights = [name for name in expected if name.endswith("/kernel")]
    assert len(weights) == 2
    for name in weights:
        np.testing.assert_array_equal(found[name], expected[name], err_msg=name)
    for first, second in zip(history(folder), history(straight), strict=True):
        assert first == {**second, "skipped_updates": 0}


def test_a_run_of_bad_updates_alone_ends(images, tmp_path, monkeypatch, untraced):
    monkeypatch.setattr(bad_updates, "LIMIT", 4)
    with pytest.raises(NonFiniteLoss, match="4 updates in a row"):
        train(recipe(skip_bad_updates=True), tmp_path / "run", images, [poison(range(3, 99))])


def test_weights_that_are_not_finite_are_never_saved(images, tmp_path, untraced):
    """The gradient of step 4 is NaN though its loss is not, so that its checkpoint is refused."""

    class Break(keras.callbacks.Callback):
        seen = 0

        def on_train_batch_end(self, batch, logs=None):
            self.seen += 1
            if self.seen == 4:
                kernel = self.model.get_layer("head").kernel
                kernel.assign(keras.ops.convert_to_numpy(kernel) * np.nan)

    folder = tmp_path / "run"
    with pytest.raises(NonFiniteLoss, match=r"up to step 4\. The last good .*step_00000003"):
        train(recipe(), folder, images, [Break()], RunOptions(checkpoint_steps=1))
    assert all(read(path).finite for path in (folder / "checkpoints").glob("step_*"))


def test_a_full_disk_ends_the_run_with_what_to_type(straight, images, tmp_path, monkeypatch):
    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        savez = np.savez

        def full(file, **arrays):
            if "step_00000004" in file.name:
                raise OSError(28, "No space left on device")
            savez(file, **arrays)

        patch.setattr(np, "savez", full)
        with pytest.raises(WriteFailed, match=f"No space left(.|\n)*--resume {folder}"):
            train(recipe(), folder, images, options=RunOptions(checkpoint_steps=2))
    resume(folder, images)
    same(end(folder), end(straight))


def test_checkpoints_are_due():
    assert [s for s in range(1, 8) if RunOptions(checkpoint_steps=3).is_due(s, 0, 0)] == [3, 6]
    minutes = RunOptions(checkpoint_minutes=2)
    assert not minutes.is_due(1, 119, 0) and minutes.is_due(1, 120, 0)
    auto = RunOptions()
    assert not auto.is_due(1, options.LEAST_SECONDS - 1, 0)
    assert auto.is_due(1, options.LEAST_SECONDS, 0.05)
    assert not auto.is_due(1, 99, 1.0) and auto.is_due(1, 100, 1.0)
    for wrong in ({"max_time": 0}, {"checkpoint_steps": 1, "checkpoint_minutes": 1}):
        with pytest.raises(UserError):
            RunOptions(**wrong)


@pytest.mark.slow
def test_a_finished_run_is_extended(images, straight, tmp_path):
    """Its schedule begins again; stopped in between, the end is the same to the bit."""
    one, other = tmp_path / "one", tmp_path / "other"
    plan = recipe(optimizer=recipes.Optimizer(learning_rate=1e-2), epochs=2)
    train(plan, one, images)
    shutil.copytree(one, other)
    resume(one, images, extend=2)
    with pytest.raises(KeyError):
        often = RunOptions(checkpoint_steps=2)
        resume(other, images, [Stop(step=5)], options=often, extend=2)
    resume(other, images)
    same(end(one), end(other))
    assert history(one) == history(other)
    rates = [row["learning_rate"] for row in history(one)]
    assert len(rates) == 4 and rates[1] < 1e-2 / 100 < rates[2]
    assert rates[3] == pytest.approx(rates[1], abs=1e-8)
    assert RunFolder.open(one).recipe.cycles == (2, 2) and (one / "report.json").exists()

    resume(one, images, extend=1)
    assert RunFolder.open(one).recipe.cycles == (2, 2, 1) and len(history(one)) == 5
    (other / "report.json").unlink()
    with pytest.raises(UserError, match=r"is not finished\. First: keras-vit train --resume"):
        resume(other, images, extend=1)
    with pytest.raises(UserError, match="average of its weights"):
        resume(straight, images, extend=1)
