# SPDX-License-Identifier: MIT
"""How fast things are, as text."""

import operator
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from keras_vit import hardware
from keras_vit.deploy import Latency
from keras_vit.export.quantization import MODES
from keras_vit.reports.tables import aligned

_clock = operator.attrgetter("median_ms")
# How the names of files end that `keras_vit.deploy.run_benchmark` quantised, or that merge patches.
_INEXACT = re.compile(rf" ({'|'.join(mode for mode in MODES if mode != 'none')}|merge [.\d]+)$")

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
    """What `keras-vit benchmark SUBJECT` prints: the last lines name the machine, and what to take
    on it."""
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
    lines = [*aligned([_LATENCY_COLUMNS, *rows]), machine.rstrip(", "), *recommended(results)]
    return "\n".join(lines)


def recommended(results: Sequence[Latency]) -> list[str]:
    """For each number of threads and batch size, what is the fastest on this machine, in words.

    Files in int8 or float16, and those that merge patches, answer a little differently: where one
    of them is the fastest, the best of the others is named too.
    """
    lines = []
    for setting in dict.fromkeys((result.threads, result.batch) for result in results):
        rivals = [r for r in results if (r.threads, r.batch) == setting]
        exact = [r for r in rivals if not _INEXACT.search(r.name)]
        found = [min(group, key=_clock) for group in (rivals, exact) if len(group) > 1]
        words = [_ahead(best, rivals) for best in dict.fromkeys(found)]
        if words:
            threads, batch = setting
            where = f"{threads} thread{'s' * (threads != 1)}, batch {batch}"
            lines.append(f"fastest here ({where}): {'; as exact as the model: '.join(words)}")
    return lines


def _ahead(best: Latency, rivals: Sequence[Latency]) -> str:
    """A file, and how far it is ahead of the next one."""
    others = [rival for rival in rivals if _clock(rival) > _clock(best)]
    if not others:
        return best.name
    second = min(others, key=_clock)
    return f"{best.name}, {_clock(best) / _clock(second):.2f}x the time of {second.name}"
