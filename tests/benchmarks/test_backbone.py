# SPDX-License-Identifier: MIT
"""The drawings of benchmarks/backbone, and the file that is made of a pre-training on them."""

import importlib
import json
from pathlib import Path

import keras
import numpy as np
import pytest

import keras_vit
from keras_vit import recipes
from keras_vit.recipes.changes import Changes
from keras_vit.weights.formats import open_checkpoint
from keras_vit.weights.load import load_model
from keras_vit.weights.source import open_source

FOLDER = Path(__file__).parents[2] / "benchmarks" / "backbone"


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module


@pytest.mark.parametrize("kind", ["figures", "fractals", "contours"])
def test_an_image_depends_on_its_seed_class_and_number_alone(script, kind):
    drawn = script("draw").drawn
    images, labels = drawn(kind, 5, 2, 0)
    assert images.shape == (10, 64, 64, 3) and images.dtype == np.uint8
    assert labels.tolist() == [0, 1, 2, 3, 4] * 2
    assert images.reshape(10, -1).std(axis=1).min() > 0  # of each: something is to be seen
    assert len({image.tobytes() for image in images}) == 10
    assert np.array_equal(drawn(kind, 5, 1, 0)[0], images[:5])
    assert not np.array_equal(drawn(kind, 5, 1, 1)[0], images[:5])


def test_four_figures_share_a_shape_and_four_the_surfaces_but_no_two_both(script):
    asked = []

    def generator(name, number):
        asked.append((name, number))
        return np.random.default_rng(number)

    script("figures").random_figures(16, generator)
    shapes, surfaces = (
        [number for name, number in asked if name == what] for what in ("shape", "surfaces")
    )
    assert [shapes.count(n) for n in set(shapes)] == [4] * 4
    assert [surfaces.count(n) for n in set(surfaces)] == [4] * 4
    assert len(set(zip(shapes, surfaces, strict=True))) == 16


def test_the_pretraining_is_a_recipe_whose_backbone_fits_the_wheel():
    recipe = Changes(config=str(FOLDER / "pretrain.json")).apply(recipes.get("finetune"))
    backbone = keras_vit.ViTConfig(**{**vars(recipe.model), "num_classes": 0})
    assert 2 * backbone.num_parameters < 3_000_000 - 50_000  # bytes, and room for the header


@pytest.mark.slow
def test_a_pretraining_is_packed_as_float16_without_its_head(script, tmp_path):
    config = keras_vit.ViTConfig(
        image_size=16, patch_size=8, width=16, depth=1, mlp_dim=32, num_heads=2, num_classes=3,
        class_token=False, position="sincos2d", pool="average", pixel_mean=0.4, pixel_std=0.2,
    )  # fmt: skip
    model = keras_vit.vit(config)
    run = tmp_path / "run"
    run.mkdir()
    (run / "recipe.json").write_text(json.dumps(recipes.to_dict(recipes.get("digits"))))
    model.save(run / "model.keras")
    file = tmp_path / "packed" / "mini.safetensors"
    script("pack").pack(run, file)

    checkpoint = open_checkpoint(file)
    assert {spec.dtype for spec in checkpoint.specs.values()} == {"float16"}
    assert [origin.licence for origin in open_source(file).origins] == ["MIT"]
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 16, 16, 3)).astype("float32")
    expected = keras.Model(model.input, model.get_layer("pool").output)(pixels)
    # A float16 has 11 bits: each weight is off by 2^-12 of itself at most.
    np.testing.assert_allclose(load_model(file)(pixels), expected, atol=5e-3)
    assert load_model(file, image_size=24).output.shape == (None, 16)


def test_the_table_of_small_folders_trains_every_start(script, tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(FOLDER.parent / "recipes"))
    tables, small = script("tables"), script("small_folders")
    for split, count in (("train", 8), ("test", 1)):
        for name in "abcd":
            (tmp_path / "data" / split / name).mkdir(parents=True)
            for i in range(count):
                (tmp_path / "data" / split / name / f"{i}.jpg").touch()
    recipes_made = []

    def run(arguments, folder):
        from keras_vit.apps import train
        from keras_vit.apps.cli import make_parser

        recipe = train._recipe(make_parser("train").parse_args(arguments[1:]))
        recipes_made.append(recipe)
        folder.mkdir()
        (folder / "recipe.json").write_text(json.dumps(recipes.to_dict(recipe)))
        (folder / "history.csv").write_text("epoch,loss\n1,2.0\n2,1.5\n")
        top_1 = 0.6 if recipe.init == "I" else 0.5
        report = {"objective": "classify", "top1": top_1, "data": {"test": 200}}
        (folder / "report.json").write_text(json.dumps(report))
        return 50.0

    monkeypatch.setattr(tables, "_run", run)
    small_flags = ["--classes", "3", "--images", "2", "4", "--test", "1", "--seeds", "2"]
    monkeypatch.setattr(
        "sys.argv",
        ["x", str(tmp_path / "data"), "--out", str(tmp_path / "out"), "--init", "I", *small_flags],
    )
    small.main()
    assert [recipe.init for recipe in recipes_made] == ["random", None, "I"] * 4
    rows = capsys.readouterr().out.splitlines()[-2:]
    assert " ".join(rows[0].split()) == "3 2 50.0 % 50.0 % 60.0 % +10.0 (+10.0 to +10.0)"
