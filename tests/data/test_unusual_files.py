# SPDX-License-Identifier: MIT
"""Among images: pipes, devices, links to themselves, holes, and names that are no text."""

import csv
import io
import os
import sys

import numpy as np
import pytest
from keras_vit.apps import predict
from PIL import Image

from keras_vit.data import load, split_record
from keras_vit.data.by_name import audit_files
from keras_vit.data.checks.cache import examine_known
from keras_vit.data.checks.examine import examine
from keras_vit.data.dataset import Files
from keras_vit.data.images import read_image
from keras_vit.data.pipeline.batches import evaluation_batches
from keras_vit.data.sources.folder import find_images, list_folder
from keras_vit.errors import UserError
from keras_vit.preprocessing import Preprocessing

NOT_TEXT = os.fsdecode(b"caf\xe9\n=1.png")


def save(path, seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, (9, 9, 3), "uint8")
    Image.fromarray(pixels).save(path, "PNG")
    return path


@pytest.fixture
def folder(tmp_path):
    for label in ("cat", "dog"):
        (tmp_path / "set" / label).mkdir(parents=True)
        for seed in range(6):
            save(tmp_path / "set" / label / f"{seed}.png", f"{label}{seed}".encode()[0] + seed)
    return tmp_path / "set"


def test_what_is_no_file_is_named_and_nothing_waits(folder):
    cat = folder / "cat"
    os.mkfifo(cat / "pipe.jpg")
    (cat / "zero.png").symlink_to("/dev/zero")
    (cat / "self.png").symlink_to(cat / "self.png")
    (cat / "pipes.png").symlink_to(cat / "pipe.jpg")
    with (cat / "hole.png").open("wb") as file:
        file.write((cat / "0.png").read_bytes())
        file.truncate(6 * 10**9)
    (cat / "up").symlink_to(folder)  # a loop of folders
    reasons = {
        "pipe.jpg": "received a named pipe",
        "zero.png": "received a device",
        "self.png": "symbolic link",
        "pipes.png": "received a named pipe",
        "hole.png": "6,000,000,000 bytes; the limit is",
    }
    unreadable = audit_files(str(folder)).unreadable
    assert len(unreadable) == len(reasons)
    for name, reason in reasons.items():
        (problem,) = (problem for problem in unreadable if f"/{name}: " in problem)
        assert reason in problem
        with pytest.raises(UserError, match=reason):
            read_image(cat / name, Preprocessing((8, 8)))
    with pytest.raises(UserError, match="5 files cannot be used"):
        load(str(folder))
    assert len(load(str(folder), on_bad="skip")[1].unreadable) == 5
    assert len(find_images([str(folder)])) == 12 + 5


def test_a_folder_that_may_not_be_read(folder, monkeypatch):
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("dog"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)  # root may read everything
    for read in (lambda: list_folder(folder), lambda: find_images([str(folder)])):
        with pytest.raises(UserError, match=r"dog: this folder cannot be read \(Permission denied"):
            read()


def test_a_file_name_that_is_no_text_and_has_two_lines(folder, tmp_path, capsys):
    path = save(folder / "cat" / NOT_TEXT, 77)
    found, _ = load(str(folder), test=0.3, validation=0.3)
    everything = [p for name in ("train", "validation", "test") for p in getattr(found, name).paths]
    assert str(path) in everything
    split = Files(np.zeros(1, "int64"), [str(path)], np.ones(1, "uint8"))
    ((pixels, _),) = evaluation_batches(split, 1, Preprocessing((9, 9)), 1)
    np.testing.assert_array_equal(pixels[0], read_image(path, Preprocessing((9, 9))))
    split_record.write_splits(tmp_path / "split.csv", found)
    kept = split_record.SplitRecord.read(tmp_path / "split.csv")
    back = [
        path
        for name in ("train", "validation", "test")
        for path in kept.split(name, str(folder), found.classes).paths
    ]
    assert sorted(back) == sorted(everything)
    assert examine_known([str(path)], folder)[0].problem is None


def test_a_class_that_is_no_text(folder):
    (folder / "dog").rename(folder / os.fsdecode(b"\xe9"))
    with pytest.raises(UserError, match="expected class names of one line"):
        load(str(folder))
    (folder / os.fsdecode(b"\xe9")).rename(folder / "\x1b[2J")
    with pytest.raises(UserError, match=r"received '\\x1b\[2J'"):
        load(str(folder))


def test_formulas_in_split_csv_come_back_as_names(folder, tmp_path):
    for name in ("=cmd", "@dog", "'+"):
        save(folder / "dog" / f"{name}.png", ord(name[-1]))
    (folder / "dog").rename(folder / "=dog")
    found, _ = load(str(folder), test=0.3, validation=0.3)
    split_record.write_splits(tmp_path / "split.csv", found)
    rows = list(csv.reader(io.StringIO((tmp_path / "split.csv").read_text(), newline="")))
    assert not [cell for row in rows for cell in row if cell.startswith(("=", "+", "-", "@"))]
    kept = split_record.SplitRecord.read(tmp_path / "split.csv")
    for name in ("train", "validation", "test"):
        back = kept.split(name, str(folder), found.classes)
        assert back.paths == getattr(found, name).paths
        np.testing.assert_array_equal(back.labels, getattr(found, name).labels)


@pytest.mark.parametrize("between", [b"\n", b"\0"])
def test_names_on_standard_input(monkeypatch, between):
    names = [b"a b.png", b"\xe9.png", *([b"two\nlines.png"] if between == b"\0" else [])]
    stream = io.TextIOWrapper(io.BytesIO(between.join([*names, b""])), encoding="utf-8")
    monkeypatch.setattr(sys, "stdin", stream)
    assert find_images(predict._names_on_stdin()) == [os.fsdecode(name) for name in names]


def test_an_image_that_is_replaced_by_a_pipe(tmp_path):
    path = save(tmp_path / "a.png")
    assert examine(str(path)).problem is None
    path.unlink()
    os.mkfifo(path)
    assert "a named pipe" in examine(str(path)).problem
