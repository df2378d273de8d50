# SPDX-License-Identifier: MIT
"""One image gives one prediction; several give one each, in their order."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from keras_vit import Predictor, hardware
from keras_vit.errors import UserError
from keras_vit.predictor import Prediction


@pytest.fixture(scope="module")
def predictor(digits_run):
    return Predictor.open(digits_run[0] / "export" / "model.tflite")


def test_a_run_has_a_file_for_each_runtime(digits_run, pixels):
    run = digits_run[0]
    found = Predictor.open(run, runtime="litert")
    assert found.path == run / "export" / "model.tflite"
    with pytest.raises(UserError, match=r"no export/model\.onnx\. Type `keras-vit export .* onnx"):
        Predictor.open(run, runtime="openvino")
    with pytest.raises(UserError, match=r"model\.tflite: onnx runs \.onnx files\. Leave the run"):
        Predictor.open(found.path, runtime="onnx")
    with pytest.raises(UserError, match=r"unknown runtime 'openvin'\. Did you mean openvino"):
        Predictor.open(run, runtime="openvin")


@pytest.fixture(scope="module")
def pixels():
    return np.random.default_rng(0).integers(0, 256, (3, 8, 8), dtype="uint8")


def test_one_image_gives_one_prediction(predictor, pixels, tmp_path):
    path = tmp_path / "a"  # one letter: a string is a path, not its letters
    Image.fromarray(pixels[0]).save(path, format="png")
    expected = predictor.predict(path)
    assert isinstance(expected, Prediction)
    assert expected.path == str(path)
    assert len(expected.classes) == len(expected.scores) == 1
    for image in (str(path), pixels[0], pixels[0][..., None], Image.open(path)):
        found = predictor.predict(image)
        assert (found.classes, found.scores) == (expected.classes, expected.scores)
    assert predictor.predict(pixels[0]).path == "image 0"
    assert len(predictor.predict(path, top_k=3).classes) == 3
    with pytest.raises(UserError, match="no/such: no such file"):
        predictor.predict("no/such")
    with pytest.raises(UserError, match="received bytes"):
        predictor.read(path.read_bytes())


@pytest.mark.parametrize(
    "wrong, received",
    [
        (3, "received int"),
        (None, "received NoneType"),
        (b"a.jpg", "received bytes"),
        (np.zeros(3), r"received an array of shape \(3,\)"),
        (np.zeros((1, 2, 8, 8, 3)), r"received an array of shape \(1, 2, 8, 8, 3\)"),
        ("", "received an empty one"),
    ],
)
def test_what_is_no_image_is_told_at_once(predictor, wrong, received):
    with pytest.raises(UserError, match=received):
        predictor.predict(wrong)


@pytest.mark.parametrize("top_k", [0, -1, 1.5, "two"])
def test_the_number_of_classes_is_a_number(predictor, pixels, top_k):
    for images in (pixels[0], list(pixels)):
        with pytest.raises(UserError, match="top_k: expected a whole number of at least 1"):
            predictor.predict(images, top_k=top_k)


def test_several_images_give_one_prediction_each(predictor, pixels, tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(pixels[1]).save(path)
    images = [pixels[0], Path(path), "no/such", Image.fromarray(pixels[2])]
    found = list(predictor.predict(images))
    assert [p.path for p in found] == ["image 0", str(path), "no/such", "image 3"]
    assert [p.error is None for p in found] == [True, True, False, True]
    alone = [p.classes for p in predictor.predict(pixels[..., None])]
    assert alone == [p.classes for p in found if p.error is None]
    assert list(predictor.predict([])) == []
    assert [p.classes for p in predictor.predict(iter(pixels))] == alone


def test_any_number_of_threads_gives_the_same(digits_run, pixels, monkeypatch):
    found = []
    for count in (1, 2):
        monkeypatch.setattr(hardware, "_threads", count)
        here = Predictor.open(digits_run[0] / "export" / "model.tflite")
        assert here.runner.threads == count
        found.append(list(here.predict([*pixels, "no/such", pixels[0]], batch_size=2)))
    assert found[0] == found[1]
