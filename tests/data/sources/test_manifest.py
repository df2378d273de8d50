# SPDX-License-Identifier: MIT
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keras_vit import UserError, data
from keras_vit.data.sources.manifest import list_manifest


def listed(folder, name, text):
    (folder / name).write_text(text, encoding="utf-8")
    return list_manifest(folder / name)


def rows(listing):
    return {
        split: [(Path(file.path).name, file.labels) for file in files]
        for split, files in listing.files.items()
    }


ONE = {
    "train": [("a.jpg", ("cat",)), ("b.jpg", ("dog",))],
    "validation": [("c.jpg", ("cat",))],
    "test": [("d.jpg", ("dog",))],
}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("m.csv", "path,label,split\na.jpg,cat,train\nb.jpg,dog,train\nc.jpg,cat,val\n"
         "d.jpg,dog,test"),
        ("m.csv", "\ufeffSplit,x,Class,File_Name\r\ntrain,1,cat,a.jpg\r\ntrain,,dog,b.jpg\r\n"
         "valid,1,cat,c.jpg\r\ntest,1,dog,d.jpg\r\n\r\n"),
        ("m.csv", "a.jpg,cat,train\nb.jpg,dog,train\nc.jpg,cat,dev\nd.jpg,dog,test\n"),
        ("m.tsv", "file\tcategory\tsubset\na.jpg\tcat\tTrain\nb.jpg\tdog\ttrain\nc.jpg\tcat\tval\n"
         "d.jpg\tdog\ttest\n"),
        ("m.jsonl", '{"image": "a.jpg", "label": "cat"}\n{"image": "b.jpg", "label": "dog"}\n\n'
         '{"image": "c.jpg", "label": "cat", "split": "val"}\n'
         '{"split": "test", "image": "d.jpg", "label": "dog"}\n'),
    ],
)  # fmt: skip
def test_spellings(tmp_path, name, text):
    listing = listed(tmp_path, name, text)
    assert rows(listing) == ONE
    assert listing.task == "single"
    assert listing.files["train"][0].path == str(tmp_path / "a.jpg")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("m.csv", "path,labels\na.jpg,dog|cat\nb.jpg,\nc.jpg,cat\n"),
        ("m.csv", 'path,labels\na.jpg,"[""cat"", ""dog""]"\nb.jpg,[]\nc.jpg,cat\n'),
        ("m.jsonl", '{"path": "a.jpg", "labels": ["dog", "cat", "dog"]}\n'
         '{"path": "b.jpg", "labels": []}\n{"path": "c.jpg", "labels": "cat"}\n'),
    ],
)  # fmt: skip
def test_several_labels(tmp_path, name, text):
    listing = listed(tmp_path, name, text)
    assert listing.task == "multi" and listing.classes == {"train": ["cat", "dog"]}
    assert rows(listing) == {
        "train": [("a.jpg", ("cat", "dog")), ("b.jpg", ()), ("c.jpg", ("cat",))]
    }


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("m.csv", "", "has no rows"),
        ("m.csv", "path,label\n", "has no rows"),
        ("m.csv", "name,kind\na.jpg,cat\n", r"first line has \['name', 'kind'\]"),
        ("m.csv", "path,label\na.jpg\n", "line 2: expected 2 cells"),
        ("m.csv", "path,label\na.jpg,\n", "line 2: expected the name of a class"),
        ("m.csv", "path,label\n,cat\n", "line 2: expected the name of an image"),
        ("m.csv", "path,label\na.jpg,cat\na.jpg,dog\n", "line 3: .*a.jpg is in line 2 already"),
        ("m.csv", "path,label,split\na.jpg,cat,later\n", "line 2: expected the split train"),
        ("m.csv", "path,label,split\na.jpg,cat,test\n", "no row is of the split train"),
        ("m.csv", 'path,label\n"a.jpg,cat\n', "is not a table"),
        ("m.jsonl", "[1]", "line 1: received '.1.'"),
        ("m.jsonl", "{", "line 1: is not JSON"),
        ("m.jsonl", '{"path": "a.jpg", "label": null}', "expected the name of a class"),
        ("m.jsonl", '{"path": "a\\u0000.jpg", "label": "b"}', "expected the name of an image"),
        ("m.jsonl", '{"path": "a.jpg", "label": "a\\nb"}', "expected the name of a class"),
    ],
)  # fmt: skip
def test_errors_name_the_line(tmp_path, name, text, message):
    with pytest.raises(UserError, match=message):
        listed(tmp_path, name, text)


def test_text_that_is_not_utf_8(tmp_path):
    (tmp_path / "m.csv").write_bytes("path,label\né.jpg,cat\n".encode("latin-1"))
    with pytest.raises(UserError, match="expected UTF-8"):
        list_manifest(tmp_path / "m.csv")


def write(photos, path, label_of, split_of=None):
    """A manifest of the photos, with no image next to it."""
    lines = [
        {"path": str(file), "label": label_of(i, file)}
        | ({"split": split_of(i)} if split_of else {})
        for i, file in enumerate(sorted(photos.glob("*/*.png")))
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(path)


def test_a_manifest_is_loaded_and_audited_as_a_folder(photos, tmp_path):
    source = write(photos, tmp_path / "m.jsonl", lambda i, file: file.parent.name)
    (images, _), (expected, _) = data.load(source), data.load(str(photos))
    assert images.classes == expected.classes
    for split in ("train", "validation", "test"):
        assert getattr(images, split).paths == getattr(expected, split).paths
        np.testing.assert_array_equal(
            getattr(images, split).labels, getattr(expected, split).labels
        )
    assert data.audit_files(source).findings == data.audit_files(str(photos)).findings == ()


def test_splits_of_a_manifest(photos, tmp_path):
    def split(i):
        return ("train", "train", "val", "test")[i % 4]

    source = write(photos, tmp_path / "m.jsonl", lambda i, file: file.parent.name, split)
    images, _ = data.load(source)
    assert [len(s) for s in (images.train, images.validation, images.test)] == [12, 6, 6]

    def label(i, file):
        return "new" if i == 3 else file.parent.name

    source = write(photos, tmp_path / "n.jsonl", label, split)
    with pytest.raises(UserError, match="classes of test differ from those of train in: new"):
        data.load(source)
    kinds = {finding.kind: finding for finding in data.audit_files(source).findings}
    assert kinds["class names"].items == ("new",)


def test_files_that_are_missing_are_named(photos, tmp_path):
    (tmp_path / "m.csv").write_text("path,label\na.png,cat\nb.png,dog\n")
    with pytest.raises(UserError, match=r"a\.png: no such file(?s:.)*b\.png: no such file"):
        data.load(str(tmp_path / "m.csv"))


TEXT = st.text(max_size=60) | st.text(alphabet='path,label|[]{}":\t\n\r\\"ab01 ', max_size=60)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    head=st.sampled_from(["", "path,label\n", "path\tlabel\tsplit\n", '{"path": "a", "label": ']),
    body=TEXT,
    name=st.sampled_from(["m.csv", "m.tsv", "m.jsonl"]),
)
def test_whatever_a_manifest_holds_is_read_or_a_user_error(tmp_path, head, body, name):
    (tmp_path / name).write_bytes((head + body).encode("utf-8", "surrogatepass"))
    try:
        listing = list_manifest(tmp_path / name)
    except UserError as error:
        assert str(error).startswith(str(tmp_path / name))
    else:
        for file in listing.files["train"]:
            assert all(label in listing.classes["train"] for label in file.labels)
            Path(file.path).exists()  # raises for a name that no file can have


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    row=st.dictionaries(
        st.sampled_from(["path", "label", "split", "x"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
            max_leaves=5,
        ),
    )
)
def test_whatever_json_holds_is_read_or_a_user_error(tmp_path, row):
    (tmp_path / "m.jsonl").write_text(json.dumps(row))
    try:
        listing = list_manifest(tmp_path / "m.jsonl")
    except UserError as error:
        assert str(error).startswith(str(tmp_path / "m.jsonl"))
    else:
        assert len(listing.files["train"]) == 1
