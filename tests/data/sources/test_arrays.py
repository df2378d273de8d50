# SPDX-License-Identifier: MIT
import hashlib

import numpy as np
import pytest

from keras_vit import UserError, data
from keras_vit.data.by_name import load_for_test
from keras_vit.data.sources.arrays import digits_splits


def test_examples_in_memory_may_have_several_labels():
    pixels = np.zeros((20, 4, 4), "uint8")
    labels = np.tile([[1, 0], [1, 1]], (10, 1))
    images = data.from_arrays(pixels, labels, ["a", "b"])
    assert images.task == "multi" and len(images.test) == 4
    with pytest.raises(UserError, match="zeros and ones of shape"):
        data.from_arrays(pixels, 2 * labels, ["a", "b"])


def npz(path, **arrays):
    np.savez_compressed(path, **arrays)
    return str(path)


def test_npz_files(tmp_path):
    random = np.random.default_rng(0)
    x = random.integers(0, 256, (30, 5, 5, 3)).astype("uint8")
    y = np.arange(30) % 3
    source = npz(tmp_path / "k.npz", x_train=x, y_train=y[:, None], x_test=x[:9], y_test=y[:9])
    images, _ = data.load(source)
    assert images.classes == ("0", "1", "2")
    assert [len(s) for s in (images.train, images.validation, images.test)] == [27, 3, 9]
    np.testing.assert_array_equal(images.test.pixels, x[:9])
    names = np.array(["ant", "bee", "cow"])
    source = npz(tmp_path / "n.npz", images=x[..., 0], labels=np.eye(3)[y], class_names=names)
    images, _ = data.load(source)
    assert images.classes == ("ant", "bee", "cow") and images.task == "single"
    hot = np.array([[1, 1], [0, 1], [0, 0]] * 10)
    assert data.load(npz(tmp_path / "m.npz", images=x, labels=hot))[0].task == "multi"


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"a": [1]}, "expected arrays x_train and y_train"),
        ({"images": np.zeros((2, 4, 4)), "labels": [0, 1]}, "expected uint8"),
        ({"images": np.zeros((2, 4, 4), "uint8"), "labels": [0.5, 1.5]}, "whole numbers"),
        ({"images": np.zeros((2, 4, 4), "uint8"), "labels": [0, -1]}, "expected 0 to"),
        ({"images": np.zeros((2, 4, 4, 2), "uint8"), "labels": [0, 1]}, "1 or 3 channels"),
        ({"images": np.zeros((2, 4, 4), "uint8"), "labels": ["a", "b"]}, "whole numbers"),
        ({"images": np.zeros((2, 4, 4), "uint8"), "labels": np.array([{}, 1])}, "plain arrays"),
        ({"images": np.zeros((2, 4, 4), "uint8"), "labels": [0, 10**9]}, "received 0 to 10{9}"),
        (
            {"images": np.zeros((2, 4, 4), "uint8"), "labels": np.array([0, 2**64 - 1], "uint64")},
            "received 0 to 18446744073709551615",
        ),
        ({"images": np.zeros((2, 4, 4), "uint8"), "labels": [0, np.nan]}, "whole numbers"),
        ({"images": np.zeros((2, 0, 4), "uint8"), "labels": [0, 1]}, "sides of 1 to"),
    ],
)
def test_npz_files_that_cannot_be_used(tmp_path, arrays, message):
    with pytest.raises(UserError, match=message):
        data.load(npz(tmp_path / "a.npz", **arrays))


def test_a_file_that_is_no_npz(tmp_path):
    for content in (b"", b"PK\x03\x04", b"\x93NUMPY\x01\x00v\x00{'descr'"):
        (tmp_path / "a.npz").write_bytes(content)
        with pytest.raises(UserError, match="is not a sound zip file"):
            data.load(str(tmp_path / "a.npz"))


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
