# SPDX-License-Identifier: MIT
"""What a page says of the weights that a run began with."""

import dataclasses

from keras_vit.origins import Origin
from keras_vit.reports.origins import origin_lines


def test_a_page_names_them():
    assert origin_lines({}) == []
    origin = Origin("x|<y>", "own", "https://example.org", "not on *Mondays*")
    first, _, line, last = origin_lines({"origins": [dataclasses.asdict(origin)]})
    assert first.endswith(":") and not last
    assert "&lt;y\\>" in line and "\\*Mondays\\*" in line and "x\\|" in line
