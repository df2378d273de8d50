# SPDX-License-Identifier: MIT
"""What a run remembers of its data may have been changed by a stranger."""

import gzip

import numpy as np
import pytest

from keras_vit.data import from_arrays
from keras_vit.data.checks.fingerprint import changes_since, fingerprint, write_fingerprint
from keras_vit.errors import UserError
from keras_vit.untrusted import limits


@pytest.fixture
def known():
    return fingerprint(from_arrays(np.zeros((9, 4, 4), "uint8"), np.arange(9) % 2, "ab"))


def test_equal_and_changed(tmp_path, known):
    write_fingerprint(tmp_path / "index.gz", known)
    assert changes_since(tmp_path / "index.gz", known) == []
    other = {**known, "classes": ["a", "c"]}
    assert changes_since(tmp_path / "index.gz", other) == ["classes: a, b became a, c"]


@pytest.mark.parametrize(
    "change",
    [
        {"classes": None},
        {"train": {}},
        {"train": {"files": [["a", 1]]}},
        {"train": {"files": {"a": 1}}},
        {"test": {"examples": "many", "sha256": ""}},
    ],
)
def test_fields_of_the_wrong_type(tmp_path, known, change):
    write_fingerprint(tmp_path / "index.gz", {**known, **change})
    with pytest.raises(UserError, match=r"index\.gz: .* expected"):
        changes_since(tmp_path / "index.gz", known)


def test_what_is_no_fingerprint(tmp_path, known, monkeypatch):
    monkeypatch.setattr(limits, "INDEX", 1_000_000)
    path = tmp_path / "index.gz"
    for contents, reason in (
        (b"", "is not JSON"),
        (b"[]", "not a gzip file"),
        (gzip.compress(b"[" * 9999), "nested more than"),
        (gzip.compress(b"[]"), "expected an object"),
        (gzip.compress(bytes(2_000_000)), "unpacks to more than the limit of 1,000,000 bytes"),
    ):
        path.write_bytes(contents)
        with pytest.raises(UserError, match=reason):
            changes_since(path, known)
    write_fingerprint(path, {"x": list(range(10_000))})
    monkeypatch.setattr(limits, "INDEX", 10)
    larger = {**known, "classes": [str(i) for i in range(20_000)]}
    assert changes_since(path, larger) == ["its files; there are too many to list what changed"]
