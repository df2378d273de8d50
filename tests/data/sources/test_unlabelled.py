# SPDX-License-Identifier: MIT
import shutil

import numpy as np
import pytest

from keras_vit import UserError, data
from keras_vit.data.by_name import load_unlabelled


def names(split):
    return set(split.paths)


def test_a_folder_of_classes_keeps_its_splits(photos):
    (labelled, _), (images, _) = data.load(str(photos)), load_unlabelled(str(photos))
    assert images.classes == ()
    for split in ("train", "validation", "test"):
        assert getattr(images, split).paths == getattr(labelled, split).paths
        assert not getattr(images, split).labels.any()


@pytest.mark.parametrize("deep", [False, True])
def test_a_folder_of_any_structure(photos, tmp_path, deep):
    root = tmp_path / "images"
    files = sorted(photos.rglob("*.png"))
    for i, file in enumerate(files):
        target = root / ("a/b" if deep and i % 2 else ".") / f"{i:02d}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, target)
    images, _ = load_unlabelled(str(root), seed=1)
    splits = [images.train, images.validation, images.test]
    assert [len(split) for split in splits] == [17, 2, 5]
    assert set.union(*map(names, splits)) == {str(p) for p in root.rglob("*.png")}
    again, _ = load_unlabelled(str(root), seed=1)
    assert images.test.paths == again.test.paths != load_unlabelled(str(root))[0].test.paths
    np.testing.assert_array_equal(images.train.orientation, 1)


def test_one_folder_is_no_class(photos, tmp_path):
    shutil.copytree(photos / "dark", tmp_path / "images" / "train" / "all")
    shutil.copytree(photos / "light", tmp_path / "images" / "test")
    images, _ = load_unlabelled(str(tmp_path / "images"))
    assert len(images.test) == 12
    assert len(images.train) + len(images.validation) == 12


def test_bad_and_missing_images(photos, tmp_path):
    root = tmp_path / "images"
    shutil.copytree(photos / "dark", root)
    (root / "empty.png").touch()
    with pytest.raises(UserError, match=r"empty\.png"):
        load_unlabelled(str(root))
    images, audit = load_unlabelled(str(root), on_bad="skip")
    assert len(images.train) + len(images.validation) + len(images.test) == 12
    assert "empty.png" in audit.unreadable[0]
    (tmp_path / "nothing").mkdir()
    with pytest.raises(UserError, match="no image in"):
        load_unlabelled(str(tmp_path / "nothing"))


def test_files_without_classes_are_audited_too(photos, tmp_path):
    for split, names in {"train": ("00", "01", "02", "03"), "test": ("03", "04")}.items():
        (tmp_path / split).mkdir()
        for name in names:
            shutil.copy(photos / "dark" / f"{name}.png", tmp_path / split)
    images, audit = load_unlabelled(str(tmp_path))
    assert images.task == "single" and audit.decoded
    assert [finding.kind for finding in audit.findings] == ["leak"]
    assert "1 image in more than one split: results look too good; see audit.json" in images.notes
