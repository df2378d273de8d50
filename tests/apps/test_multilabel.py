# SPDX-License-Identifier: MIT
"""Images of several classes or none, from a table of files to predictions of the exported file."""

import csv
import io
import json

import numpy as np
import pytest
from PIL import Image

from keras_vit import UserError

COLORS = ("red", "green")


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """96 images that are red, green, both or neither."""
    folder = tmp_path_factory.mktemp("colors")
    random = np.random.default_rng(0)
    lines = ["path,labels"]
    for i in range(96):
        shown = [COLORS[c] for c in range(2) if i >> c & 1]
        pixels = random.integers(0, 60, (8, 8, 3))
        for color in shown:
            pixels[..., COLORS.index(color)] += 190
        Image.fromarray(pixels.astype("uint8")).save(folder / f"{i:02d}.png")
        lines.append(f"{i:02d}.png,{'|'.join(shown)}")
    (folder / "colors.csv").write_text("\n".join(lines))
    return folder / "colors.csv"


@pytest.fixture(scope="module")
def run(table, tmp_path_factory, in_process):
    folder = tmp_path_factory.mktemp("run") / "run"
    settings = (
        *("epochs=12", "batch_size=8", "model.image_size=8", "optimizer.learning_rate=1e-2"),
        *("objective.loss=sigmoid", "augmentation.crop=none"),
    )
    flags = [word for setting in settings for word in ("--set", setting)]
    result = in_process(
        *("train", table, "--recipe", "cifar10_seed", "--debug", "--workdir", folder), *flags
    )
    assert result.code == 0, result.err
    return folder, result


def test_a_softmax_is_refused_with_what_to_type(table, tmp_path, in_process):
    with pytest.raises(UserError, match=r"--set objective.loss=sigmoid"):
        in_process("train", table, "--debug", "--workdir", tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_the_run(run):
    folder, result = run
    assert result.out.split()[1] == "mAP" and result.out.count("100 %") == 2
    assert "val_average_precision" in result.err
    report = json.loads((folder / "report.json").read_text())
    assert "top1" not in report
    # The colors are told apart without a doubt; a chance answer has a mAP of about 1/2.
    assert report["map"] == pytest.approx(1, abs=0.01)
    assert all(e["ok"] and e["agreement"] == 1 for e in report["exports"])
    with (folder / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    best = max(rows, key=lambda r: (float(r["val_average_precision"]), -float(r["val_loss"])))
    assert int(best["epoch"]) == report["best_epoch"]
    assert report["validation_map"] == pytest.approx(float(best["val_average_precision"]), 1e-5)
    assert "mAP" in (folder / "report.md").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["", "export/saved_model", "export/model.tflite"])
def test_evaluate(run, in_process, name):
    folder, _ = run
    report = json.loads((folder / "report.json").read_text())
    measured = json.loads(in_process("evaluate", folder / name, "--format", "json").out)
    assert measured["map"] == report["map"]
    assert measured["images"] == report["data"]["test"]
    assert [row["class"] for row in measured["per_class"]] == sorted(COLORS)
    text = in_process("evaluate", folder / name).out
    assert "mAP" in text and "right in every class" in text and "AP" in text


@pytest.mark.slow
def test_predict(run, table, in_process):
    folder, _ = run
    files = [table.parent / f"{i:02d}.png" for i in range(4)]
    model = folder / "export/model.tflite"
    lines = in_process("predict", model, *files, "--format", "jsonl").out.splitlines()
    found = [{p["class"] for p in json.loads(line)["predictions"]} for line in lines]
    assert found == [set(), {"red"}, {"green"}, {"red", "green"}]
    lines = in_process("predict", model, *files, "--format", "jsonl", "--top_k", "1").out
    assert [len(json.loads(line)["predictions"]) for line in lines.splitlines()] == [1] * 4
    text = in_process("predict", model, *files, "--format", "csv").out
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [bool(row["class_1"]) + bool(row["class_2"]) for row in rows] == [0, 1, 1, 2]


@pytest.mark.slow
def test_data_of_one_class_to_an_image_are_another_task(run, photos, in_process):
    with pytest.raises(UserError, match="expected images of any number of classes"):
        in_process("evaluate", run[0], photos)
