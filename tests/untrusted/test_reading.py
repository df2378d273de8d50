# SPDX-License-Identifier: MIT
"""Files from strangers: whatever they are, one `UserError` that names them, soon."""

import gzip
import json
import os

import pytest

from keras_vit.errors import UserError
from keras_vit.untrusted.reading import (
    check_regular,
    open_regular,
    parse_json,
    read_bytes,
    read_gzip,
    read_json,
    read_text,
)

# --- What a file is ---------------------------------------------------------------------------


def unusual_files(folder):
    """name -> path, each of another kind that is no file to read."""
    os.mkfifo(folder / "pipe")
    (folder / "loop").symlink_to(folder / "loop")
    (folder / "to the pipe").symlink_to(folder / "pipe")
    return {
        "a named pipe": folder / "pipe",
        "Too many levels": folder / "loop",
        "received a named pipe": folder / "to the pipe",
        "a device": "/dev/zero",
        "a folder": folder,
        "no such file": folder / "missing",
        "not the name of a file": "a\0b",
        "cannot be read": "a" * 5000,
    }


@pytest.mark.parametrize("read", [open_regular, lambda p: read_bytes(p, 9), read_json, read_text])
def test_only_regular_files_are_opened(tmp_path, read):
    for reason, path in unusual_files(tmp_path).items():
        with pytest.raises(UserError, match=reason):
            read(path)


def test_a_file_of_ours_may_not_become_a_link(tmp_path):
    (tmp_path / "file").write_bytes(b"1")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    assert read_bytes(tmp_path / "link", 1) == b"1"
    with pytest.raises(UserError, match="received a symbolic link"):
        read_bytes(tmp_path / "link", 1, follow=False)


def test_a_file_that_may_not_be_read(tmp_path):
    (tmp_path / "file").write_bytes(b"1")
    (tmp_path / "file").chmod(0)
    if os.access(tmp_path / "file", os.R_OK):
        pytest.skip("this user may read everything")
    with pytest.raises(UserError, match=r"cannot be read \(Permission denied\)"):
        read_bytes(tmp_path / "file", 1)


def test_a_hole_of_gigabytes_is_not_read(tmp_path):
    with (tmp_path / "file").open("wb") as file:
        file.truncate(6 * 10**9)
    for read in (read_bytes, check_regular, read_gzip):
        with pytest.raises(UserError, match="6,000,000,000 bytes; the limit is 1,000"):
            read(tmp_path / "file", 1000)


def test_text_in_another_encoding(tmp_path):
    (tmp_path / "labels.txt").write_bytes("chêne".encode("latin-1"))
    with pytest.raises(UserError, match=r"labels\.txt: expected UTF-8 text"):
        read_text(tmp_path / "labels.txt")


# --- JSON -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[" * 10_000, "nested more than"),
        ("[" * 200 + "]" * 200, "nested more than"),
        ('{"a":' * 70 + "1" + "}" * 70, "nested more than"),
        ('{"a": 1, "a": 2}', "'a' stands twice"),
        ("[NaN]", "NaN is not a finite number"),
        ("[-Infinity]", "-Infinity is not"),
        ("[1e999]", "1e999 is not"),
        ("[" + "9" * 41 + "]", "41 digits"),
        ("[" + "9" * 10_000 + "]", "10000 digits"),
        ("", "is not JSON"),
        ("{", "is not JSON"),
        (b"\xff{}", "is not JSON"),
    ],
)
def test_json_that_is_refused(text, reason):
    with pytest.raises(UserError, match=f"^a file: .*{reason}"):
        parse_json(text, "a file")


def test_json_that_is_read(tmp_path):
    value = {"a": [1, 2.5, None, True, {"b": "\u00e4"}], "c": -(2**63)}
    (tmp_path / "a.json").write_bytes(b"\xef\xbb\xbf" + json.dumps(value).encode())
    assert read_json(tmp_path / "a.json") == value
    with pytest.raises(UserError, match="the limit is 10"):
        read_json(tmp_path / "a.json", limit=10)


def test_gzip(tmp_path):
    (tmp_path / "a.gz").write_bytes(gzip.compress(b"0" * 1000))
    assert read_gzip(tmp_path / "a.gz", 1000) == b"0" * 1000
    with pytest.raises(UserError, match="unpacks to more than the limit of 999"):
        read_gzip(tmp_path / "a.gz", 999)
    (tmp_path / "a.gz").write_bytes(gzip.compress(b"0" * 1000)[:-9])
    with pytest.raises(UserError, match="not a gzip file"):
        read_gzip(tmp_path / "a.gz", 1000)
