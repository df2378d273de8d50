# SPDX-License-Identifier: MIT
import hashlib
import shutil

import numpy as np
import pytest
from PIL import Image

from keras_vit import UserError, data
from keras_vit.data import by_name
from keras_vit.data.by_name import load_for_test
from keras_vit.data.dataset import split_batches
from keras_vit.data.holding_out import stratified
from keras_vit.data.sources.arrays import digits_splits
from keras_vit.preprocessing import Preprocessing


def test_digits_are_the_real_ones():
    images, _ = data.load("digits")
    assert images.classes == tuple("0123456789")
    assert [len(s) for s in (images.train, images.validation, images.test)] == [1295, 143, 359]
    whole = digits_splits()[1]["train"]
    assert len(load_for_test("digits")[1]) == 359
    assert len(whole) == 1797
    # The counts of the test file that UCI publishes.
    expected = [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert np.bincount(whole.labels).tolist() == expected
    assert set(np.unique(whole.pixels)) <= {round(v * 255 / 16) for v in range(17)}
    digest = hashlib.sha256(whole.pixels.tobytes()).hexdigest()
    assert digest == "b41ca9fd335466eee997366c2e6f6bbe0a1b4582afe091fc4eba35f4a254182f"


def test_splits_are_stratified_disjoint_and_complete():
    labels = np.repeat([0, 1, 2, 3], [100, 50, 10, 3])
    held, kept = stratified(labels, 0.2, seed=1)
    assert np.bincount(labels[held]).tolist() == [20, 10, 2, 1]
    assert sorted([*held, *kept]) == list(range(163))
    np.testing.assert_array_equal(stratified(labels, 0.2, seed=1)[0], held)
    assert not np.array_equal(stratified(labels, 0.2, seed=2)[0], held)


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


def test_two_folders_for_one_split(photos, tmp_path):
    for split in ("train", "val", "validation"):
        shutil.copytree(photos, tmp_path / split)
    with pytest.raises(UserError, match="both val/ and validation/"):
        data.load(str(tmp_path))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda root: None, "has no folders"),
        (lambda root: (root / "cat").mkdir(), "no image in .*cat"),
        (lambda root: (root / "test" / "cat").mkdir(parents=True), "no train"),
    ],
)
def test_a_folder_that_cannot_be_used(tmp_path, make, message):
    make(tmp_path)
    with pytest.raises(UserError, match=message):
        data.load(str(tmp_path))


def test_one_class_is_no_classification(photos, tmp_path):
    shutil.copytree(photos / "dark", tmp_path / "dark")
    with pytest.raises(UserError, match="at least 2 classes"):
        data.load(str(tmp_path))


def test_a_source_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match="Did you mean digits"):
        data.load("digit")
    with pytest.raises(UserError, match=r"no data at 'nowhere/at/all'\. Expected digits"):
        data.load("nowhere/at/all")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="file of no kind"):
        data.load(str(tmp_path / "file"))


def test_data_that_are_not_there_may_have_a_neighbour(tmp_path):
    (tmp_path / "my photos").mkdir()
    (tmp_path / "photos.txt").write_text("no data")
    for typed in ("my photo", "myphotos/", "My photos"):
        with pytest.raises(UserError, match=r"Did you mean .*/my photos\?$"):
            data.load(f"{tmp_path}/{typed}")
    with pytest.raises(UserError, match="Expected digits"):
        data.load(f"{tmp_path}/photos.txz")


def test_arrays():
    pixels = np.zeros((20, 4, 4), "uint8")
    images = data.from_arrays(pixels, [0, 1] * 10, ["a", "b"])
    assert images.train.pixels.shape[1:] == (4, 4, 1)
    with pytest.raises(UserError, match="uint8"):
        data.from_arrays(pixels.astype("float32"), [0, 1] * 10, ["a", "b"])
    with pytest.raises(UserError, match=r"shape \(20,\)"):
        data.from_arrays(pixels, [0, 1], ["a", "b"])
    with pytest.raises(UserError, match=r"0 to 1 .* received 0 to 2"):
        data.from_arrays(pixels, [0, 2] * 10, ["a", "b"])


@pytest.fixture(scope="module")
def tfds_folder(photos, tmp_path_factory):
    """A real TFDS data set on disk, made by TFDS from arrays."""
    import tensorflow as tf
    import tensorflow_datasets as tfds

    folder = tmp_path_factory.mktemp("tfds")
    features = tfds.features.FeaturesDict(
        {
            "image": tfds.features.Image(shape=(None, None, 3)),
            "label": tfds.features.ClassLabel(names=["dark", "light"]),
        }
    )
    files = sorted(photos.glob("*/*.png"))

    def rows():
        for file in files:
            pixels = np.asarray(Image.open(file))
            yield {"image": pixels, "label": int(file.parent.name == "light")}

    signature = {
        "image": tf.TensorSpec((None, None, 3), tf.uint8),
        "label": tf.TensorSpec((), tf.int64),
    }
    dataset = tf.data.Dataset.from_generator(rows, output_signature=signature)
    tfds.dataset_builders.store_as_tfds_dataset(
        name="two_lights",
        version="1.0.0",
        data_dir=folder,
        split_datasets={"train": dataset},
        features=features,
        disable_shuffling=True,
    )
    return folder


def test_tfds(tfds_folder, photos):
    images, _ = data.load("tfds:two_lights", data_dir=str(tfds_folder))
    assert images.classes == ("dark", "light")
    assert [len(s) for s in (images.train, images.validation, images.test)] == [18, 2, 4]
    folder = load_for_test(str(photos))[1]
    stored = load_for_test("tfds:two_lights", str(tfds_folder))[1]
    np.testing.assert_array_equal(folder.labels, stored.labels)
    np.testing.assert_array_equal(
        np.concatenate(list(split_batches(folder, Preprocessing((14, 18)), 5))),
        np.concatenate(list(split_batches(stored, Preprocessing((14, 18)), 5))),
    )


def test_an_unknown_tfds_name_is_answered_with_suggestions(tfds_folder):
    with pytest.raises(UserError, match=r"Did you mean .*cifar10"):
        data.load("tfds:cifar01", data_dir=str(tfds_folder))


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
