# SPDX-License-Identifier: MIT
"""How fast things are, as text."""

from collections.abc import Sequence

from keras_vit.data.timing import Stage
from keras_vit.reports.tables import aligned

_COLUMNS = ("up to", "images/s", "CPU ms/image", "added", "cores")


def pipeline_table(stages: Sequence[Stage]) -> str:
    """What `keras-vit benchmark data` prints."""
    rows = [
        (
            stage.name,
            f"{stage.images_per_second:,.0f}",
            f"{stage.cpu_ms:.3f}",
            f"{stage.added_cpu_ms:+.3f}",
            f"{stage.cores:.2f}",
        )
        for stage in stages
    ]
    return "\n".join(aligned([_COLUMNS, *rows]))
