# SPDX-License-Identifier: MIT
import numpy as np
import pytest
from PIL import Image

from keras_vit import UserError, data
from keras_vit.data.by_name import load_for_test
from keras_vit.data.dataset import split_batches
from keras_vit.preprocessing import Preprocessing


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
