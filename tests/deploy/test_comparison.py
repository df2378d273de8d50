# SPDX-License-Identifier: MIT
import numpy as np
import pytest

from keras_vit.deploy import compare
from keras_vit.deploy.comparison import same_logits, where_they_differ
from keras_vit.export import Metadata


def test_compare_says_where():
    reference = np.array([[1.0, 0], [0, 1], [0, 1.0001]])
    same = compare(reference, reference + 0.9e-4)
    assert same.ok and same.agreement == 1
    other = reference.copy()
    other[1] = [1, 0]
    found = compare(reference, other)
    assert not found.ok
    assert (found.worst, found.disagreeing) == (1, (1,))
    assert found.agreement == pytest.approx(2 / 3)
    broken = compare(reference, np.where(reference == 1.0001, np.nan, reference))
    assert not broken.ok and not broken.finite and broken.worst == 2


def test_a_swapped_tie_is_no_disagreement():
    found = compare(np.array([[0.5, 0.5 + 1e-5]]), np.array([[0.5 + 1e-5, 0.5]]))
    assert found.agreement == 0
    assert found.ok


def test_large_logits_are_compared_by_their_size():
    reference = np.array([[1000.0, 0.0]])
    assert compare(reference, reference + np.array([[0.09, 0]])).ok
    assert not compare(reference, reference + np.array([[0, 0.09]])).ok


def test_answers_of_several_classes():
    reference = np.array([[1.0, -1.0], [2.0, 1e-5], [-1.0, -2.0]])
    near = reference - np.array([[0, 0], [0, 2e-5], [0, 0]])  # a tie: both are 0 but for rounding
    found = compare(reference, near, task="multi")
    assert found.ok and found.agreement == pytest.approx(2 / 3)
    other = reference.copy()
    other[2, 0] = 0.5
    found = compare(reference, other, tolerance=10, task="multi")
    assert found.disagreeing == () and found.agreement == pytest.approx(2 / 3)
    found = compare(reference, other, task="multi")
    assert found.disagreeing == (2,) and not found.ok
    meta = Metadata("m", ("cat", "dog"), (8, 8), 3, task="multi")
    assert meta.answer(reference[1]) == "'cat' and 'dog'" and meta.answer(reference[2]) == "nothing"
    assert Metadata.parse(meta.to_json(), "x") == meta


def test_a_file_gives_the_same_logits_twice():
    logits = np.array([[1.0, -2.0]])
    assert same_logits(logits, logits + 1e-5, lossy=False)
    assert not same_logits(logits, logits + 1e-2, lossy=False)
    # Scales of quantised activations may differ; other logits are still found.
    assert same_logits(logits, logits + 1e-2, lossy=True)
    assert not same_logits(logits, logits[:, ::-1], lossy=True)
    assert not same_logits(logits, logits * np.nan, lossy=True)


def test_where_logits_differ_is_one_sentence():
    meta, reference = Metadata("m", ("cat", "dog"), (8, 8), 3), np.array([[1.0, 0], [0, 1]])

    def said(candidate):
        found = compare(reference, candidate)
        return where_they_differ(found, reference, candidate, meta, "photo {}".format)

    assert said(np.add(reference, [[0, 0], [0, 0.5]])) == (
        "max |d logit| 5.0e-01, 5.0e-01 of max(1, |logit|) (limit 1e-04), for photo 1"
    )
    assert said(reference[::-1]).endswith(
        "; 2 of 2 images get another class, first photo 0: 'dog' where Keras says 'cat'"
    )
    assert said(reference * [[1], [np.nan]]) == "logits that are not finite, first for photo 1"
