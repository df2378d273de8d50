# SPDX-License-Identifier: MIT
from keras_vit.analysis import Grade
from keras_vit.reports.grading import verdict


def grade(method, advantage, error=0.02):
    return Grade(method, 0.4, 0.4 + advantage, advantage, error)


def test_how_a_map_did_beside_chance_and_the_middle():
    grades = {"center": grade("center", 0.1)}
    good = verdict(grade("relevance", 0.3), grades, 50)
    assert "(50 images); better than chance by 0.30 +- 0.02, where the middle" in good
    assert good.endswith("of the image is by 0.10")
    middling = verdict(grade("relevance", 0.08), grades, 50)
    assert middling.endswith("but no better than the middle of the image (0.10)")
    tiny = verdict(grade("relevance", 0.0044, 0.0012), {"center": grade("center", -0.001)}, 24)
    assert tiny.endswith("by 0.004 +- 0.001, where the middle of the image is by -0.001")
    assert verdict(grade("relevance", 0.03), grades, 50).endswith("do not believe this map")
