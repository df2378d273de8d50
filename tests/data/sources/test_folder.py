# SPDX-License-Identifier: MIT
import shutil

from keras_vit import data


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
