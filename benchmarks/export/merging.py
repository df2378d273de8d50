# SPDX-License-Identifier: MIT
"""What token merging costs and gains: a model's LiteRT and ONNX files at several shares.

    taskset -c 1 python benchmarks/export/merging.py RUN --repeats 3 --seconds 3

Every LiteRT file answers the whole test split (or --check): the points that it loses, with their
95 % interval, which knows that both files saw the same images. The files of a format are timed in
turns, one thread, one image at a time. Ratios are those of the median CPU time of a call to the
file that merges nothing.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np

from keras_vit.data.dataset import split_batches
from keras_vit.deploy import time_files
from keras_vit.evaluation import headline
from keras_vit.export import fold, open_runner, to_onnx, to_tflite
from keras_vit.model_file import ModelFile
from keras_vit.progress import track

_BATCH = 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="run folder, or a .keras file")
    parser.add_argument("--check", help="labelled images; default: the run's own test split")
    parser.add_argument("--shares", default="0.1,0.2,0.3,0.4,0.5", help="with commas")
    parser.add_argument("--quantize", default="none", help="mode of all files")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="of a file and repeat")
    args = parser.parse_args()
    file = ModelFile.find(args.model)
    model = file.load()
    metadata = file.metadata() if file.run is not None else file.numbered(model)
    _, _, split = file.test_split(args.check, None)
    images = np.concatenate(list(split_batches(split, metadata.preprocessing, _BATCH)))
    shares = (0.0, *map(float, args.shares.split(",")))
    with tempfile.TemporaryDirectory() as folder:
        files = _written(model, shares, args.quantize, Path(folder))
        logits = {share: _logits(files["litert", share], images) for share in shares}
        shape = metadata.preprocessing.shape
        repeats = [_times(files, shape, args.seconds) for _ in range(args.repeats)]
    _print(logits, split.labels, repeats)


def _written(model, shares, quantize: str, folder: Path) -> dict[tuple[str, float], Path]:
    """The files, by format and share, those that merge nothing first."""
    folded, files = fold(model), {}
    for share in shares:
        merging, path = folded.merging(share), folder / f"merge-{share:g}"
        files["litert", share] = to_tflite(
            merging, path.with_name(f"{path.name}.tflite"), quantize=quantize
        )
        files["onnx", share] = to_onnx(
            merging, path.with_name(f"{path.name}.onnx"), quantize=quantize
        )
    return files


def _logits(path: Path, images: np.ndarray) -> np.ndarray:
    run, parts = open_runner(path), range(0, len(images), _BATCH)
    return np.concatenate(
        [run(images[i : i + _BATCH]) for i in track(parts, path.stem, len(parts), "batches")]
    )


def _times(files, shape, seconds: float) -> dict[tuple[str, float], float]:
    """Median CPU time of a call of each file, in milliseconds."""
    named = {f"{format} {share:g}": path for (format, share), path in files.items()}
    found = {result.name: result.cpu_ms for result in time_files(named, shape, seconds=seconds)}
    return dict(zip(files, found.values(), strict=True))


def _print(logits: dict[float, np.ndarray], labels: np.ndarray, repeats: list[dict]) -> None:
    from keras_vit import hardware

    features = [flag for flag in hardware.NOTABLE_FLAGS if flag in hardware.cpu_flags()]
    print(f"{len(labels):,} images, 1 thread, {hardware.cpu_name()} ({', '.join(features)})\n")
    print("| merge | top-1 | points lost | same class | LiteRT | LiteRT CPU ms | ONNX Runtime |")
    print("|---|---|---|---|---|---|---|")
    plain = logits[0.0]
    before = next(iter(headline(plain, labels).values()))
    for share, found in logits.items():
        score = next(iter(headline(found, labels).values()))
        same = np.mean(found.argmax(axis=1) == plain.argmax(axis=1))
        litert, onnx = (
            " ".join(f"{r[format, share] / r[format, 0.0]:.2f}" for r in repeats)
            for format in ("litert", "onnx")
        )
        times = " ".join(f"{repeat['litert', share]:.2f}" for repeat in repeats)
        lost = f"{100 * (before - score):+.2f} ± {_margin(plain, found, labels):.2f}"
        print(f"| {share:g} | {score:.2%} | {lost} | {same:.1%} | {litert} | {times} | {onnx} |")


def _margin(first: np.ndarray, second: np.ndarray, labels: np.ndarray) -> float:
    """Half of the 95 % interval of the difference of two scores on the same images, in points."""
    right = [logits.argmax(axis=1) == labels for logits in (first, second)]
    return 196 * float(np.std(right[0].astype(int) - right[1])) / len(labels) ** 0.5


if __name__ == "__main__":
    main()
