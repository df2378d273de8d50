# SPDX-License-Identifier: MIT
"""What token merging costs and gains: a model's LiteRT file at several shares.

    taskset -c 1 python benchmarks/export/merging.py RUN --repeats 3 --seconds 3

Every file answers the whole test split (or --check), and all are timed in turns, one thread, one
image at a time. Ratios are those of the median CPU time of a call to the file that merges nothing.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np

from keras_vit.data.dataset import split_batches
from keras_vit.deploy import time_files
from keras_vit.evaluation import headline
from keras_vit.export import fold, open_runner, to_tflite
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
    with tempfile.TemporaryDirectory() as folder:
        files = _written(model, map(float, args.shares.split(",")), args.quantize, Path(folder))
        logits = {share: _logits(path, images) for share, path in files.items()}
        named = {f"{share:g}": path for share, path in files.items()}
        shape = metadata.preprocessing.shape
        repeats = [
            {
                result.name: result.cpu_ms
                for result in time_files(named, shape, seconds=args.seconds)
            }
            for _ in range(args.repeats)
        ]
    _print(logits, split.labels, repeats)


def _written(model, shares, quantize: str, folder: Path) -> dict[float, Path]:
    """A file for each share, the one that merges nothing first."""
    folded = fold(model)
    return {
        share: to_tflite(
            folded.merging(share), folder / f"merge-{share:g}.tflite", quantize=quantize
        )
        for share in (0.0, *shares)
    }


def _logits(path: Path, images: np.ndarray) -> np.ndarray:
    run, parts = open_runner(path), range(0, len(images), _BATCH)
    return np.concatenate(
        [run(images[i : i + _BATCH]) for i in track(parts, path.stem, len(parts), "batches")]
    )


def _print(logits: dict[float, np.ndarray], labels: np.ndarray, repeats: list[dict]) -> None:
    from keras_vit import hardware

    features = [flag for flag in hardware.NOTABLE_FLAGS if flag in hardware.cpu_flags()]
    print(f"{len(labels):,} images, 1 thread, {hardware.cpu_name()} ({', '.join(features)})\n")
    print("| merge | top-1 | points lost | same class | CPU ms | to no merging |")
    print("|---|---|---|---|---|---|")
    plain = logits[0.0]
    before = next(iter(headline(plain, labels).values()))
    for share, found in logits.items():
        score = next(iter(headline(found, labels).values()))
        same = np.mean(found.argmax(axis=1) == plain.argmax(axis=1))
        times = [repeat[f"{share:g}"] for repeat in repeats]
        ratios = [repeat[f"{share:g}"] / repeat["0"] for repeat in repeats]
        print(
            f"| {share:g} | {score:.2%} | {100 * (before - score):+.2f} | {same:.1%} | "
            f"{' '.join(f'{t:.2f}' for t in times)} | {' '.join(f'{r:.2f}' for r in ratios)} |"
        )


if __name__ == "__main__":
    main()
