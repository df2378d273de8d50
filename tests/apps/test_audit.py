# SPDX-License-Identifier: MIT
"""`keras-vit audit`, as a user types it and without TensorFlow."""

import json
import shutil

import pytest


@pytest.fixture
def audit(without_keras):
    return lambda *arguments: without_keras("audit", *arguments)


@pytest.fixture
def broken(photos, tmp_path):
    root = tmp_path / "photos"
    shutil.copytree(photos, root)
    for i in range(15):
        (root / "dark" / f"page{i}.jpg").write_bytes(b"<html>")
    (root / "dark" / "notes.txt").write_text("")
    return root


def test_a_clean_folder(audit, photos):
    done = audit(photos)
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines() == [
        "train       24 images, 2 classes",
        "nothing is wrong",
    ]


def test_warnings_alone_are_a_success(audit, broken):
    for file in broken.glob("*/page*"):
        file.unlink()
    done = audit(broken)
    assert done.code == 0
    assert done.out.splitlines()[1:] == [
        "warning     1 file ignored, by suffix",
        "  .txt: 1",
        "no problems, 1 warning",
    ]


def test_problems_are_all_listed(audit, broken):
    done = audit(broken)
    assert done.code == 1
    for i in range(15):
        assert f"page{i}.jpg: is not a readable image" in done.out
    assert "PROBLEM     15 files that cannot be read or decoded" in done.out
    assert done.out.splitlines()[-1] == "1 problem, 1 warning"


def test_json(audit, broken):
    done = audit(broken, "--format", "json")
    assert done.code == 1
    found = json.loads(done.out)
    assert found["source"] == str(broken) and found["ok"] is False
    assert found["images"] == {"train": {"dark": 12, "light": 12}}
    assert [f["kind"] for f in found["findings"]] == ["unreadable", "ignored"]
    assert len(found["findings"][0]["items"]) == 15


def test_one_thread_finds_the_same(audit, broken):
    assert audit(broken, "--no_cache", "--threads", 1).out == audit(broken, "--no_cache").out
    done = audit(broken, "--threads", 0)
    assert done.code == 2 and "--threads: expected at least 1, received 0." in done.err


def test_usage(audit, tmp_path):
    done = audit(tmp_path / "nowhere")
    assert done.code == 2
    assert "no data at" in done.err and done.out == ""


def test_archives_and_tables(audit, broken, tmp_path):
    path = shutil.make_archive(str(tmp_path / "photos"), "zip", broken)
    done = audit(path)
    assert done.code == 1 and done.out.splitlines()[-1] == "1 problem, 1 warning"
    assert done.err.startswith(f"unpacking {path} into ")
    assert audit(path, "--no_cache").out == done.out
    rows = [f"{file},{file.parent.name}" for file in sorted(broken.glob("*/*.*g"))]
    (tmp_path / "photos.csv").write_text("\n".join(["path,label", *rows]))
    done = audit(tmp_path / "photos.csv")
    assert done.code == 1 and done.out.count("page") == 15
    (tmp_path / "photos.csv").write_text("path,label\n,\n")
    done = audit(tmp_path / "photos.csv")
    assert done.code == 2 and "photos.csv, line 2: expected" in done.err
