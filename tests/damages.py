# SPDX-License-Identifier: MIT
"""What a stranger may put in the place of a file of a run."""

import os
import shutil

import pytest

from keras_vit import UserError

SECRET = "not to be touched"


def secret(path):
    """A file outside of the run."""
    file = path.parents[3] / "secret"
    file.write_text(SECRET)
    return file


def secret_is_whole(folder):
    return {file.read_text() for file in folder.rglob("secret")} == {SECRET}


DAMAGES = {
    "link": lambda path: path.symlink_to(secret(path)),
    "lost link": lambda path: path.symlink_to("nowhere"),
    "link to itself": lambda path: path.symlink_to(path.name),
    "pipe": os.mkfifo,
    "folder": os.mkdir,
    "empty": lambda path: path.write_bytes(b""),
    "null": lambda path: path.write_text("null"),
    "list": lambda path: path.write_text("[1, 2]"),
    "object": lambda path: path.write_text('{"a": {"b": [1]}}'),
    "deep": lambda path: path.write_text("[" * 10_000 + "]" * 10_000),
    "deep object": lambda path: path.write_text('{"a":' * 10_000 + "1" + "}" * 10_000),
    "large": lambda path: (path.touch(), os.truncate(path, 10**12)),
    "not text": lambda path: path.write_bytes(b"\xff\xfe\x00\x80" * 100),
}
TEXTS = ("empty", "null", "list", "object", "deep", "deep object")  # may be any text file
# A few ways by each reader of a run; tests/untrusted/test_reading.py has the rest, by the reader
# that they share.
WAYS = [
    way if way in ("link", "pipe", "deep") else pytest.param(way, marks=pytest.mark.slow)
    for way in DAMAGES
]


def damaged(run, tmp_path, name, damage):
    """A copy of a run with something else in the place of a file."""
    copy = tmp_path / "a" / "run"
    shutil.copytree(run, copy)
    (copy / name).unlink()
    DAMAGES[damage](copy / name)
    return copy


def refused(call, name):
    with pytest.raises(UserError) as caught:
        call()
    assert name in str(caught.value) and "\n" not in str(caught.value)
