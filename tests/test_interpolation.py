# SPDX-License-Identifier: MIT
"""Resampling is a linear map with rows that sum to 1."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_vit.interpolation import matrix

SIDES = st.integers(1, 12)
ALL = st.sampled_from(["zoom", "bilinear", "bicubic", "bilinear_antialias", "bicubic_antialias"])


@settings(max_examples=150)
@given(SIDES, SIDES, ALL)
def test_a_constant_stays_constant(old, new, method):
    assert np.allclose(matrix(old, new, method).sum(axis=1), 1)


@settings(max_examples=60)
@given(SIDES, ALL)
def test_the_same_size_is_the_identity(side, method):
    assert np.allclose(matrix(side, side, method), np.eye(side))


@settings(max_examples=60)
@given(SIDES, st.integers(2, 12), ALL)  # to one value, zoom takes the first and not the middle
def test_mirrored_in_mirrored_out(old, new, method):
    assert np.allclose(matrix(old, new, method), matrix(old, new, method)[::-1, ::-1])
