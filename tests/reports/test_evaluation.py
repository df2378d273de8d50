# SPDX-License-Identifier: MIT
import numpy as np

from keras_vit.evaluation import summarize
from keras_vit.reports import evaluation_table


def result(logits, labels, classes):
    return {"model": "m.tflite", "data": "photos", **summarize(logits, labels, classes)}


def test_table():
    labels = np.array([0, 0, 0, 1])
    logits = np.eye(2)[[0, 0, 1, 1]]
    lines = evaluation_table(result(logits, labels, ["cat", "dog"])).splitlines()
    assert lines[:2] == ["model   m.tflite", "data    photos, 4 images"]
    # Wilson's interval of 3 of 4.
    assert lines[2] == "top-1   75.00% (95 % interval 30.06% to 95.44%)"
    # F1 of cat is 2 * 2 / (3 + 2), of dog 2 * 1 / (1 + 2).
    assert lines[3] == "F1      73.33%, mean of the classes"  # top-5 of two classes says nothing
    assert lines[6].split() == ["class", "precision", "recall", "F1", "images"]
    assert lines[7].split() == ["cat", "100.0%", "66.7%", "80.0%", "3"]
    assert lines[8].split() == ["dog", "50.0%", "100.0%", "66.7%", "1"]
    assert lines[11].split() == ["cat", "dog", "1", "33.3%"]
    assert len(lines) == 12


def test_nothing_is_confused():
    table = evaluation_table(result(np.eye(2), np.arange(2), ["cat", "dog"]))
    assert table.endswith("no class was taken for another")


def test_of_many_classes_the_worst_are_shown_and_said_to_be_some():
    labels = np.arange(60) % 30
    logits = np.eye(31)[labels]
    logits[labels == 7] = np.eye(31)[8]
    classes = [f"class {i}" for i in range(31)]  # the last does not occur
    lines = evaluation_table(result(logits, labels, classes)).splitlines()
    assert lines[6] == "absent  class 30: no image, and not in the mean"
    assert lines[9].startswith("class 7 ") and lines[10].startswith("class 8 ")
    assert lines[29] == "the 20 classes of lowest F1, of 31; --format json has all"
