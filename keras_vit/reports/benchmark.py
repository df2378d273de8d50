# SPDX-License-Identifier: MIT
"""How fast things are, as text."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from keras_vit import hardware
from keras_vit.deploy import Latency
from keras_vit.reports.tables import aligned

if TYPE_CHECKING:
    from keras_vit.data.pipeline.timing import Stage

_PIPELINE_COLUMNS = ("up to", "images/s", "CPU ms/image", "added", "cores")

_LATENCY_COLUMNS = (
    *("model", "threads", "batch", "median ms", "p95 ms", "CPU ms"),
    *("images/s", "GFLOP/s", "of peak", "size", "memory"),
)


def pipeline_table(stages: "Sequence[Stage]") -> str:
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
    return "\n".join(aligned([_PIPELINE_COLUMNS, *rows]))


def latency_table(results: Sequence[Latency]) -> str:
    """What `keras-vit benchmark SUBJECT` prints; the last line names the machine."""
    rows = [
        (
            result.name,
            str(result.threads),
            str(result.batch),
            f"{result.median_ms:.2f}",
            f"{result.p95_ms:.2f}",
            f"{result.cpu_ms:.2f}",
            f"{result.images_per_second:,.1f}",
            "-" if result.gflops is None else f"{result.gflops:.1f}",
            "-" if result.share_of_peak is None else f"{result.share_of_peak:.0%}",
            f"{result.bytes / 1e6:.2f} MB",
            f"{result.peak_mb:.0f} MB",
        )
        for result in results
    ]
    flags = [flag for flag in hardware.NOTABLE_FLAGS if flag in hardware.cpu_flags()]
    cores = hardware.usable_cores()
    machine = f"{hardware.cpu_name()}, {cores} core{'s' * (cores != 1)}, {' '.join(flags)}"
    return "\n".join([*aligned([_LATENCY_COLUMNS, *rows]), machine.rstrip(", ")])
