# SPDX-License-Identifier: MIT
import json

import numpy as np
import pytest

from keras_vit.evaluation import (
    average_precision,
    headline,
    mean_average_precision,
    sigmoid,
    summarize_multilabel,
)
from keras_vit.reports import evaluation_table


def test_by_hand():
    # Ranks 1 and 3 are right: precision 1/1 and 2/3 there.
    scores = np.array([0.9, 0.8, 0.7, 0.1])
    assert average_precision(scores, np.array([1, 0, 1, 0])) == pytest.approx((1 + 2 / 3) / 2)
    assert average_precision(scores, np.array([0, 0, 0, 1])) == 0.25
    assert average_precision(scores, np.ones(4)) == 1


def test_equal_scores_do_not_depend_on_the_order_of_the_data():
    for targets in ([1, 0, 0, 0], [0, 0, 0, 1]):
        assert average_precision(np.zeros(4), np.array(targets)) == 0.25


def test_mean_follows_its_definition_and_leaves_out_what_does_not_occur():
    random = np.random.default_rng(0)
    scores = random.permutation(200).reshape(50, 4).astype("float64")  # no two are equal
    targets = random.uniform(size=(50, 4)) < 0.3
    targets[:, 3] = False
    expected = []
    for c in range(3):
        ranked = targets[np.argsort(-scores[:, c]), c]
        precision = np.cumsum(ranked) / np.arange(1, 51)
        expected.append(precision[ranked].mean())
    assert mean_average_precision(scores, targets) == pytest.approx(np.mean(expected))
    assert np.isnan(mean_average_precision(scores, np.zeros((50, 4), bool)))
    assert np.isnan(average_precision(scores[:, 0], np.zeros(50)))


def test_summary_by_hand():
    logits = np.array([[2.0, -1.0, -1.0], [1.0, 3.0, -2.0], [-1.0, 2.0, -3.0], [0.5, -2.0, -1.0]])
    targets = np.array([[1, 0, 0], [1, 1, 0], [1, 1, 0], [0, 0, 0]])
    summary = summarize_multilabel(logits, targets, ["a", "b", "c"])
    assert json.loads(json.dumps(summary)) == summary
    a, b, c = summary["per_class"]
    # Ranked by logit, a is right at ranks 1, 2 and 4.
    assert a["ap"] == pytest.approx((1 + 1 + 3 / 4) / 3)
    assert (a["precision"], a["recall"]) == (2 / 3, 2 / 3)
    assert b["ap"] == b["f1"] == 1
    assert c == {"class": "c", "ap": None, "precision": 0, "recall": 0, "f1": 0, "support": 0}
    assert summary["map"] == pytest.approx((a["ap"] + 1) / 2)
    assert summary["exact"] == 0.5
    assert summary["micro_f1"] == pytest.approx(2 * 4 / (5 + 5))
    assert headline(logits, targets) == {"map": summary["map"]}
    table = evaluation_table({"model": "m", "data": "d", **summary})
    assert "mAP     95.83%" in table and table.splitlines()[-1].split()[:2] == ["c", "-"]


def test_sigmoid_of_large_logits():
    with np.errstate(over="raise", invalid="raise"):
        found = sigmoid(np.array([-700.0, 0.0, 700.0]))
    np.testing.assert_allclose(found, [np.exp(-700.0), 0.5, 1])
