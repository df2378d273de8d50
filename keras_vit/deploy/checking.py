# SPDX-License-Identifier: MIT
"""Runs exported files on the same images as the model, and says what speaks against each."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from keras_vit.deploy.checked_export import CheckedExport, ExportOptions
from keras_vit.deploy.comparison import compare, same_logits, where_they_differ
from keras_vit.deploy.gpu_check import check_in_half, check_on_gpu
from keras_vit.deploy.latency import Latency, median_milliseconds, time_files
from keras_vit.deploy.original import CheckImages, Original, Reference
from keras_vit.errors import UserError
from keras_vit.export import Metadata, open_runner
from keras_vit.export.gpu import GpuRun, run_on_gpu
from keras_vit.export.quantization import MODES, signal_to_noise
from keras_vit.export.runner import TENSORFLOW_FREE, Runner, keras_runner
from keras_vit.export.worker import run_in_new_process
from keras_vit.files import size_in_bytes
from keras_vit.progress import step
from keras_vit.quiet import without_lines

_MODEL = "keras"  # among the names of files, none of which is called so
_TIMED_IMAGES = 64
_BATCHES = (1, 7)  # sizes that every file is run with, next to that of the check


@dataclasses.dataclass(frozen=True)
class Runners:
    """How files are run. A test hands in others than the real ones.

    Attributes:
        open: opens a file in this process.
        in_new_process: logits of a file for the first image alone and then for all in one batch.
        formats_in_new_process: whose files are run there too; a SavedModel takes seconds.
        on_gpu: runs a LiteRT file on a GPU.
        time: see `keras_vit.deploy.time_files`.
        rounds: calls of each file, of which the median is its time for an image.
    """

    open: Callable[[Path], Runner] = open_runner
    in_new_process: Callable[[Path, np.ndarray], np.ndarray] = run_in_new_process
    formats_in_new_process: Sequence[str] = TENSORFLOW_FREE
    on_gpu: Callable[[Path, np.ndarray], GpuRun] = run_on_gpu
    time: Callable[..., list[Latency]] = time_files
    rounds: int = 50


def check(
    original: Original,
    exports: Sequence[CheckedExport],
    images: CheckImages,
    options: ExportOptions,
    runners: Runners,
) -> tuple[Reference, list[CheckedExport]]:
    """Runs a model and the files that were made of it on the same images, and compares.

    Returns:
        What the model makes of the images, and the files with all that was found of them.
    """
    exports, opened = _open_all(exports, options, runners)
    batches = images.batches
    if options.whole_pixels:  # what is not whole would be rounded for some files only
        batches = map(np.rint, batches)
    reference, exports = _run_all(original, exports, opened, batches, images.labels, runners.rounds)

    def compared(export: CheckedExport) -> CheckedExport:
        export = _compared(export, reference, original.metadata.task)
        problem = (
            _size_problem(export, original)
            or _logits_problem(export, reference, original.metadata, images, options)
            or _batch_problem(export, opened[export.name], reference)
        )
        return export.against(problem)

    exports = _each(exports, compared)
    first = reference.images[: max(_BATCHES)]
    exports = _each(exports, lambda export: _run_in_new_process(export, first, runners))
    exports = check_on_gpu(exports, first, runners.on_gpu)
    return reference, check_in_half(exports, original, reference)


def _each(
    exports: Iterable[CheckedExport], change: Callable[[CheckedExport], CheckedExport]
) -> list[CheckedExport]:
    """Changes every file that there is; one that was refused stays so."""
    return [change(export) if export.runs else export for export in exports]


def _open_all(
    exports: Sequence[CheckedExport], options: ExportOptions, runners: Runners
) -> tuple[list[CheckedExport], dict[str, Runner]]:
    """Opens files, by name; one that cannot be opened is refused where another may be kept."""
    opened = {}

    def open_one(export: CheckedExport) -> CheckedExport:
        try:
            with without_lines():
                opened[export.name] = runners.open(export.path)
        except UserError as error:
            if not options.may_do_without(export.mode):
                raise
            return dataclasses.replace(export, refused=str(error))
        return export

    return _each(exports, open_one), opened


def _run_all(
    original: Original,
    exports: Sequence[CheckedExport],
    opened: Mapping[str, Runner],
    batches: Iterable[np.ndarray],
    labels: np.ndarray | None,
    rounds: int,
) -> tuple[Reference, list[CheckedExport]]:
    """Fills in `logits` and `ms_per_image` of the files, and finds the same of the model."""
    runners = {_MODEL: keras_runner(original.model), **opened}
    logits, images = _logits_of_all(runners, batches)
    with step("timing model and exports"):
        times = median_milliseconds(runners, images, rounds)
    ours = logits[_MODEL]
    if not np.isfinite(ours).all():
        raise UserError(
            "expected finite logits of the Keras model, received NaN or infinity: its weights are "
            "damaged. Train it again."
        )
    truth = labels
    if truth is None:
        multi = original.metadata.task == "multi"
        truth = (ours > 0).astype("float32") if multi else ours.argmax(axis=1)
    reference = Reference(ours, truth, labels is not None, times[_MODEL], images)
    return reference, _each(
        exports,
        lambda e: dataclasses.replace(e, logits=logits[e.name], ms_per_image=times[e.name]),
    )


def _logits_of_all(
    runners: Mapping[str, Runner], batches: Iterable[np.ndarray]
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Logits of every runner for all images, and the first images, for timing."""
    logits: dict[str, list[np.ndarray]] = {name: [] for name in runners}
    first: list[np.ndarray] = []
    for pixels in batches:
        if sum(map(len, first)) < _TIMED_IMAGES:
            first.append(pixels)
        for name, run in runners.items():
            logits[name].append(run(pixels))
    return {name: np.concatenate(parts) for name, parts in logits.items()}, np.concatenate(first)


def _compared(export: CheckedExport, reference: Reference, task: str) -> CheckedExport:
    """Fills in the figures of a file that was run."""
    return dataclasses.replace(
        export,
        scores=reference.scores(export.logits),
        drop=reference.drop(export.logits),
        agreement=compare(reference.logits, export.logits, task=task),
        logit_sqnr=signal_to_noise(reference.logits, export.logits),
        bytes=size_in_bytes(export.path),
    )


def _size_problem(export: CheckedExport, original: Original) -> str | None:
    """What the size of a file says against it."""
    weights = original.weight_bytes
    # Folding leaves a few weights out; a converter that loses them leaves nearly all of them out.
    least = 0.8 * MODES[export.mode].share * weights
    most = 1.2 * weights + 4_000_000  # with the graphs, and not with the weights twice
    if least <= export.bytes <= most:
        return None
    return (
        f"{export.bytes:,} bytes, expected {least:,.0f} to {most:,.0f} for weights of this number"
    )


def _logits_problem(
    export: CheckedExport,
    reference: Reference,
    metadata: Metadata,
    images: CheckImages,
    options: ExportOptions,
) -> str | None:
    """What the logits of a file say against it: with fewer bits or patches, only what they cost."""
    agreement = export.agreement
    if not (agreement.finite if export.lossy else agreement.ok):
        return where_they_differ(
            agreement, reference.logits, export.logits, metadata, images.name_of
        )
    if export.lossy and export.drop > options.max_drop:
        return f"top-1 falls by {export.drop:.2f} points (limit {options.max_drop:g})"
    return None


def _batch_problem(export: CheckedExport, run: Runner, reference: Reference) -> str | None:
    for size in _BATCHES:
        logits = run(reference.images[:size])
        if not same_logits(export.logits[:size], logits, export.lossy):
            return f"a batch of {size} gives other logits"
    return None


def _run_in_new_process(
    export: CheckedExport, images: np.ndarray, runners: Runners
) -> CheckedExport:
    """Notes as a problem that a new process gives other logits than this one."""
    if export.format not in runners.formats_in_new_process:
        return export
    with step(f"running {export.name} in a new process"):
        logits = runners.in_new_process(export.path, images)
    here = export.logits[: len(images)]
    expected = np.concatenate([here[:1], here])  # the first image alone, and then all
    if same_logits(expected, logits, export.lossy):
        return export
    return export.against("a new process gives other logits")
