# SPDX-License-Identifier: MIT
"""Where weights come from: read back as written, from strangers too, and said aloud once."""

import json

import pytest

from keras_vit import UserError
from keras_vit.origins import Origin, from_text, joined, say_restrictions, to_text

FREE = Origin("S/16-i21k", "Apache-2.0", "https://www.apache.org/licenses/LICENSE-2.0")
BOUND = Origin("mae", "CC-BY-NC-4.0", "https://example.org/terms", "no commercial use")


def test_it_is_read_back():
    chain = (FREE, BOUND)
    assert from_text(to_text(chain), "x") == chain
    assert from_text("[]", "x") == ()
    assert "\n" not in to_text(chain)


def test_a_chain_has_each_once_the_newest_last():
    assert joined((FREE,), (BOUND, FREE)) == (FREE, BOUND)


@pytest.mark.parametrize(
    "values",
    [
        {},
        [1],
        [{"weights": "x"}],
        [{"weights": "", "licence": "MIT"}],
        [{"weights": "a\nb", "licence": "MIT"}],
        [{"weights": "x" * 501, "licence": "MIT"}],
        [{"weights": "x", "licence": "MIT"}] * 33,
    ],
)
def test_a_stranger_may_have_written_it(values):
    with pytest.raises(UserError, match=r"^file: "):
        from_text(json.dumps(values), "file: ")


def test_what_is_forbidden_is_said_once(capsys):
    origin = Origin("once", "own", "https://example.org", "not on \x1b[31mMondays")
    for _ in range(2):
        say_restrictions([FREE, origin])
    said = capsys.readouterr().err
    assert said.count("note: once: licence own: not on ") == 1 == said.count("\n")
    assert "\x1b" not in said and "(https://example.org)" in said
