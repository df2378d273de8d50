# SPDX-License-Identifier: MIT
import numpy as np
import pytest

from keras_vit import UserError
from keras_vit.evaluation import class_places, real_accuracy, real_labels


def test_folders_called_by_numbers_are_not_in_the_order_of_text():
    folders = sorted(map(str, range(12)))
    assert folders[:4] == ["0", "1", "10", "11"]
    places = class_places(folders, "numbers", 12)
    assert [int(folder) for folder in folders] == places.tolist()
    assert class_places(["3", "10"], "numbers", 12).tolist() == [3, 10]  # a part of the classes
    for folders in (["cat"], ["12"], ["1", "01"], ["-1"]):
        with pytest.raises(UserError, match="--classes=numbers"):
            class_places(folders, "numbers", 12)


def test_folders_called_by_wordnet_ids():
    folders = ["n01440764", "n01443537", "n15075141"]
    assert class_places(folders, "wordnet", 3).tolist() == [0, 1, 2]
    for wrong, classes in ((folders, 4), (["cat", "dog"], 2), (["n1", "n2"], 2)):
        with pytest.raises(UserError, match="--classes=wordnet: expected"):
            class_places(wrong, "wordnet", classes)
    with pytest.raises(UserError, match="Did you mean wordnet"):
        class_places(folders, "wordnett", 2)


def test_real_labels_follow_the_number_in_the_name():
    table = [[5], [], [1, 2]]
    names = ["val/n01/ILSVRC2012_val_00000003.JPEG", "val/n02/ILSVRC2012_val_00000001.JPEG"]
    assert real_labels(table, names) == [(1, 2), (5,)]
    assert real_labels({"a.png": [4]}, ["x/a.png"]) == [(4,)]
    for bad in ("val_00000004.JPEG", "val_0.JPEG", "cat.JPEG"):
        with pytest.raises(UserError, match="none of the 3 labels"):
            real_labels(table, [bad])


def test_any_real_label_is_right_and_images_without_are_left_out():
    logits = np.eye(4)[[0, 1, 2, 3]]
    assert real_accuracy(logits, [(0, 2), (3,), (), (1, 3)]) == (pytest.approx(2 / 3), 3)
    accuracy, count = real_accuracy(logits, [()] * 4)
    assert np.isnan(accuracy) and count == 0
