# SPDX-License-Identifier: MIT
"""`keras-vit evaluate` beyond the test split of a run."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from keras_vit import UserError
from keras_vit.data import load


@pytest.fixture(scope="module")
def digit_folder(tmp_path_factory):
    """The first 60 test digits as files that are numbered from 1, in a folder for each class."""
    root = tmp_path_factory.mktemp("digits") / "files"
    test = load("digits")[0].test
    for i in range(60):
        folder = root / str(test.labels[i])
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(test.pixels[i, ..., 0]).save(folder / f"digit_{i + 1:08d}.png")
    return root


def evaluated(in_process, *arguments):
    return json.loads(in_process("evaluate", *arguments, "--format", "json").out)


def test_real_labels(digits_run, digit_folder, tmp_path, in_process):
    model = digits_run[0] / "export/model.tflite"
    labels = load("digits")[0].test.labels[:60]
    plain = evaluated(in_process, model, digit_folder)["top1"]

    def real(sets):
        (tmp_path / "real.json").write_text(json.dumps(sets))
        return evaluated(in_process, model, digit_folder, "--labels", tmp_path / "real.json")

    assert real([[int(label)] for label in labels])["top1"] == plain
    assert real([list(range(10))] * 60)["top1"] == 1
    found = real([[int(label)] if i % 3 else [] for i, label in enumerate(labels)])
    assert (found["images"], found["unlabelled"]) == (40, 20)
    table = in_process("evaluate", model, digit_folder, "--labels", tmp_path / "real.json").out
    assert "ReaL" in table and "20 images without labels left out" in table
    with pytest.raises(UserError, match="none of the 60 images has a label"):
        real([[]] * 60)
    with pytest.raises(UserError, match="is not JSON"):
        (tmp_path / "real.json").write_text("{")
        evaluated(in_process, model, digit_folder, "--labels", tmp_path / "real.json")
    with pytest.raises(UserError, match="images that are files"):
        evaluated(in_process, model, "--labels", tmp_path / "real.json")


def test_a_part_of_the_classes(digits_run, digit_folder, tmp_path, in_process):
    """In another order, below test/ of a folder whose train/ has more, and one class alone."""
    model = digits_run[0] / "export/model.tflite"
    rows = evaluated(in_process, model, digit_folder)["confusion_matrix"]
    part = tmp_path / "part"
    for name in ("train", "test"):
        for digit in "7", "3", *("5" * (name == "train")):
            shutil.copytree(digit_folder / digit, part / name / digit)
    (part / "test" / "0").mkdir()  # empty, as if there were none
    found = evaluated(in_process, model, part)
    assert found["absent"] == list("01245689")
    assert len(found["per_class"]) == len(found["confusion_matrix"]) == 10
    assert [found["confusion_matrix"][i] for i in (3, 7)] == [rows[3], rows[7]]
    assert found["images"] == sum(rows[3]) + sum(rows[7])
    assert found["top1"] == (rows[3][3] + rows[7][7]) / found["images"]
    f1 = [found["per_class"][i]["f1"] for i in (3, 7)]
    assert found["macro_f1"] == pytest.approx(np.mean(f1))
    table = in_process("evaluate", model, part).out
    assert "absent  0, 1, 2, 4, 5, 6, 8, 9: no image, and not in the mean" in table

    shutil.copytree(digit_folder / "4", tmp_path / "alone" / "4")
    assert evaluated(in_process, model, tmp_path / "alone")["images"] == sum(rows[4])
    shutil.copytree(digit_folder / "4", tmp_path / "alone" / "four")
    with pytest.raises(UserError, match="received also four"):
        in_process("evaluate", model, tmp_path / "alone")
    shutil.rmtree(tmp_path / "alone" / "four")
    for path in (tmp_path / "alone" / "4").iterdir():
        path.unlink()
    with pytest.raises(UserError, match="no image in its train split"):
        in_process("evaluate", model, tmp_path / "alone")


def test_folders_called_by_wordnet_ids_and_numbers(digits_run, digit_folder, tmp_path, in_process):
    model = digits_run[0] / "export/model.tflite"
    plain = evaluated(in_process, model, digit_folder)
    named = tmp_path / "named"
    shutil.copytree(digit_folder, named)
    for i in range(10):
        (named / str(i)).rename(named / f"n{10 + i:08d}")
    with pytest.raises(UserError, match=r"keras-vit evaluate --classes"):
        evaluated(in_process, model, named)
    found = evaluated(in_process, model, named, "--classes", "wordnet")
    assert found["confusion_matrix"] == plain["confusion_matrix"]
    shutil.rmtree(named / "n00000010")
    for i in range(1, 10):
        (named / f"n{10 + i:08d}").rename(named / str(i))
    found = evaluated(in_process, model, named, "--classes", "numbers")
    assert found["confusion_matrix"][1:] == plain["confusion_matrix"][1:]
    assert sum(found["confusion_matrix"][0]) == 0


def test_probes(digits_run, digit_folder, in_process):
    folder, _ = digits_run
    found = evaluated(in_process, folder, "--probe", "--knn")
    assert (found["train"], found["test"], found["features"]) == (1295, 359, 32)
    assert list(found["few_shot"]) == ["1", "5", "10", "25"]
    # Far above chance, 0.1, on features of three epochs.
    assert found["few_shot"]["25"] > 0.4 and found["knn"] > 0.4
    other = evaluated(in_process, folder, digit_folder, "--knn")
    assert other["data"] == str(digit_folder) and "few_shot" not in other
    table = in_process("evaluate", folder, digit_folder, "--probe").out
    assert "25 shot" in table and "kNN" not in table
    with pytest.raises(UserError, match=r"expected a run folder or a \.keras file"):
        in_process("evaluate", folder / "export/model.tflite", "--probe")


@pytest.mark.slow
def test_a_run_is_tested_on_what_it_held_out(photos, tmp_path, keras_vit_command, in_process):
    root = tmp_path / "photos"
    shutil.copytree(photos, root)
    settings = ("--set", "model.image_size=8", "--set", "epochs=1", "--set", "batch_size=8")
    flags = ("--recipe", "cifar10_seed", "--debug", *settings, "--workdir", tmp_path / "run")
    result = keras_vit_command("train", root, *flags)
    assert result.code == 0, result.err
    before = evaluated(in_process, tmp_path / "run")
    random = np.random.default_rng(3)
    for i in range(30):
        pixels = random.integers(0, 256, (9, 9, 3)).astype("uint8")
        Image.fromarray(pixels).save(root / "light" / f"0{i}a.png")
    (root / "light" / "broken.png").write_bytes(b"")
    assert evaluated(in_process, tmp_path / "run") == before
    assert before["images"] == 4
