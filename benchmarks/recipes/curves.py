# SPDX-License-Identifier: MIT
"""Draws the accuracy of runs of CIFAR-10 over their epochs, beside the notebook's best.

    python benchmarks/recipes/curves.py RUN [RUN ...] --out docs/cifar10.png

A run is a folder of `keras-vit train`; its curve is that of its validation split.
"""

import argparse
from pathlib import Path

from keras_vit.run_folder import RunFolder
from keras_vit.training.history import read_history

NOTEBOOK = (100, 65.8)  # epochs, best accuracy on the test split in percent


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    parser.add_argument("--out", type=Path, required=True, help="the picture: .png or .svg")
    flags = parser.parse_args()
    draw([RunFolder.open(run) for run in flags.runs], flags.out)


def draw(runs: list[RunFolder], path: Path) -> None:
    """One line for each run; epochs on a logarithmic axis, as runs differ by tens of them."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), dpi=100, layout="constrained")
    axis = figure.subplots()
    for run in runs:
        rows = read_history(run.history_file)
        shares = [100 * row["val_accuracy"] for row in rows]
        axis.plot([row["epoch"] for row in rows], shares, label=label(run), linewidth=1.5)
    epochs, share = NOTEBOOK
    axis.plot(epochs, share, "k*", markersize=10, label=f"the notebook's best, {share} %")
    axis.set_xscale("log")
    ticks = (1, 2, 5, 10, 20, 50, 100)
    axis.set_xticks(ticks, [str(tick) for tick in ticks])
    axis.minorticks_off()
    axis.set_xlabel("epoch")
    axis.set_ylabel("accuracy on the validation split (%)")
    axis.grid(alpha=0.3)
    axis.legend(frameon=False, loc="lower right")
    figure.savefig(path)


def label(run: RunFolder) -> str:
    """The recipe, its epochs and its seed."""
    recipe = run.recipe
    return f"{recipe.name}, {recipe.epochs} epochs, seed {recipe.seed}"


if __name__ == "__main__":
    main()
