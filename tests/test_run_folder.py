# SPDX-License-Identifier: MIT
"""The files of a run: named in one place, read once, and checked when they are a stranger's."""

import ast
import contextlib
import json
import shutil
import signal
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import keras_vit
from keras_vit import UserError, data, recipes
from keras_vit.model_file import ModelFile
from keras_vit.predictor import Predictor
from keras_vit.reports import export_table, write_report
from keras_vit.run_folder import EXPORT_NAMES, QUANTIZATION_FILE, RunFolder
from tests.contracts import slow_but
from tests.damages import TEXTS, WAYS, damaged, refused, secret_is_whole


@pytest.fixture
def run(digits_run):
    return RunFolder.open(digits_run[0])


@pytest.fixture(autouse=True)
def at_most_a_minute():
    signal.alarm(60)  # a pipe would wait for ever
    yield
    signal.alarm(0)


def test_what_a_run_says(run):
    assert run.recipe.data.source == "digits" and run.recipe.epochs == 3
    assert run.labels == run.metadata.labels == tuple("0123456789")
    assert run.metadata.image_size == run.recipe.model.image_size
    assert run.report["data"]["classes"] == 10 and run.finished
    assert {"packages", "cpu"} <= run.environment.keys()
    images, _ = data.load("digits")
    for name in ("train", "validation", "test"):
        source, classes, split = run.split(name)
        assert (source, classes) == ("digits", images.classes)
        np.testing.assert_array_equal(split.pixels, getattr(images, name).pixels)
    assert {path.name for path in run.path.iterdir()} <= set(names())


def test_a_run_of_version_0_1(run, tmp_path):
    """Without a record of the splits and without metadata: both follow from the recipe."""
    shutil.copytree(run.path, tmp_path / "run")
    old = RunFolder.open(tmp_path / "run")
    old.split_file.unlink()
    old.metadata_file.unlink()
    assert old.metadata == run.metadata
    np.testing.assert_array_equal(old.split("test")[2].pixels, run.split("test")[2].pixels)


def test_what_is_no_run_is_refused(run, tmp_path):
    with pytest.raises(UserError, match=r"expected the folder of a run \(with recipe\.json\)"):
        RunFolder.open(tmp_path)
    assert RunFolder.around(tmp_path / "model.keras") is None
    (tmp_path / "recipe.json").write_text("{}")
    with pytest.raises(UserError, match=r"this run has no model\.keras; it ended before"):
        ModelFile.find(tmp_path)
    shutil.copy(run.model_file, tmp_path)
    with pytest.raises(UserError, match=r"recipe\.json: is not a recipe that can be read: name"):
        ModelFile.find(tmp_path)


def test_the_run_around_a_model_file(run, tmp_path):
    assert RunFolder.around(run.model_file) == run
    assert RunFolder.around(run.exports_folder / EXPORT_NAMES["litert"]) == run
    assert ModelFile.find(run.path) == ModelFile.find(run.model_file)
    found = ModelFile.find(run.exports_folder / EXPORT_NAMES["litert"])
    assert ModelFile.find(found) is found and found.run == run and not found.needs_keras
    assert found.labels is None  # the file says its own
    assert found.metadata().labels == run.labels
    assert found.trained_on(None) and found.trained_on("digits") and not found.trained_on("photos")
    shutil.copy(run.model_file, tmp_path)
    alone = ModelFile.find(tmp_path / run.model_file.name)
    assert alone.run is None and alone.labels is None and not alone.trained_on(None)
    with pytest.raises(UserError, match=r"nothing says its labels and input size"):
        alone.metadata()
    with pytest.raises(UserError, match=r"does not stand in a run folder"):
        alone.test_split()


def test_what_is_written_is_read(tmp_path):
    run = RunFolder(tmp_path)
    assert not run.exists and not run.finished
    run.write_recipe(recipes.get("digits"))
    assert run.exists and run.recipe == recipes.get("digits")
    longer = recipes.override(run.recipe, "epochs=99")
    run.write_recipe(longer)
    assert run.recipe == RunFolder.open(tmp_path).recipe == longer


def test_the_audit_of_a_run(photos, tmp_path):
    copy = tmp_path / "photos"
    shutil.copytree(photos, copy)
    shutil.copy(copy / "dark" / "00.png", copy / "light" / "copy.png")
    images, audit = data.load(str(copy))
    run = RunFolder(tmp_path / "run")
    run.write_data_records(images, audit)
    found = json.loads(run.audit_file.read_text())
    assert found == json.loads(json.dumps(data.audit_files(str(copy)).to_dict()))
    assert found["decoded"] and [f["kind"] for f in found["findings"]] == ["two labels"]
    assert f"1 image in more than one class; see {run.audit_file.name}" in images.notes
    assert not run.left_out_file.exists()


def test_a_report_of_another_shape_is_refused(run, tmp_path):
    shutil.copytree(run.path, tmp_path / "run")
    copy = RunFolder(tmp_path / "run")
    assert export_table(run.report) and write_report(copy.path) == copy.report_page
    for change, words in {
        "top1": r"top1: expected a number from 0 to 1, received 'x'",
        "exports": r"exports: expected a list .*, received 'x'",
        "data": r"data: expected an object, received 'x'",
        "keras": r"keras: expected an object, received 'x'",
    }.items():
        copy.write_report({**run.report, change: "x"})
        with pytest.raises(UserError, match=rf"report\.json: {words}"):
            write_report(copy.path)


def test_a_recipe_without_a_model_is_not_that_of_a_run(run, tmp_path):
    shutil.copytree(run.path, tmp_path / "run")
    copy = RunFolder(tmp_path / "run")
    copy.metadata_file.unlink()
    copy.write_recipe(recipes.get("finetune"))
    with pytest.raises(UserError, match=r"recipe\.json: expected the model of a run"):
        _ = copy.metadata


@pytest.mark.parametrize("damage", WAYS)
def test_what_says_what_a_run_is(run, tmp_path, damage):
    """Each file in each way, by whatever reads it."""
    readers = {
        "recipe.json": RunFolder.open,
        "metadata.json": Predictor.open,
        "report.json": lambda folder: RunFolder(folder).report,
        "split.csv": lambda folder: RunFolder(folder).split("test"),
    }
    for name, read in readers.items():
        folder = damaged(run.path, tmp_path / name, name, damage)
        refused(lambda read=read, folder=folder: read(folder), name)
    if damage not in TEXTS:
        folder = damaged(run.path, tmp_path / "labels", "labels.txt", damage)
        refused(lambda: Predictor.open(folder), "labels.txt")
    if damage != "object":  # which is an environment
        folder = damaged(run.path, tmp_path / "env", "env.json", damage)
        refused(lambda: RunFolder(folder).environment, "env.json")
    assert not list(tmp_path.rglob("secret")) or secret_is_whole(tmp_path)


_opened, _counting = Counter(), False


def _count(event, arguments):
    if _counting and event == "open" and isinstance(arguments[0], str | bytes | Path):
        _opened[Path(str(arguments[0])).name] += 1


sys.addaudithook(_count)  # sees every file that Python opens, whoever opens it
DESCRIPTIONS = ("recipe.json", "metadata.json", "labels.txt", "split.csv")


@contextlib.contextmanager
def counting():
    """Counts how often a file of each name is opened."""
    global _counting
    _opened.clear()
    _counting = True
    try:
        yield
    finally:
        _counting = False


OFTEN = [
    ("train", "--resume", "RUN"),  # which is finished
    ("evaluate", "RUN"),
    ("predict", "RUN/export/model.tflite", "PHOTOS"),
    ("visualize", "RUN", "PHOTOS/dark/00.png", "--out", "OUT"),
    ("export", "RUN", "--format", "litert", "--out", "OUT"),
]
MORE = [
    ("evaluate", "RUN/export/model.tflite"),
    ("evaluate", "RUN", "--probe", "--knn"),
    ("predict", "RUN", "PHOTOS"),
    ("visualize", "RUN", "--out", "OUT"),
]


@pytest.mark.parametrize("command", slow_but(OFTEN, OFTEN + MORE), ids=" ".join)
def test_a_command_reads_each_file_of_a_run_once(run, photos, tmp_path, in_process, command):
    places = {"RUN": str(run.path), "PHOTOS": str(photos), "OUT": str(tmp_path / "out")}
    words = [command[0]]
    for word in command[1:]:
        for name, place in places.items():
            word = word.replace(name, place)
        words.append(word)
    with counting():
        assert in_process(*words).code == 0
    read = {name: _opened[name] for name in DESCRIPTIONS}
    assert read["recipe.json"] == 1 and max(read.values()) == 1, read


def test_loading_a_model_reads_each_file_of_a_run_once(run):
    with counting():
        assert keras_vit.load_model(run.path).labels == tuple("0123456789")
    assert {name: _opened[name] for name in DESCRIPTIONS} == {
        "recipe.json": 1,
        "labels.txt": 1,
        "metadata.json": 0,
        "split.csv": 0,
    }


def names():
    """Every name that `RunFolder` gives a file or folder."""
    return [entry.name for entry in vars(RunFolder).values() if type(entry).__name__ == "_Entry"]


# Elsewhere they are names of something else, or words of a sentence.
OTHERS = {
    "keras_vit/export/metadata.py": {"labels.txt", "metadata.json"},  # inside an exported file
    "keras_vit/export/runner.py": {"metadata.json"},  # the same, of ONNX
    "keras_vit/data/by_name.py": {"audit.json"},  # a note, which has to say where more stands
    "keras_vit/weights/adapters/keras_file.py": {"model.keras"},  # a folder with a model in it
    "apps/train.py": {"samples.jpg", "recipe.json"},  # --help, and --dry_run, which makes no run
}


def test_no_other_module_names_a_file_of_a_run():
    root, wrong = Path(keras_vit.__file__).parent.parent, []
    files = [name for name in [*names(), *EXPORT_NAMES.values(), QUANTIZATION_FILE] if "." in name]
    for path in sorted([*root.glob("keras_vit/**/*.py"), *root.glob("apps/*.py")]):
        place = path.relative_to(root).as_posix()
        if place == "keras_vit/run_folder.py":
            continue
        said = [name for text in constants(path) for name in files if name in text]
        said += [name for name in joined(path) if name in names()]
        wrong += [(place, name) for name in said if name not in OTHERS.get(place, ())]
    assert not wrong


def constants(path):
    """The strings of a module, without docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
            yield node.value


def joined(path):
    """The strings that a module adds to a path with `/`."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    joins = [n for n in ast.walk(tree) if isinstance(n, ast.BinOp) and isinstance(n.op, ast.Div)]
    return [node.right.value for node in joins if isinstance(node.right, ast.Constant)]
