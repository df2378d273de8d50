# SPDX-License-Identifier: MIT
"""What travels with a model comes back equal, and what a stranger wrote is checked."""

import json
import zipfile

import pytest

from keras_vit.errors import UserError
from keras_vit.export.metadata import Metadata
from keras_vit.origins import Origin

ORIGIN = Origin("mae", "CC-BY-NC-4.0", "https://example.org/terms", "no commercial use")
GOOD = Metadata("cats", ("cat", "dög"), (8, 9), 3, 0.9, "multi", 12, (ORIGIN,), merge=0.25)


def tflite(path, members, model=b"TFL3" * 10):
    path.write_bytes(model)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        for name, contents in members.items():
            archive.writestr(name, contents)
    return path


def test_it_comes_back_equal(tmp_path):
    for copy in ("a.tflite", "b.tflite"):
        (tmp_path / copy).write_bytes(b"TFL3")
        GOOD.append_to(tmp_path / copy)
    (tmp_path / "saved").mkdir()
    GOOD.write_into(tmp_path / "saved")
    assert Metadata.read(tmp_path / "a.tflite") == GOOD
    assert Metadata.read(tmp_path / "saved") == GOOD
    assert (tmp_path / "a.tflite").read_bytes() == (tmp_path / "b.tflite").read_bytes()


def test_a_file_without(tmp_path):
    (tmp_path / "a.tflite").write_bytes(b"TFL3" * 100)
    (tmp_path / "saved").mkdir()
    assert Metadata.read(tmp_path / "a.tflite") is None
    assert Metadata.read(tmp_path / "saved") is None
    assert Metadata.read(tflite(tmp_path / "b.tflite", {"labels.txt": "cat"})) is None


def test_fields_of_a_newer_version_are_left_out():
    values = {**json.loads(GOOD.to_json()), "color": "blue"}
    assert Metadata.parse(json.dumps(values), "f") == GOOD


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", None),
        ("name", "a\x1b[2Jb"),
        ("labels", []),
        ("labels", "cat"),
        ("labels", ["cat", 7]),
        ("labels", ["cat\ndog"]),
        ("labels", ["x" * 2000]),
        ("image_size", 224),
        ("origins", "mae"),
        ("origins", [{"weights": "mae"}]),
        ("origins", [{"weights": "a\x1b[2Jb", "licence": "MIT"}]),
        ("image_size", [60000, 60000]),
        ("image_size", [8.0, 8]),
        ("image_size", [8, 8, 8]),
        ("image_size", [0, 8]),
        ("image_size", [True, 8]),
        ("channels", 2),
        ("channels", "3"),
        ("crop", 0),
        ("crop", -1),
        ("crop", "all"),
        ("task", "several"),
        ("task", ["single"]),
        ("flops", "many"),
        ("merge", 0.6),
    ],
)
def test_each_field_is_checked(tmp_path, field, value):
    text = json.dumps({**json.loads(GOOD.to_json()), field: value})
    path = tflite(tmp_path / "model.tflite", {"metadata.json": text})
    with pytest.raises(UserError, match=rf"model\.tflite: its metadata\.json: {field}.*expected"):
        Metadata.read(path)


@pytest.mark.parametrize("text", ["", "[]", "null", "{", "[" * 10_000, '{"name": NaN}'])
def test_what_is_no_metadata(tmp_path, text):
    with pytest.raises(UserError, match=r"its metadata\.json: "):
        Metadata.read(tflite(tmp_path / "model.tflite", {"metadata.json": text}))


def test_metadata_that_unpacks_to_gigabytes(tmp_path):
    path = tflite(tmp_path / "model.tflite", {"metadata.json": b" " * 70_000_000})
    with pytest.raises(UserError, match="70,000,000 bytes"):
        Metadata.read(path)


def test_a_damaged_zip_at_the_end(tmp_path):
    (tmp_path / "model.tflite").write_bytes(b"TFL3")
    GOOD.append_to(tmp_path / "model.tflite")
    whole = (tmp_path / "model.tflite").read_bytes()
    place = whole.index(b"cats")
    (tmp_path / "model.tflite").write_bytes(whole[:place] + b"dogs" + whole[place + 4 :])
    with pytest.raises(UserError, match="not a sound zip"):
        Metadata.read(tmp_path / "model.tflite")


def test_a_zip_that_says_to_go_on_in_another_file(tmp_path):
    """`zipfile.is_zipfile` raises for it; found by fuzzing."""
    end64 = b"PK\6\7" + bytes(8) + b"\1" * 8
    end = b"PK\5\6" + bytes(18)
    (tmp_path / "model.tflite").write_bytes(b"TFL3" + bytes(100) + end64 + end)
    with pytest.raises(UserError, match="not a sound zip"):
        Metadata.read(tmp_path / "model.tflite")
