# SPDX-License-Identifier: MIT
import shutil

import pytest
from PIL import Image

from keras_vit import UserError, data
from keras_vit.data import by_name


def test_a_folder_of_classes(photos):
    images, _ = data.load(str(photos))
    assert images.classes == ("dark", "light")
    assert [len(s) for s in (images.train, images.validation, images.test)] == [18, 2, 4]
    assert "/dark/" in images.train.name_of(0)
    assert any("held out" in note for note in images.notes)


def test_a_folder_of_splits(photos, tmp_path):
    for split in ("train", "val"):
        shutil.copytree(photos, tmp_path / split)
    images, _ = data.load(str(tmp_path))
    assert [len(s) for s in (images.train, images.validation, images.test)] == [24, 24, 24]
    assert any("the test split is the validation split" in note for note in images.notes)
    shutil.copytree(photos, tmp_path / "test")
    (tmp_path / "test" / "dark" / "00.png").unlink()
    assert len(data.load(str(tmp_path))[0].test) == 23


def test_class_names_must_be_those_of_train(photos, tmp_path):
    shutil.copytree(photos, tmp_path / "train")
    shutil.copytree(photos, tmp_path / "test")
    (tmp_path / "test" / "dark").rename(tmp_path / "test" / "dusk")
    with pytest.raises(UserError, match=r"differ .* dark, dusk"):
        data.load(str(tmp_path))


def test_broken_files_are_all_named_before_anything_starts(photos, tmp_path):
    root = tmp_path / "broken"
    shutil.copytree(photos, root)
    (root / "dark" / "empty.jpg").write_bytes(b"")
    (root / "light" / "page.jpg").write_bytes(b"<html>")
    with pytest.raises(UserError, match="2 files cannot be used") as error:
        data.load(str(root))
    assert "empty.jpg: is empty" in str(error.value)
    assert "page.jpg: is not a readable image" in str(error.value)


@pytest.fixture
def broken(photos, tmp_path):
    """The photos, two of them broken: one in its header, one in its middle."""
    root = tmp_path / "broken"
    shutil.copytree(photos, root)
    (root / "dark" / "03.png").write_bytes(b"")
    cut = root / "light" / "05.png"
    cut.write_bytes(cut.read_bytes()[:-300])
    return root


def test_broken_files_can_be_skipped(broken, photos):
    with pytest.raises(UserError, match="2 files cannot be used"):
        data.load(str(broken))
    images, audit = data.load(str(broken), on_bad="skip")
    assert [len(s) for s in (images.train, images.validation, images.test)] == [16, 2, 4]
    assert len(audit.unreadable) == 2
    assert "03.png: is empty" in audit.unreadable[0]
    assert "05.png: cannot be decoded" in audit.unreadable[1]
    assert "2 files left out" in images.notes[-1]
    paths = [p for s in (images.train, images.validation, images.test) for p in s.paths]
    assert not {str(broken / "dark/03.png"), str(broken / "light/05.png")} & set(paths)
    assert len(set(paths)) == 22
    assert all(
        images.classes[label] in path
        for split in (images.train, images.validation, images.test)
        for path, label in zip(split.paths, split.labels, strict=True)
    )
    assert (broken / "dark" / "03.png").exists()
    whole, audit = data.load(str(photos), on_bad="skip")
    assert audit.unreadable == () and len(whole.notes) == 2


def test_of_large_sets_the_headers_alone_are_read(broken, monkeypatch):
    monkeypatch.setattr(by_name, "DECODED_SECONDS", 0)
    with pytest.raises(UserError, match="1 file cannot be used"):
        data.load(str(broken))
    (broken / "dark" / "03.png").unlink()
    images, audit = data.load(str(broken))
    assert not audit.decoded
    assert any("headers alone were checked" in note for note in images.notes)
    assert len(data.load(str(broken), on_bad="skip")[1].unreadable) == 1
    # What was found then is known now, and costs nothing.
    with pytest.raises(UserError, match="1 file cannot be used"):
        data.load(str(broken))


def test_a_class_without_a_usable_file_is_an_error(broken):
    for file in (broken / "dark").iterdir():
        file.write_bytes(b"<html>")
    with pytest.raises(UserError, match="no file of dark in train can be used"):
        data.load(str(broken), on_bad="skip")
    with pytest.raises(UserError, match="Did you mean skip"):
        data.load(str(broken), on_bad="skipp")


def test_one_class_is_no_classification(photos, tmp_path):
    shutil.copytree(photos / "dark", tmp_path / "dark")
    with pytest.raises(UserError, match="at least 2 classes"):
        data.load(str(tmp_path))


def test_a_limit_takes_a_few_files_of_each_class_and_opens_no_other(tmp_path, monkeypatch):
    for name in ("cat", "dog", "owl"):
        (tmp_path / name).mkdir()
        for i in range(20):
            Image.new("RGB", (8, 8)).save(tmp_path / name / f"{i:02}.png")
    (tmp_path / "owl" / "19.png").write_bytes(b"no image")
    images, _ = by_name.load(str(tmp_path), limit=18)
    counts = [sum(split.labels == k) for k in range(3) for split in [images.train]]
    assert (len(images.train), len(images.validation), len(images.test)) == (12, 3, 3)
    assert counts == [4, 4, 4]
    assert "at most 18 files are used" in images.notes[-1]
    few, _ = by_name.load(str(tmp_path), limit=8)  # four of two classes; the third keeps its name
    assert few.classes == ("cat", "dog", "owl")
    assert (len(few.train), len(few.validation), len(few.test)) == (4, 2, 2)
    with pytest.raises(UserError, match="1 file cannot be used"):
        by_name.load(str(tmp_path))
