# SPDX-License-Identifier: MIT
"""`hf:` sources, on a module that stands for the package `datasets`."""

import dataclasses
import importlib.util
import io
import sys
import types

import numpy as np
import pytest
from PIL import Image

from keras_vit import UserError, data
from keras_vit.data.dataset import split_batches
from keras_vit.data.pipeline.batches import evaluation_batches
from keras_vit.data.sources.resolve import check_source, read_examples
from keras_vit.preprocessing import Preprocessing


class Column:
    """Stands for the types of columns of the package `datasets`."""

    def __init__(self, **fields):
        self.__dict__ |= fields


class FakeImage(Column):
    pass


FakeImage.__name__ = "Image"


class ClassLabel(Column):
    pass


class Table(dict):
    features = None

    def cast_column(self, name, kind):
        assert name == "picture" and kind.decode is False
        return self


@pytest.fixture
def hub(photos, monkeypatch):
    """A module `datasets` with one data set, `lights`, whose first image is turned."""

    def table(several):
        label = ClassLabel(names=["dark", "light"])
        features = {"picture": FakeImage(), "kind": Column(feature=label) if several else label}
        files = sorted(photos.glob("*/*.png"))
        labels = [int(file.parent.name == "light") for file in files]
        cells = [{"bytes": file.read_bytes(), "path": None} for file in files]
        exif = Image.Exif()
        exif[0x0112] = 6
        stream = io.BytesIO()
        Image.open(files[0]).save(stream, "PNG", exif=exif)
        cells[0] = {"bytes": stream.getvalue(), "path": None}
        cells[1] = {"bytes": None, "path": str(files[1])}
        values = [[label] for label in labels] if several else labels
        made = Table(picture=cells, kind=values)
        made.features = features
        return made

    def load_dataset(name, config):
        if name != "lights":
            raise ConnectionError("no network")
        return {"train": table(config == "several"), "unsupervised": None}

    module = types.ModuleType("datasets")
    module.load_dataset, module.Image = load_dataset, lambda decode: Column(decode=decode)
    module.__spec__ = types.SimpleNamespace(name="datasets")
    monkeypatch.setitem(sys.modules, "datasets", module)


def test_hugging_face(hub, photos):
    images, _ = data.load("hf:lights")
    assert images.classes == ("dark", "light")
    assert [len(s) for s in (images.train, images.validation, images.test)] == [18, 2, 4]
    assert data.load("hf:lights:several")[0].task == "multi"
    with pytest.raises(UserError, match=r"cannot be loaded .*no network"):
        data.load("hf:other")


def test_encoded_images_are_turned_upright_in_training_too(hub):
    split = read_examples("hf:lights", None)[1]["train"].take(np.arange(2))
    assert split.orientation.tolist() == [6, 1]
    (pixels, _), *_ = evaluation_batches(split, 2, Preprocessing((9, 9)), 2)
    expected = next(split_batches(split, Preprocessing((9, 9)), 2))
    np.testing.assert_allclose(pixels, expected, atol=1e-3)  # two resizes round in float32
    flat = dataclasses.replace(split, orientation=np.ones(2, "uint8"))
    (wrong, _), *_ = evaluation_batches(flat, 2, Preprocessing((9, 9)), 2)
    assert np.abs(wrong[0] - expected[0]).max() > 1


def test_the_package_of_hugging_face_may_be_missing(monkeypatch):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda n, *a: None if n == "datasets" else find_spec(n, *a)
    )
    with pytest.raises(UserError, match="pip install datasets"):
        check_source("hf:lights")
