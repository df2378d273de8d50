# SPDX-License-Identifier: MIT
import shutil

import pytest

from keras_vit import UserError, data
from keras_vit.data.sources.folder import find_images


def test_folders_may_be_deep_and_linked_but_not_without_end(photos, tmp_path):
    copy = tmp_path / "photos"
    shutil.copytree(photos, copy)
    (copy / "dark" / "more" / "deep").mkdir(parents=True)
    shutil.copy(copy / "dark" / "00.png", copy / "dark" / "more" / "deep" / "x.png")
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(copy / "light", elsewhere)
    (copy / "third").symlink_to(elsewhere)
    (copy / "dark" / "itself").symlink_to(copy / "dark")
    (copy / "dark" / "more" / "above").symlink_to(copy)
    (copy / ".hidden").mkdir()
    found = data.audit_files(str(copy))
    assert found.images == {"train": {"dark": 13, "light": 12, "third": 12}}


def test_two_folders_for_one_split(photos, tmp_path):
    for split in ("train", "val", "validation"):
        shutil.copytree(photos, tmp_path / split)
    with pytest.raises(UserError, match="both val/ and validation/"):
        data.load(str(tmp_path))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda root: None, "has no folders"),
        (lambda root: (root / "cat").mkdir(), "no image in .*cat"),
        (lambda root: (root / "test" / "cat").mkdir(parents=True), "no train"),
    ],
)
def test_a_folder_that_cannot_be_used(tmp_path, make, message):
    make(tmp_path)
    with pytest.raises(UserError, match=message):
        data.load(str(tmp_path))


def test_find_images(photos, tmp_path, monkeypatch):
    assert len(find_images([str(photos)])) == 24
    assert len(find_images([f"{photos}/dark/0*.png"])) == 10
    assert find_images(["any/name"]) == ["any/name"]
    with pytest.raises(UserError, match="no images"):
        find_images([f"{tmp_path}/*.jpg"])
