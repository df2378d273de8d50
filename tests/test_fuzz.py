# SPDX-License-Identifier: MIT
"""Readers of strangers' files return or raise a `UserError`, whatever they are given.

The targets are those of coverage-guided fuzzing, see `fuzz/README.md`.
"""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fuzz.targets import TARGETS


@pytest.mark.parametrize("name", TARGETS)
def test_sound_files_are_accepted(name):
    rejected = [seed for seed in TARGETS[name].seeds if not TARGETS[name](seed)]
    assert not rejected


EDITS = st.lists(
    st.tuples(
        st.floats(0, 1),
        st.sampled_from(["change", "insert", "cut", "repeat"]),
        st.binary(max_size=9),
    ),
    min_size=1,
    max_size=4,
)


def edited(contents, edits):
    for place, what, piece in edits:
        at = int(place * len(contents))
        after = at if what == "insert" else at + len(piece)
        piece = contents[at : at + 99] * 2 if what == "repeat" else piece
        contents = contents[:at] if what == "cut" else contents[:at] + piece + contents[after:]
    return contents


def check_mutants(name, examples):
    target = TARGETS[name]
    # A seed goes by its number: Hypothesis writes out every argument and warns of long ones.
    numbers = st.integers(0, len(target.seeds) - 1)

    @settings(max_examples=examples, suppress_health_check=list(HealthCheck), deadline=None)
    @given(numbers | st.binary(max_size=99), EDITS)
    def each(start, edits):
        target(edited(start if isinstance(start, bytes) else target.seeds[start], edits))

    each()


@pytest.mark.parametrize("name", TARGETS)
def test_a_few_mutants(name):
    check_mutants(name, 25)


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
def test_many_mutants(name):
    check_mutants(name, 2_000)
