# SPDX-License-Identifier: MIT
"""Losses against NumPy in float64."""

import keras
import numpy as np
import pytest

from keras_vit import UserError
from keras_vit.recipes import Classify
from keras_vit.training.objectives.classify import class_weights, make_loss
from tests.contracts import to_numpy

RANDOM = np.random.default_rng(0)
LOGITS = RANDOM.normal(size=(5, 7)).astype("float32")
MIXED = RANDOM.dirichlet(np.ones(7) / 4, 5).astype("float32")  # as after MixUp
COUNTS = [10, 20, 30, 5, 1, 40, 14]


def expected(plan, labels, weights):
    logits, t = LOGITS.astype("float64"), labels.astype("float64")
    if plan.target_threshold is not None:
        t = (t > plan.target_threshold).astype("float64")
    s = plan.label_smoothing
    if plan.loss == "softmax":
        t = t * (1 - s) + s / 7
        terms = -t * (logits - np.log(np.exp(logits).sum(axis=1, keepdims=True)))
    else:
        t = t * (1 - s) + s / 2
        share = 1 / (1 + np.exp(-logits))
        terms = -t * np.log(share) - (1 - t) * np.log(1 - share)
    terms = terms * weights
    return (terms.mean(axis=1) if plan.loss == "bce" else terms.sum(axis=1)).mean()


@pytest.mark.parametrize("loss", ["softmax", "sigmoid", "bce"])
@pytest.mark.parametrize("weights", [None, "balanced", (1, 2, 3, 4, 5, 6, 7)])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_losses(loss, weights, smoothing):
    plan = Classify(loss=loss, label_smoothing=smoothing, class_weights=weights)
    factors = np.ones(7)
    if weights == "balanced":
        factors = np.array([sum(COUNTS) / (7 * count) for count in COUNTS])
    elif weights:
        factors = np.array(weights)
    value = float(to_numpy(make_loss(plan, COUNTS)(MIXED, LOGITS)))
    # float32 arithmetic on values near 1: a few units in the seventh digit.
    assert value == pytest.approx(expected(plan, MIXED, factors), rel=1e-6)


@pytest.mark.parametrize("loss", ["sigmoid", "bce"])
def test_a_threshold_asks_fully_for_each_class_of_a_mixed_image(loss):
    plan = Classify(loss=loss, target_threshold=0.2)
    value = float(to_numpy(make_loss(plan)(MIXED, LOGITS)))
    assert value == pytest.approx(expected(plan, MIXED, np.ones(7)), rel=1e-6)


def test_balanced_weights_give_each_class_the_same_say():
    weights = class_weights(Classify(class_weights="balanced"), COUNTS)
    says = np.array(weights) * COUNTS
    np.testing.assert_allclose(says, sum(COUNTS) / 7)  # classes * say = all examples
    assert class_weights(Classify(), COUNTS) is None


def test_a_loss_survives_its_configuration():
    loss = make_loss(Classify(loss="bce", target_threshold=0.1, class_weights="balanced"), COUNTS)
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    assert float(to_numpy(again(MIXED, LOGITS))) == float(to_numpy(loss(MIXED, LOGITS)))


def test_wrong_objectives_help():
    with pytest.raises(UserError, match="expected 7 numbers"):
        make_loss(Classify(class_weights=(1.0, 2.0)), COUNTS)
    with pytest.raises(UserError, match="which it would undo"):
        Classify(loss="bce", target_threshold=0.1, label_smoothing=0.1)
    with pytest.raises(UserError, match="goes with loss='sigmoid'"):
        Classify(target_threshold=0.1)
    with pytest.raises(UserError, match="'balanced', none or"):
        Classify(class_weights="equal")
