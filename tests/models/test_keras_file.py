# SPDX-License-Identifier: MIT
"""A `.keras` file is a model or one line, for every command that opens one."""

import json
import os
import shutil
import zipfile

import h5py
import keras
import numpy as np
import pytest

from keras_vit import UserError, recipes, vit
from keras_vit.deploy import export_run, plan_benchmark, run_benchmark
from keras_vit.models.keras_file import load_keras
from keras_vit.predictor import Predictor
from keras_vit.reports import draw_images
from tests.models.test_vit import tiny


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("keras") / "model.keras"
    vit(tiny()).save(path)
    return path


def with_lambda(whole, path):
    inputs = keras.Input((16, 24, 3))
    outputs = keras.layers.Lambda(lambda x: x[:, 0, 0])(inputs)
    keras.Model(inputs, outputs).save(path)


def rewritten(change):
    """Copies a file member by member, each as `change` makes it."""

    def damage(whole, path):
        with zipfile.ZipFile(whole) as old, zipfile.ZipFile(path, "w") as new:
            for name in old.namelist():
                contents = change(name, old.read(name))
                if contents is not None:
                    new.writestr(name, contents, zipfile.ZIP_DEFLATED)

    return damage


def config(change):
    def edited(name, contents):
        if name != "config.json":
            return contents
        values = json.loads(contents)
        change(values)
        return json.dumps(values)

    return rewritten(edited)


def bomb(whole, path):
    """300 MB of zeros in 300 kB; 2.6 GB in 1.5 MB would only take longer to make."""
    rewritten(lambda name, contents: contents + bytes(300_000_000 * name.endswith(".h5")))(
        whole, path
    )


DAMAGES = {
    "empty": lambda whole, path: path.write_bytes(b""),
    "text": lambda whole, path: path.write_text("a model"),
    "cut short": lambda whole, path: path.write_bytes(whole.read_bytes()[:-1000]),
    "pipe": lambda whole, path: os.mkfifo(path),
    "Lambda": with_lambda,
    "bomb": bomb,
    "no weights": rewritten(lambda name, c: None if name.endswith(".h5") else c),
    "no config": rewritten(lambda name, c: None if name == "config.json" else c),
    "weights of text": rewritten(lambda name, c: b"text" if name.endswith(".h5") else c),
    "a list": rewritten(lambda name, c: "[]" if name == "config.json" else c),
    "deep": rewritten(lambda name, c: "[" * 10_000 if name == "config.json" else c),
    "unknown class": config(
        lambda values: values.update(module="os", class_name="system", registered_name="system")
    ),
    "no layers": config(lambda values: values["config"].pop("layers")),
    "licences of text": config(lambda values: values["config"].update(origins=["MIT"])),
    "an optimizer": config(
        lambda values: values.update(
            module="keras.optimizers", class_name="SGD", config={}, registered_name="SGD"
        )
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_wrong_is_one_line(whole, tmp_path, damage):
    path = tmp_path / "bad.keras"
    DAMAGES[damage](whole, path)
    with pytest.raises(UserError, match=r"bad\.keras: ") as caught:
        load_keras(path)
    assert "\n" not in str(caught.value)


def test_no_command_opens_one_otherwise(whole, tmp_path):
    """Alone, and as the model of a run."""
    run = tmp_path / "run"
    run.mkdir()
    text = json.dumps(recipes.to_dict(recipes.get("digits")))
    (run / "recipe.json").write_text(text, encoding="utf-8")
    (run / "labels.txt").write_text("a\nb\nc\n", encoding="utf-8")
    path = run / "model.keras"
    for damage in ("empty", "Lambda"):
        DAMAGES[damage](whole, path)
        for call in (
            lambda: Predictor.open(run),
            lambda: export_run(path, tmp_path / "out", ["litert"]),
            lambda: run_benchmark(plan_benchmark([str(path)], ["litert"])),
            lambda: draw_images(run, ["cat.png"], tmp_path / "pictures"),
        ):
            with pytest.raises(UserError, match=r"model\.keras: is "):
                call()


def test_weights_that_are_no_numbers_are_told(tmp_path, photos):
    """Nothing that a model says of an image means anything then."""
    model = vit(tiny())
    model.get_layer("head").bias.assign(np.full(3, np.nan))
    run = tmp_path / "run"
    run.mkdir()
    recipe = recipes.override(recipes.get("digits"), "model.depth=1")
    recipe = recipes.schema.dataclasses.replace(recipe, model=tiny())
    (run / "recipe.json").write_text(json.dumps(recipes.to_dict(recipe)), encoding="utf-8")
    (run / "labels.txt").write_text("a\nb\nc\n", encoding="utf-8")
    model.save(run / "model.keras")
    image = next(photos.rglob("*.png"))
    with pytest.raises(UserError, match=r"model\.keras: expected finite logits, received NaN"):
        list(Predictor.open(run).predict([image]))
    with pytest.raises(UserError, match="expected finite logits, received NaN"):
        draw_images(run, [str(image)], tmp_path / "pictures")
    shutil.copy(run / "model.keras", tmp_path / "alone.keras")
    with pytest.raises(UserError, match="numbers that are not finite"):  # the check of the file
        export_run(tmp_path / "alone.keras", tmp_path / "out", ["litert"])


def test_weights_of_another_file_are_not_read(whole, tmp_path):
    """HDF5 can refer to other files: theirs would become weights, which can be saved again."""

    def external(name, contents):
        if not name.endswith(".h5"):
            return contents
        path = tmp_path / "weights.h5"
        path.write_bytes(contents)
        (tmp_path / "secret").write_bytes(bytes(10_000))
        with h5py.File(path, "r+") as file:
            found = []
            file.visititems(lambda place, node: found.append((place, node)))
            found = [place for place, node in found if isinstance(node, h5py.Dataset)]
            shape = file[found[0]].shape
            del file[found[0]]
            storage = [(str(tmp_path / "secret"), 0, h5py.h5f.UNLIMITED)]
            file.create_dataset(found[0], shape, "float32", external=storage)
        return path.read_bytes()

    path = tmp_path / "bad.keras"
    rewritten(external)(whole, path)
    with pytest.raises(UserError, match=r"bad\.keras: "):
        load_keras(path)
