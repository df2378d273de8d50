# SPDX-License-Identifier: MIT
import numpy as np

from keras_vit.data.holding_out import stratified


def test_splits_are_stratified_disjoint_and_complete():
    labels = np.repeat([0, 1, 2, 3], [100, 50, 10, 3])
    held, kept = stratified(labels, 0.2, seed=1)
    assert np.bincount(labels[held]).tolist() == [20, 10, 2, 1]
    assert sorted([*held, *kept]) == list(range(163))
    np.testing.assert_array_equal(stratified(labels, 0.2, seed=1)[0], held)
    assert not np.array_equal(stratified(labels, 0.2, seed=2)[0], held)


def test_stratified_with_several_classes_to_an_image():
    random = np.random.default_rng(0)
    labels = (random.uniform(size=(1000, 6)) < [0.5, 0.3, 0.2, 0.05, 0.02, 0.0]).astype("uint8")
    held, kept = stratified(labels, 0.2, seed=1)
    assert sorted([*held, *kept]) == list(range(1000))
    counts, chosen = labels.sum(axis=0), labels[held].sum(axis=0)
    # The rare classes exactly; a frequent one may have got more through the rarer ones.
    assert chosen[3:].tolist() == [round(0.2 * c) for c in counts[3:]]
    np.testing.assert_allclose(chosen[:3] / counts[:3], 0.2, atol=0.03)
    none = ~labels.any(axis=1)
    assert none[held].sum() == round(0.2 * none.sum())
    np.testing.assert_array_equal(stratified(labels, 0.2, seed=1)[0], held)
    one = labels.argmax(axis=1)
    hot = np.eye(6, dtype="uint8")[one]
    assert len(stratified(hot, 0.2, 1)[0]) == len(stratified(one, 0.2, 1)[0])
