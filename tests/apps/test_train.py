# SPDX-License-Identifier: MIT
"""`keras-vit train` on a folder with broken files."""

import json
import shutil

import numpy as np
import pytest
from keras_vit.apps import cli
from keras_vit.apps import train as app
from PIL import Image

from keras_vit import UserError, ViTConfig, recipes, vit
from keras_vit.model_file import ModelFile
from keras_vit.training.plan import make_plan
from keras_vit.weights import save


def test_broken_files_are_an_error_or_left_out(photos, tmp_path, in_process, no_exports, untraced):
    root, run = tmp_path / "photos", tmp_path / "run"
    shutil.copytree(photos, root)
    page, cut = root / "dark" / "00.png", root / "light" / "05.png"
    page.write_bytes(b"<html>")
    cut.write_bytes(cut.read_bytes()[:-300])
    flags = [root, "--recipe", "cifar10_seed", "--debug", "--workdir", run]
    flags += ["--set", "model.image_size=8", "--set", "epochs=1"]

    with pytest.raises(UserError, match="2 files cannot be used") as error:
        in_process("train", *flags)
    assert "--on_bad=skip" in str(error.value)
    assert not run.exists()

    result = in_process("train", *flags, "--on_bad", "skip")
    assert result.code == 0, result.err
    assert "note: 2 files left out" in result.err
    lines = (run / "bad_files.txt").read_text().splitlines()
    assert [line.partition(": ")[0] for line in lines] == [str(page), str(cut)]
    assert page.exists() and cut.exists()
    counts = json.loads((run / "report.json").read_text())["data"]
    assert counts["train"] + counts["validation"] + counts["test"] == 22
    assert "2 files left out" in counts["notes"][-1]
    # Evaluation leaves them out too: its test split is that of the run.
    *_, split = ModelFile.find(run).test_split()
    assert len(split) == counts["test"]


def test_a_folder_is_fine_tuned_by_default(photos, tmp_path, in_process, no_exports, untraced):
    """From a checkpoint of another size with another head, with the names of the folders."""
    weights, run = tmp_path / "mu_8.npz", tmp_path / "run"
    save(
        vit(ViTConfig.of("mu/8", activation="gelu_tanh", image_size=32, num_classes=7)),
        weights,
        "flax",
    )
    flags = ("--init", weights, "--set", "image_size=16", "--set", "epochs=1", "--workdir", run)
    result = in_process("train", photos, *flags)
    assert result.code == 0, result.err
    assert "warning" not in result.err
    recipe = json.loads((run / "recipe.json").read_text())
    assert (recipe["name"], recipe["init"], recipe["epochs"]) == ("finetune", str(weights), 1)
    assert (recipe["model"]["width"], recipe["model"]["image_size"]) == (32, [16, 16])


def test_weights_that_are_not_there_stop_a_run_before_it_begins(photos, tmp_path, in_process):
    with pytest.raises(UserError, match=r"no/such.npz: no such file"):
        in_process("train", photos, "--init", "no/such.npz", "--workdir", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_dry_run_writes_samples_alone(tmp_path, in_process, untraced):
    config = tmp_path / "mine.json"
    config.write_text(json.dumps({"batch_size": 16, "epochs": 9}))
    flags = ["--debug", "--config", config, "--set", "epochs=7", "--dry_run"]
    flags += ["--workdir", tmp_path / "dry"]
    result = in_process("train", *flags)
    assert result.code == 0
    assert "7 epochs of 80 steps of 16 images: 560" in result.out
    assert "2.3026 in the first step; chance is 2.3026" in result.out
    assert "9,674 parameters" in result.out
    rows = {line.split()[0]: line.split()[-1] for line in result.out.splitlines() if line}
    assert (rows["batch_size"], rows["epochs"]) == ("--config", "--set")
    assert rows["optimizer.weight_decay"] == "recipe"
    assert "seed" not in rows and "fields have their defaults; --all shows them too" in result.out

    whole = in_process("train", *flags, "--all")
    assert whole.code == 0
    assert "seed" in {line.split()[0] for line in whole.out.splitlines() if line}
    assert "--all shows them too" not in whole.out
    written = sorted((tmp_path / "dry").iterdir())
    assert [path.name for path in written] == ["samples-1.jpg", "samples.jpg"]
    assert all(path.read_bytes().startswith(b"\xff\xd8") for path in written)


def test_a_recipe_of_grey_images_refuses_color(tmp_path, capsys):
    random = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(6):
            pixels = random.integers(0, 255, (70, 70, 3), "uint8")
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{i}.png")

    def planned(*settings):
        flags = [word for setting in settings for word in ("--set", setting)]
        line = [str(tmp_path / "photos"), "--recipe", "digits", "--debug", *flags]
        args = cli.make_parser("train").parse_args(line)
        make_plan(app._recipe(args), options=app._options(args))
        return capsys.readouterr().err

    with pytest.raises(UserError, match="are in color, and the model of digits sees shades"):
        planned()
    said = planned("model.channels=1")
    assert "warning: images of about 70 pixels are shrunk to 8 x 8" in said
    assert "warning" not in planned("model.channels=3", "model.image_size=8")


@pytest.mark.parametrize(
    "flags, difference",
    [
        (["--set", "epochs=41"], "epochs is 40, not 41"),
        (["photos"], "data.source is digits, not photos"),
        (["--on_bad", "skip"], "data.on_bad is error, not skip"),
        (["--set", "model.depth=7", "--set", "seed=3"], "model.depth is 6, not 7, seed is 0, not"),
    ],
)
def test_resume_names_the_fields_that_differ(tmp_path, in_process, flags, difference):
    recipe = recipes.override(recipes.get("digits"), "epochs=40", "model.depth=6")
    (tmp_path / "recipe.json").write_text(json.dumps(recipes.to_dict(recipe)))
    with pytest.raises(UserError, match="its recipe says otherwise than the flags") as error:
        in_process("train", "--resume", tmp_path, *flags)
    assert difference in str(error.value)


@pytest.mark.slow
def test_resume_takes_no_flag_that_says_otherwise(tmp_path, in_process):
    run = tmp_path / "run"
    flags = ["--debug", "--set", "epochs=40"]
    stopped = in_process("train", *flags, "--workdir", run, "--max_time", "1s")
    assert stopped.code == 0
    assert f"Continue with: keras-vit train --resume {run}" in stopped.err
    assert not (run / "report.json").exists()
    for wrong in (["--set", "epochs=41"], ["photos"], ["--on_bad", "skip"]):
        with pytest.raises(UserError, match="its recipe says otherwise"):
            in_process("train", "--resume", run, *wrong)
    assert in_process("train", "--resume", run, "--set", "epochs=40").code == 0
    assert (run / "report.md").exists()
