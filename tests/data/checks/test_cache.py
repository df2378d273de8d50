# SPDX-License-Identifier: MIT
import json
import shutil

import pytest

from keras_vit import data
from keras_vit.data.checks import cache


@pytest.fixture
def copy(photos, tmp_path):
    root = tmp_path / "photos"
    shutil.copytree(photos, root)
    return root


def test_what_was_found_is_believed_until_the_file_changes(copy, monkeypatch, tmp_path):
    monkeypatch.setenv(
        "KERAS_VIT_CACHE", str(tmp_path / "cache")
    )  # other tests fill the common one
    looked_at = []

    def counted(paths, decode):
        looked_at.extend(paths)
        return examine_all(paths, decode)

    examine_all = cache.examine_all
    monkeypatch.setattr(cache, "examine_all", counted)

    def looks(act):
        looked_at.clear()
        act()
        return len(looked_at)

    def audit():
        return data.audit_files(str(copy))

    broken = copy / "dark" / "03.png"
    broken.write_bytes(b"<html>")
    assert looks(audit) == 24
    first = audit()
    assert looks(audit) == 0 and audit() == first
    with monkeypatch.context() as patch:
        patch.chdir(copy.parent)
        assert looks(lambda: data.audit_files("photos")) == 0
        assert data.audit_files("photos").unreadable[0].startswith("photos/dark/03.png: is not")
    assert looks(lambda: data.load(str(copy), on_bad="skip")) == 0
    shutil.copy(copy / "dark" / "04.png", broken)
    assert looks(audit) == 1 and audit().unreadable == ()
    assert looks(lambda: data.audit_files(str(copy), cache=False)) == 24
    (record,) = (cache.cache_folder() / "examined").iterdir()
    whole = json.loads(record.read_text())
    for files in ([], {"dark/04.png": 1}, {"dark/04.png": [1]}, {"dark/04.png": [[1]] * 7}):
        record.write_text(json.dumps({**whole, "files": files}))
        assert looks(audit) == 24
    record.write_text("{broken")
    assert looks(audit) == 24
