# SPDX-License-Identifier: MIT
"""What a run hands over: the test result, and exports that were run on the same images."""

import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import keras
import numpy as np

from keras_vit.data.dataset import Split, split_batches
from keras_vit.deploy.candidates import (
    FORMATS,
    Candidate,
    ExportOptions,
    plan,
    problem_of,
    same_logits,
    write,
)
from keras_vit.deploy.card import SLOWER, quantization_card
from keras_vit.deploy.comparison import Agreement, compare, median_milliseconds
from keras_vit.deploy.gpu_check import check_gpu, in_half
from keras_vit.deploy.latency import measure
from keras_vit.errors import UserError
from keras_vit.evaluation import headline
from keras_vit.export import Metadata, open_runner
from keras_vit.export.quantization import MODES, signal_to_noise
from keras_vit.export.runner import TENSORFLOW_FREE, keras_runner
from keras_vit.export.worker import run_in_new_process
from keras_vit.files import size_in_bytes, write_text
from keras_vit.predictor import Predictor
from keras_vit.progress import step
from keras_vit.quiet import without_lines
from keras_vit.run_folder import ModelFile, RunFolder

_TIMED_IMAGES = 64
_TIMED_SECONDS = 2.0  # of each file, where the fastest is looked for
_BATCHES = (1, 7)  # sizes that every file is run with, beside that of the check
_CALIBRATION_IMAGES = 256
_HALF_IMAGES = 2  # in simulated float16
_PUBLIC = ("format", "path", "quantize", "top1", "map", "agreement", "max_abs_diff", "bytes")
_PUBLIC += ("ms_per_image", "gpu", "float16")
_AS_TRAINED = ExportOptions()


def export_and_check(
    model: keras.Model,
    model_path: Path,
    metadata: Metadata,
    folder: Path,
    batches: Iterable[np.ndarray],
    labels: np.ndarray | None = None,
    formats: Sequence[str] = ("saved_model", "litert"),
    name_of: Callable[[int], str] = "image {}".format,
    options: ExportOptions = _AS_TRAINED,
    calibration: np.ndarray | None = None,
    new_process: Sequence[str] = TENSORFLOW_FREE,
) -> dict:
    """Exports a model, runs every file on the same images as the model, and compares.

    A file gets its name only when nothing speaks against it.

    Args:
        model: a float32 model.
        model_path: its file.
        metadata: labels and input size.
        folder: where the files go; none of them may exist.
        batches: pixels `(batch, height, width, channels)`, 0 to 255.
        labels: the true classes, int `(n,)`, or 0 and 1 of shape `(n, classes)`, or None.
        formats: keys of `FORMATS`.
        name_of: what a message calls the image at a position.
        options: quantisation and the form of the files.
        calibration: images for the modes that need them, like `batches`.
        new_process: formats that are also run in a new process; a SavedModel takes seconds there.

    Returns:
        `top1` and `top5` of the model (`map` with several classes to an image), None without
        labels; `keras`, its `path`, `bytes` and `ms_per_image`; and `exports`, a list with one
        entry for each format. An export that disagrees has `ok` false and `problem`, and its file
        is named `*.rejected`. Of LiteRT files `gpu` says what this machine's GPU made of them, and
        `float16` what float16 does, which phones' GPUs compute in. Paths are names of files. With
        quantisation also `quantization`, one entry for each mode and format.
    """
    for format in formats:
        if (folder / FORMATS.get(format, format)).exists():
            raise UserError(
                f"{folder / FORMATS[format]} already exists and is never overwritten. Name another "
                "folder with --out."
            )
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".checking-") as scratch:
        candidates = plan(formats, options, Path(scratch))
        print("exporting, and running each export on the same images", file=sys.stderr)
        for candidate in candidates:
            write(candidate, model, metadata, options, calibration)
        if options.whole_pixels:  # what is not whole would be rounded for some files only
            batches = map(np.rint, batches)
        checked = _check(model, candidates, batches, labels, metadata, name_of, options)
        by_name = {entry["candidate"].name: entry for entry in checked["entries"]}
        _check_new_process(by_name, checked, new_process)
        check_gpu(checked["entries"], checked["images"][: max(_BATCHES)])
        _note_half(model, checked)
        quantized = options.quantize != "none"
        card = []
        if quantized:
            _time_in_turns(by_name, metadata)
            images, attention = checked["images"], options.attention
            with step("comparing the layers of quantised files"):
                card = quantization_card(model, candidates, by_name, images, attention)
        exports = [_hand_over(by_name, candidates, format, folder, options) for format in formats]
        report = {
            **checked["scores"],
            "keras": {
                "path": model_path.name,
                "bytes": size_in_bytes(model_path),
                "ms_per_image": checked["ms_per_image"],
            },
            "exports": [_public(entry) for entry in exports],
        }
        if quantized:
            kept = {(e["format"], e["quantize"]) for e in exports if e["problem"] is None}
            report["quantization"] = [
                {**row, "kept": (row["format"], row["quantize"]) in kept} for row in card
            ]
    return report


def export_run(
    target: str | os.PathLike,
    out: str | os.PathLike,
    formats: Sequence[str],
    check: str | None = None,
    data_dir: str | None = None,
    options: ExportOptions = _AS_TRAINED,
) -> dict:
    """Exports the model of a run to another folder; see `export_and_check`.

    Args:
        target: a run folder, or a `.keras` file, in one or alone.
        out: folder for the files, and for `quantization.json` with quantisation.
        formats: keys of `FORMATS`.
        check: labelled images to run the exports on (see `keras_vit.data.load`); None is the run's
            own test split. A model without a run is then checked on noise.
        data_dir: where TFDS keeps its data sets.
        options: quantisation and the form of the files.
    """
    _check_outside_runs(Path(out))
    file = ModelFile.find(target)
    model = file.load()
    metadata = file.metadata() if file.run is not None else file.numbered(model)
    split, labels, name_of = None, None, "image {}".format
    if check is not None or file.run is not None:
        name, classes, split = file.test_split(check, data_dir)
        split = Predictor(keras_runner(model), metadata, file.path).matched(name, classes, split)
        labels, name_of = split.labels, split.name_of
    report = export_and_check(
        model,
        file.path,
        metadata,
        Path(out),
        _pixels(model, metadata, split),
        labels,
        formats,
        name_of,
        options,
        _calibration(file.run, metadata, split, data_dir, options),
        new_process=tuple(FORMATS),
    )
    if "quantization" in report:
        text = json.dumps(report["quantization"], indent=2) + "\n"
        write_text(Path(out) / "quantization.json", text)
    return report


def _check_outside_runs(out: Path) -> None:
    """A second set of exports in a run's folder would contradict its report."""
    out = out.absolute()
    for folder in (out, *out.parents):
        run = RunFolder(folder)
        if run.exists and run.command_file.exists():
            raise UserError(
                f"--out: {out} belongs to the run {folder}, whose files stay as its report has "
                "them. Name a folder outside of it."
            )


def explain(
    agreement: Agreement,
    reference: np.ndarray,
    candidate: np.ndarray,
    metadata: Metadata,
    name_of: Callable[[int], str],
) -> str:
    """Says where an export differs from the model, in one sentence."""
    worst = name_of(agreement.worst)
    if not agreement.finite:
        return f"logits that are not finite, first for {worst}"
    text = (
        f"max |d logit| {agreement.max_abs_diff:.1e}, {agreement.max_rel_diff:.1e} of max(1, "
        f"|logit|) (limit {agreement.tolerance:.0e}), for {worst}"
    )
    if agreement.disagreeing:
        first = agreement.disagreeing[0]
        said, expected = metadata.answer(candidate[first]), metadata.answer(reference[first])
        text += (
            f"; {len(agreement.disagreeing)} of {len(reference)} images get another class, first "
            f"{name_of(first)}: {said} where Keras says {expected}"
        )
    return text


def _check(model, candidates, batches, labels, metadata, name_of, options) -> dict:
    """Runs the model and every candidate, and says what was found."""
    runners = {"keras": keras_runner(model)}
    for candidate in candidates:
        if candidate.refused is None:
            _open(candidate, runners, options)
    logits, images = _run_all(runners, batches)
    with step("timing model and exports"):
        times = median_milliseconds(runners, images)
    reference = logits["keras"]
    if not np.isfinite(reference).all():
        raise UserError(
            "expected finite logits of the Keras model, received NaN or infinity: its weights are "
            "damaged. Train it again."
        )
    multi = metadata.task == "multi"
    # Without labels the model itself is right by definition.
    own = (reference > 0).astype("float32") if multi else reference.argmax(axis=1)
    truth = own if labels is None else labels

    def scores(found):
        figures = headline(found, truth)
        return figures if labels is not None else dict.fromkeys(figures)

    def first_score(found):
        return next(iter(headline(found, truth).values()))

    weight_bytes = 4 * model.count_params()
    entries = []
    for candidate in candidates:
        if candidate.refused is not None:
            continue
        found = logits[candidate.name]
        agreement = compare(reference, found, task=metadata.task)
        drop = 100 * (first_score(reference) - first_score(found))

        def said(agreement, found=found):
            return explain(agreement, reference, found, metadata, name_of)

        problem = problem_of(candidate, agreement, drop, options.max_drop, weight_bytes, said)
        problem = problem or _batch_problem(candidate, runners[candidate.name], found, images)
        entries.append(
            {
                "candidate": candidate,
                "format": candidate.format,
                "quantize": candidate.mode,
                **scores(found),
                "drop": drop,
                "agreement": agreement.agreement,
                "max_abs_diff": agreement.max_abs_diff,
                "logit_sqnr": signal_to_noise(reference, found),
                "bytes": size_in_bytes(candidate.path),
                "ms_per_image": times[candidate.name],
                "problem": problem,
                "logits": found,
            }
        )
    return {
        "scores": scores(reference),
        "ms_per_image": times["keras"],
        "images": images,
        "entries": entries,
    }


def _open(candidate: Candidate, runners: dict, options: ExportOptions) -> None:
    try:
        with without_lines():
            runners[candidate.name] = open_runner(candidate.path)
    except UserError as error:
        if options.quantize != "auto" or candidate.mode == "none":
            raise
        candidate.refused = str(error)


def _run_all(runners, batches) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Logits of every runner on every batch, and the first images, for timing."""
    logits, images = {name: [] for name in runners}, []
    for pixels in batches:
        if sum(map(len, images)) < _TIMED_IMAGES:
            images.append(pixels)
        for name, run in runners.items():
            logits[name].append(run(pixels))
    return {name: np.concatenate(parts) for name, parts in logits.items()}, np.concatenate(images)


def _batch_problem(candidate: Candidate, run, logits: np.ndarray, images) -> str | None:
    for size in _BATCHES:
        if not same_logits(candidate, logits[:size], run(images[:size])):
            return f"a batch of {size} gives other logits"
    return None


def _check_new_process(by_name: dict, checked: dict, formats: Sequence[str]) -> None:
    """Notes as a problem that a new process gives other logits than this one."""
    entries = [entry for entry in by_name.values() if entry["format"] in formats]
    images = checked["images"][: max(_BATCHES)]
    for entry in entries:
        with step(f"running {entry['candidate'].name} in a new process"):
            logits = run_in_new_process(entry["candidate"].path, images)
        here = entry["logits"][: len(images)]
        if not same_logits(entry["candidate"], np.concatenate([here[:1], here]), logits):
            entry["problem"] = entry["problem"] or "a new process gives other logits"


def _note_half(model: keras.Model, checked: dict) -> None:
    """Says of float LiteRT files what float16 does to them, which phones' GPUs compute in."""
    entries = [
        entry
        for entry in checked["entries"]
        if entry["format"] == "litert" and entry["quantize"] in ("none", "float16")
    ]
    if not entries:
        return
    images = checked["images"][:_HALF_IMAGES]
    said = in_half(model, images, keras_runner(model)(images))
    for entry in entries:
        entry["float16"] = said
    if said.startswith("overflows"):
        print(f"LiteRT on a phone's GPU, which computes in float16: {said}", file=sys.stderr)


def _time_in_turns(by_name: dict, metadata: Metadata) -> None:
    """Times the files that are chosen from anew, each with a process and a core to itself.

    Next to Keras and to each other in one process, as in the first measurement, small files take up
    to seven times as long on a machine that is busy, and not the same ones each time.
    """
    chosen = {n: e["candidate"].path for n, e in by_name.items() if e["format"] in TENSORFLOW_FREE}
    shape = (*metadata.image_size, metadata.channels)
    for latency in measure(chosen, shape, seconds=_TIMED_SECONDS):
        by_name[latency.name]["ms_per_image"] = latency.median_ms


def _hand_over(by_name, candidates, format: str, folder: Path, options: ExportOptions) -> dict:
    """Gives the best candidate of a format its name in `folder`, and returns its entry."""
    entries = [
        by_name[c.name] for c in candidates if c.format == format and c.wanted and not c.refused
    ]
    float32 = next(by_name[c.name] for c in candidates if c.format == format and c.mode == "none")
    limit = SLOWER * float32["ms_per_image"] if options.quantize == "auto" else np.inf
    good = [e for e in entries if e["problem"] is None and e["ms_per_image"] <= limit]
    # "auto" tries the smallest first, and ends with float32.
    entry = good[0] if good else entries[-1]
    final = folder / FORMATS[format]
    if entry["problem"] is not None:
        final = _free(folder / f"{FORMATS[format]}.rejected")
    entry["candidate"].path.replace(final)
    entry["path"] = final.name
    return entry


def _free(path: Path) -> Path:
    """The path, or the first of path-2, path-3, ... that is not taken."""
    number, free = 1, path
    while free.exists():
        number += 1
        free = path.with_name(f"{path.name}-{number}")
    return free


def _public(entry: dict) -> dict:
    public = {name: entry[name] for name in _PUBLIC if name in entry}
    if not np.isfinite(public["max_abs_diff"]):
        del public["max_abs_diff"]  # JSON has no infinity
    public["ok"] = entry["problem"] is None
    return public if public["ok"] else {**public, "problem": entry["problem"]}


def _pixels(model: keras.Model, metadata: Metadata, split: Split | None) -> Iterable[np.ndarray]:
    if split is not None:
        size = (metadata.image_size, metadata.channels, metadata.crop)
        return split_batches(split, *size, 64, "running model and exports")
    print("no images to check on: noise is used, which says little of accuracy", file=sys.stderr)
    shape = (_TIMED_IMAGES, *metadata.image_size, metadata.channels)
    return [np.random.default_rng(0).integers(0, 256, shape).astype("float32")]


def _calibration(run: RunFolder | None, metadata: Metadata, split: Split | None, data_dir, options):
    """Images for the modes that need them: of the training split where there is a run."""
    wanted = options.quantize == "auto" or MODES.get(options.quantize, MODES["none"]).calibrated
    if not wanted or (run is None and split is None):
        return None
    source = split if run is None else run.split("train", data_dir)[2]
    chosen = np.random.default_rng(0).permutation(len(source))[:_CALIBRATION_IMAGES]
    part = source.take(np.sort(chosen))
    size = (metadata.image_size, metadata.channels, metadata.crop)
    return np.concatenate(list(split_batches(part, *size, 64)))
