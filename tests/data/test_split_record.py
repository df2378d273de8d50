# SPDX-License-Identifier: MIT
import csv
import json
import shutil

import numpy as np
import pytest

from keras_vit import UserError, data
from keras_vit.data.split_record import SplitRecord, write_splits


@pytest.fixture
def copy(photos, tmp_path):
    root = tmp_path / "photos"
    shutil.copytree(photos, root)
    return root


def read_split(folder, *arguments):
    return SplitRecord.read(folder / "split.csv").split(*arguments)


def same(ours, theirs):
    assert type(ours) is type(theirs) and ours.files == theirs.files
    for name in ("labels", "orientation", "pixels"):
        found, expected = (getattr(split, name, None) for split in (ours, theirs))
        np.testing.assert_array_equal(found, expected)


def test_the_splits_of_a_folder_that_has_grown(copy, tmp_path):
    images, _ = data.load(str(copy))
    write_splits(tmp_path / "split.csv", images)
    with (tmp_path / "split.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 24
    assert {row["path"] for row in rows} == {f"{p.parent.name}/{p.name}" for p in copy.glob("*/*")}
    assert all(row["path"].startswith(row["label"] + "/") for row in rows)
    for i in range(40):
        shutil.copy(copy / "dark" / "00.png", copy / "dark" / f"0{i}a.png")
    assert data.load(str(copy))[0].test.paths != images.test.paths
    for name in ("train", "validation", "test"):
        found = read_split(tmp_path, name, str(copy), images.classes)
        same(found, getattr(images, name))


def test_a_file_that_has_gone_is_named(copy, tmp_path):
    images, _ = data.load(str(copy))
    write_splits(tmp_path / "split.csv", images)
    (copy / images.test.paths[0]).unlink()
    with pytest.raises(UserError, match="no such file"):
        read_split(tmp_path, "test", str(copy), images.classes)


def test_examples_that_are_no_files(tmp_path):
    images, _ = data.load("digits")
    write_splits(tmp_path / "split.csv", images)
    same(read_split(tmp_path, "test", "digits", images.classes), images.test)
    lines = (tmp_path / "split.csv").read_text().splitlines()
    assert sum(",test," in line for line in lines) == 359
    for old, new, message in (
        ("train/", "later/", "not in the data any more"),
        (",test,", ",other,", "no example of the split test"),
        (",0\n", ",1\n", "labels in the data are not those"),
        (",0\n", ",zero\n", "is not a record"),
    ):
        text = "\n".join([*lines, ""]).replace(old, new)
        (tmp_path / "split.csv").write_text(text)
        with pytest.raises(UserError, match=message):
            read_split(tmp_path, "test", "digits", images.classes)


def test_several_labels_and_odd_names(copy, tmp_path):
    odd = copy / "dark" / 'a, "b"\n|.png'
    shutil.copy(copy / "dark" / "00.png", odd)
    lines = [
        {"path": str(path), "label": [path.parent.name, "all"] if i % 3 else []}
        for i, path in enumerate(sorted(copy.glob("*/*.png")))
    ]
    (tmp_path / "m.jsonl").write_text("\n".join(map(json.dumps, lines)))
    images, _ = data.load(str(tmp_path / "m.jsonl"))
    assert images.task == "multi" and images.train.labels.shape[1] == 3
    write_splits(tmp_path / "split.csv", images)
    for name in ("train", "validation", "test"):
        found = read_split(tmp_path, name, str(tmp_path / "m.jsonl"), images.classes, "multi")
        same(found, getattr(images, name))
