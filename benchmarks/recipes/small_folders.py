# SPDX-License-Identifier: MIT
"""What a checkpoint is worth for a small folder of photographs at 64 pixels, against scratch.

    python benchmarks/recipes/small_folders.py CIFAR --out runs/small --init drawn-mini
    python benchmarks/recipes/small_folders.py CIFAR --out runs/quick --init drawn-mini --test 10 \\
        --classes 3 --images 10 --seeds 2 --epochs 2

CIFAR has `train/CLASS/*.jpg` and `test/CLASS/*.jpg`; the images are enlarged to 64 pixels, as those
of any folder are. Every run is `keras-vit train` with the recipe `finetune`, the same number of
epochs, and XLA where that pays; a seed decides the images, which classes where there are fewer than
ten, the weights and the order. Without `--init` two models start from random weights: the one that
the recipe chooses for so few images, and the one of the checkpoint.

The last table has for each folder the mean of the seeds, and the 95 % interval of the mean gain
over the better of both (Student's t of the differences, seed by seed).
"""

import argparse
import json
from pathlib import Path

import numpy as np
from tables import Result, Table, classes_of, link

from keras_vit.files import write_text
from keras_vit.run_folder import RunFolder

PRETRAINING = Path(__file__).parents[1] / "backbone" / "pretrain.json"
_STUDENT = {2: 12.71, 3: 4.30, 4: 3.18, 5: 2.78, 6: 2.57, 8: 2.36, 10: 2.26}  # 97.5 %, seeds - 1
_ROW = "{:>7}{:>8}{:>17}{:>17}{:>12}   {}"


def main() -> None:
    flags = _flags()
    flags.out.mkdir(parents=True, exist_ok=True)
    model = json.loads(PRETRAINING.read_text("utf-8"))["model"]
    same = flags.out / "model.json"
    write_text(same, json.dumps({"model": model}))
    scores = {}
    for classes in flags.classes:
        for images in flags.images:
            runs = [_runs(flags, classes, images, seed, same) for seed in range(flags.seeds)]
            scores[classes, images] = np.array(runs)  # (seeds, 3)
    names = ("classes", "images", "scratch, small", "scratch, same", "init", "gain")
    print("\n" + _ROW.format(*names))
    for folder, found in scores.items():
        print(_ROW.format(*folder, *_means(found), _gain(found)))


def _flags() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="folder: train/CLASS/*.jpg and test/CLASS/*.jpg")
    parser.add_argument("--out", type=Path, required=True, help="runs that are there are read")
    parser.add_argument("--init", required=True, help="what `keras-vit train --init` takes")
    parser.add_argument("--classes", type=int, nargs="+", default=[3, 10])
    parser.add_argument("--images", type=int, nargs="+", default=[10, 40, 200], help="a class")
    parser.add_argument("--test", type=int, default=200, help="images of a class; default: 200")
    parser.add_argument("--seeds", type=int, default=3, choices=_STUDENT)
    parser.add_argument("--epochs", type=int, default=50, help="default: 50")
    return parser.parse_args()


def _runs(flags, classes: int, images: int, seed: int, same: Path) -> list[float]:
    """Top-1 of the small model, of the checkpoint's model from scratch, and of the checkpoint."""
    names = classes_of(flags.data)
    chosen = [names[(classes * seed + i) % len(names)] for i in range(classes)]
    folder = link(flags, f"{classes}-classes-{seed}", images, sorted(chosen), images * seed)
    table = Table(flags.out / f"{classes}-{images}-{seed}", seed)
    # To compile takes half a minute: more than it saves where a run has few steps.
    several = classes * images * flags.epochs > 10_000
    changes = {"image_size": 64, "jit_compile": "true" if several else "none"}

    def train(name: str, **others) -> float:
        return _top_1(table.train(name, folder, "finetune", flags.epochs, **others))

    known = {name: value for name, value in changes.items() if name != "image_size"}
    return [
        train("scratch, small model", changes={**changes, "init": "random"}),
        train("scratch, same model", changes=known, config=same),
        train("init", changes={**known, "init": flags.init}),
    ]


def _top_1(result: Result) -> float:
    return json.loads(RunFolder(result.folder).report_file.read_text("utf-8"))["top1"]


def _means(found: np.ndarray) -> list[str]:
    return [f"{100 * mean:.1f} %" for mean in found.mean(axis=0)]


def _gain(found: np.ndarray) -> str:
    """Points over the better start from scratch, with their interval."""
    gains = 100 * (found[:, 2] - found[:, found[:, :2].mean(axis=0).argmax()])  # (seeds,)
    half = _STUDENT[len(gains)] * gains.std(ddof=1) / np.sqrt(len(gains))
    return f"{gains.mean():+.1f} ({gains.mean() - half:+.1f} to {gains.mean() + half:+.1f})"


if __name__ == "__main__":
    main()
