# SPDX-License-Identifier: MIT
"""MixUp and CutMix: images and labels are mixed alike."""

import numpy as np
import pytest
import tensorflow as tf

from keras_vit.data.pipeline.augmentation.mixing import cutmix, mix, mixup
from keras_vit.recipes import Augmentation


def test_mixup_blends_images_and_labels_alike():
    """On images that are their own number, the share and the partner can be read off."""
    images = tf.reshape(tf.range(8.0), (8, 1, 1, 1))
    mixed = tf.function(lambda seed: mixup(images, tf.eye(8), 0.5, seed), autograph=False)
    shares = []
    for step in range(200):
        x, y = (t.numpy() for t in mixed(tf.constant([7, step])))
        share = y[0, 0]
        partner = np.roll(np.arange(8.0), 1)
        np.testing.assert_allclose(y, share * np.eye(8) + (1 - share) * np.roll(np.eye(8), 1, 0))
        # float32 of numbers up to 7.
        np.testing.assert_allclose(x.ravel(), share * np.arange(8.0) + (1 - share) * partner, 1e-5)
        shares.append(share)
    assert min(shares) >= 0.5 and max(shares) <= 1
    # The mean of max(a, 1 - a) with a from Beta(1/2, 1/2) is 1/2 + 1/pi; its deviation is 0.154.
    assert np.mean(shares) == pytest.approx(0.5 + 1 / np.pi, abs=4 * 0.154 / np.sqrt(200))


def test_mixup_of_deit_reverses_the_batch():
    images = tf.reshape(tf.range(6.0), (6, 1, 1, 1))
    mixed = tf.function(lambda seed: mixup(images, tf.eye(6), 0.8, seed, "deit"), autograph=False)
    shares = []
    for step in range(200):
        x, y = (t.numpy() for t in mixed(tf.constant([7, step])))
        share = y[0, 0]
        np.testing.assert_allclose(y, share * np.eye(6) + (1 - share) * np.eye(6)[::-1])
        expected = share * np.arange(6.0) + (1 - share) * np.arange(6.0)[::-1]
        np.testing.assert_allclose(x.ravel(), expected, atol=1e-5)  # float32 of numbers up to 5
        shares.append(share)
    # Beta(0.8, 0.8): mean 1/2, variance 1 / (4 * 2.6).
    assert np.mean(shares) == pytest.approx(0.5, abs=4 * 0.31 / np.sqrt(200))
    assert np.std(shares) == pytest.approx(0.31, abs=0.05)


def test_cutmix_swaps_one_box_and_counts_it():
    """Images are their own number, so that every pixel says where it comes from."""
    numbers = np.arange(5.0, dtype="float32")
    images = tf.constant(np.tile(numbers[:, None, None, None], (1, 12, 18, 1)))
    mixed = tf.function(lambda seed: cutmix(images, tf.eye(5), 1.0, seed), autograph=False)
    areas = []
    for step in range(200):
        x, y = (t.numpy() for t in mixed(tf.constant([3, step])))
        swapped = x[0, :, :, 0] == 4
        np.testing.assert_array_equal(x[2], images[2])  # the middle of five is its own partner
        for number in (0, 1, 3, 4):
            expected = np.where(swapped, 4 - number, number)
            np.testing.assert_array_equal(x[number, :, :, 0], expected)
        rows, columns = np.flatnonzero(swapped.any(1)), np.flatnonzero(swapped.any(0))
        if len(rows):
            assert swapped[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
        share = swapped.mean()
        np.testing.assert_allclose(y, (1 - share) * np.eye(5) + share * np.eye(5)[::-1], atol=1e-6)
        areas.append(share)
    # Half of the image on average, less what is cut off at the edges.
    assert 0.2 < np.mean(areas) < 0.45 and max(areas) > 0.7


def test_the_switch_and_the_probability_of_mixing():
    images = tf.random.stateless_uniform((4, 6, 6, 1), [0, 0])
    plan = Augmentation(mixup=0.8, cutmix=1.0, mixup_form="deit", mix_prob=0.6, switch_prob=0.25)
    mixed = tf.function(lambda seed: mix(images, tf.eye(4), plan, seed)[0], autograph=False)
    kinds = {"none": 0, "mixup": 0, "cutmix": 0}
    for step in range(400):
        x = mixed(tf.constant([1, step])).numpy()
        same = (x == images.numpy()).mean()
        # A small box of CutMix may have no pixel at all, in about one of fifteen.
        kinds["none" if same == 1 else "cutmix" if same > 0 else "mixup"] += 1
    assert kinds["mixup"] == pytest.approx(400 * 0.6 * 0.75, abs=4 * 10)  # deviations of 10
    assert 20 < kinds["cutmix"] < 400 * 0.6 * 0.25 + 4 * 7
