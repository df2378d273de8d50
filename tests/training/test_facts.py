# SPDX-License-Identifier: MIT
"""What a real run knows, and that what it is told to type works."""

import json
import shlex

import numpy as np
import pytest

from keras_vit import data, recipes
from keras_vit.training import train


def settings(*values):
    return [word for value in values for word in ("--set", value)]


def test_what_a_run_says_at_its_end_stands_on_its_page(digits_run):
    """The small model of `--debug` names few digits, and has seen 143 to choose its epoch."""
    folder, result = digits_run
    report = json.loads((folder / "report.json").read_text())
    told = {advice["rule"]: advice for advice in report["next"]}
    assert "143 validation images chose" in told["small_validation"]["evidence"]
    assert "about 130 training images of a class" in told["few_images"]["evidence"]
    assert "what next:\n1. " in result.err and "## What next" in (folder / "report.md").read_text()
    for advice in told.values():
        assert advice["command"] in result.err
        assert advice["command"] in (folder / "report.md").read_text()
    assert sum(row["images"] for row in report["per_class"]) == report["data"]["test"]
    named = sum(row["right"] for row in report["per_class"])
    assert named / report["data"]["test"] == pytest.approx(report["top1"])


@pytest.mark.slow
def test_the_commands_work(photos, tmp_path, in_process, no_exports, untraced, monkeypatch):
    """A model that has had too little time, and two validation images."""
    monkeypatch.chdir(tmp_path)
    flags = settings("epochs=2", "model.image_size=8", "optimizer.learning_rate=2e-3")
    flags = [photos, "--recipe", "cifar10_seed", "--debug", *flags, "--workdir", "runs/my run"]
    result = in_process("train", *flags)
    assert result.code == 0, result.err
    report = json.loads((tmp_path / "runs/my run/report.json").read_text())
    page = (tmp_path / "runs/my run/report.md").read_text()
    told = {advice["rule"]: advice["command"] for advice in report["next"]}
    assert "2 validation images chose the best epoch" in result.err
    assert {"small_validation"} <= told.keys() and "what next:\n1. " in result.err
    assert [row["images"] for row in report["per_class"]] == [2, 2]
    for command in told.values():
        assert command in result.err and command in page
        words = shlex.split(command)[1:]
        if words[:2] == ["train", "--config"]:
            again = in_process(*words)
            assert again.code == 0, again.err
    extended = in_process("train", "--resume", "runs/my run", "--extend", "1")
    assert extended.code == 0 and "epoch 3/3" in extended.err
    report = json.loads((tmp_path / "runs/my run/report.json").read_text())
    assert len(report["next"]) <= 4


@pytest.mark.slow
def test_images_in_memory(tmp_path, no_exports, untraced):
    """No command names them: what to do is said in Python."""
    random = np.random.default_rng(0)
    pixels, labels = random.integers(0, 256, (24, 8, 8, 1), "uint8"), np.arange(24) % 2
    images = data.from_arrays(pixels, labels, ("a", "b"))
    plan = recipes.override(
        recipes.debug(recipes.get("digits")), "epochs=1", "model.patch_size=4", "batch_size=8"
    )
    run = train(plan, tmp_path / "run", images)
    (advice,) = [row for row in run.report["next"] if row["rule"] == "small_validation"]
    assert advice["command"].startswith("keras_vit.train(keras_vit.recipes.override(run.recipe, ")


@pytest.mark.slow
def test_a_quantised_file_is_where_the_advice_says(digits_run, tmp_path, in_process):
    from keras_vit.advice.commands import quantized
    from tests.advice.test_advise import changed

    folder = tmp_path / "digits"
    folder.symlink_to(digits_run[0])
    words = shlex.split(quantized(changed(folder=str(folder)), "litert"))
    result = in_process(*words[1:])
    assert result.code == 0, result.err
    assert (tmp_path / "digits-small" / "model.tflite").exists()
