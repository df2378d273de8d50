# SPDX-License-Identifier: MIT
"""Features of images of every form: rows, names and labels; what is broken is left out."""

import dataclasses
import os
import zipfile

import numpy as np
import pytest
from PIL import Image

import keras_vit
from keras_vit import UserError, create, embed, hardware
from keras_vit.data import read_image
from keras_vit.features import files
from keras_vit.preprocessing import Preprocessing
from tests.contracts import randomize

NOT_TEXT = os.fsdecode(b"caf\xe9\n=1.png")
SEEN = Preprocessing((16, 16))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A backbone of 32 features with random weights, as a file."""
    config = keras_vit.ViTConfig.of("mu/8", image_size=16, num_classes=3)
    model = keras_vit.vit(config)
    randomize(model)
    path = tmp_path_factory.mktemp("model") / "model.keras"
    model.save(path)
    return path


@pytest.fixture(scope="module")
def expected(model):
    """From paths of images to their features."""
    backbone = create(model, num_classes=0)

    def features(paths):
        return np.asarray(backbone(np.stack([read_image(path, SEEN) for path in paths])))

    return features


def quiet(problem):
    """Hears of a broken image."""


def assert_features(found, wanted):
    # Batches of another size are multiplied in another order.
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


def test_a_folder_of_classes(model, photos, expected, tmp_path):
    done = embed(model, photos, tmp_path / "f.npz", batch_size=7)  # 24 images: the last has three
    with np.load(tmp_path / "f.npz") as found:
        assert sorted(found) == ["classes", "features", "labels", "names"]
        assert found["features"].dtype == np.float32 and found["labels"].dtype == np.int64
        names = [str(name) for name in found["names"]]
        assert names == sorted(str(path) for path in photos.rglob("*.png"))
        assert found["classes"].tolist() == ["dark", "light"]
        assert found["labels"].tolist() == [0] * 12 + [1] * 12
        assert_features(found["features"], expected(names))
    assert dataclasses.astuple(done) == (24, 32, 0)
    assert list(tmp_path.iterdir()) == [tmp_path / "f.npz"]


def test_files_have_no_labels(model, photos, expected, tmp_path):
    paths = sorted((photos / "dark").iterdir())[:3]
    embed(model, paths, tmp_path / "files.npz")
    embed(model, photos / "dark", tmp_path / "folder.npz")
    with np.load(tmp_path / "files.npz") as found:
        assert sorted(found) == ["features", "names"]
        assert_features(found["features"], expected(paths))
    with np.load(tmp_path / "folder.npz") as found:
        assert len(found["names"]) == 12 and "labels" not in found


def test_equal_features_give_equal_files(model, photos, tmp_path, monkeypatch):
    """Images are read by one thread, or by several."""
    for count, name in enumerate(("a.npz", "b.npz"), 1):
        monkeypatch.setattr(hardware, "_threads", count)
        embed(model, photos / "dark", tmp_path / name)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_an_archive_and_its_splits(model, photos, tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_VIT_CACHE", str(tmp_path / "cache"))
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        for split in ("train", "test"):
            for path in sorted(photos.rglob("0[0-2].png")):
                archive.write(path, f"{split}/{path.relative_to(photos)}")
    embed(model, str(tmp_path / "photos.zip"), tmp_path / "f.npz")
    with np.load(tmp_path / "f.npz") as found:
        assert found["splits"].tolist() == ["train"] * 6 + ["test"] * 6
        assert found["names"][0] == "train/dark/00.png"  # not where the cache has it
        np.testing.assert_array_equal(*np.split(found["features"], 2))


def test_a_table_of_several_labels(model, photos, tmp_path):
    rows = ["path,label", f"{photos}/dark/00.png,a|b", f"{photos}/dark/01.png,", "gone.png,b"]
    (tmp_path / "table.csv").write_text("\n".join(rows))
    problems = []
    done = embed(model, tmp_path / "table.csv", tmp_path / "f.npz", tell=problems.append)
    assert done.failed == 1 and "gone.png: no such file" in problems[0]
    with np.load(tmp_path / "f.npz") as found:
        assert found["labels"].tolist() == [[1, 1], [0, 0]]


def test_digits_are_held_in_memory(model, tmp_path, monkeypatch):
    from keras_vit.data import image_list, load

    small = load("digits")[0].train.take(np.arange(5))
    monkeypatch.setattr(image_list, "read_examples", lambda *_: (["0", "1"], {"train": small}))
    embed(model, "digits", tmp_path / "f.npz")
    with np.load(tmp_path / "f.npz") as found:
        assert found["names"].tolist() == [f"train/{i}" for i in range(5)]
        assert found["features"].shape == (5, 32)


def test_hostile_names_and_broken_files(model, tmp_path, expected):
    folder = tmp_path / "set"
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (9, 9, 3), "uint8")
    long = "ä" * 120 + ".png"
    good = [folder / "'; DROP TABLE.png", folder / long, folder / "\x1b[2J.png", folder / NOT_TEXT]
    for path in good:
        Image.fromarray(pixels).save(path, "PNG")
    os.mkfifo(folder / "pipe.jpg")
    (folder / "empty.png").touch()
    (folder / "half.png").write_bytes(good[0].read_bytes()[:60])
    (folder / "self.png").symlink_to(folder / "self.png")
    (folder / "zero.png").symlink_to("/dev/zero")
    problems = []
    done = embed(model, folder, tmp_path / "f.npz", batch_size=2, tell=problems.append)
    assert (done.images, done.failed) == (4, 5)
    for name in ("pipe.jpg", "empty.png", "half.png", "self.png", "zero.png"):
        assert any(name in problem for problem in problems), name
    with np.load(tmp_path / "f.npz") as found:
        assert set(found["names"].tolist()) == {str(path) for path in good}
        assert_features(found["features"], expected(good))
    parquet = pytest.importorskip("pyarrow.parquet")
    embed(model, folder, tmp_path / "f.parquet", tell=quiet)
    names = parquet.read_table(tmp_path / "f.parquet")["name"].to_pylist()
    assert str(folder / r"caf\xe9") + "\n=1.png" in names


def test_parquet(model, photos, expected, tmp_path, monkeypatch):
    parquet = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr(files, "_ROWS", 10)  # three groups of rows
    embed(model, photos, tmp_path / "f.parquet", batch_size=5)
    table = parquet.read_table(tmp_path / "f.parquet")
    assert table.column_names == ["name", "label", "features"]
    assert table["label"].to_pylist() == ["dark"] * 12 + ["light"] * 12
    assert_features(table["features"].to_pylist(), expected(table["name"].to_pylist()))
    (tmp_path / "t.csv").write_text(f"path,label\n{photos}/dark/00.png,a|b\n")
    embed(model, tmp_path / "t.csv", tmp_path / "several.parquet")
    assert parquet.read_table(tmp_path / "several.parquet")["label"].to_pylist() == [["a", "b"]]


def test_nothing_is_left_of_what_breaks_off(model, photos, tmp_path, monkeypatch):
    out = tmp_path / "f.npz"
    out.write_text("the old one")
    (tmp_path / "bad.png").write_text("no image")
    with pytest.raises(UserError, match="none of the 1 images can be read"):
        embed(model, tmp_path / "bad.png", out, tell=quiet)
    broken = create(model, num_classes=0)
    broken.get_layer("encoder_norm").gamma.assign(np.full(32, np.nan))
    monkeypatch.setattr("keras_vit.features.embed.build", lambda source: broken)
    with pytest.raises(UserError, match=r"expected finite features, .*00\.png"):
        embed(model, photos, out)
    assert out.read_text() == "the old one"
    assert {path.name for path in tmp_path.iterdir()} == {"f.npz", "bad.png"}


def test_what_cannot_be(model, photos, tmp_path, monkeypatch):
    (tmp_path / "model.tflite").touch()
    for arguments, message in {
        (model, photos, "f.csv"): r"f\.csv: expected a file that ends in \.npz or \.parquet",
        (model, tmp_path / "*.gif", "f.npz"): r"gone|no images in",
        ("S/16-augreg-i21", photos, "f.npz"): "Did you mean S/16-augreg-i21k",
        ("S/16", photos, "f.npz"): "unknown weights 'S/16'",
        (tmp_path / "model.tflite", photos, "f.npz"): "gives logits and no features",
    }.items():
        with pytest.raises(UserError, match=message):
            embed(*arguments)
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    monkeypatch.setitem(__import__("sys").modules, "pyarrow.parquet", None)
    with pytest.raises(UserError, match=r"needs the package pyarrow.*keras-vit-toolkit\[parquet\]"):
        embed(model, photos, tmp_path / "f.parquet")


def test_the_command(digits_run, photos, tmp_path, in_process):
    """A run brings its channels, its size and its crop."""
    (tmp_path / "bad.png").write_text("no image")
    out = tmp_path / "f.npz"
    done = in_process("embed", digits_run[0], photos / "dark", tmp_path / "bad.png", "--out", out)
    assert done.code == 1 and "12 images, 32 features each" in done.out
    assert "bad.png: is not a readable image" in done.err and "1 images failed" in done.err
