# SPDX-License-Identifier: MIT
"""The report and the picture of a run that learned to reconstruct images."""

import os
from pathlib import Path

from keras_vit.errors import UserError
from keras_vit.files import replacing
from keras_vit.reports.next_steps import next_lines
from keras_vit.reports.origins import origin_lines
from keras_vit.run_folder import RunFolder
from keras_vit.untrusted import limits
from keras_vit.untrusted.npy import read_npz
from keras_vit.untrusted.text import markdown, visible


def draw_reconstruction(workdir: str | os.PathLike) -> Path:
    """Draws the reconstructions of a run, and returns the picture's path: test images as they are,
    as the encoder saw them, and as they were painted."""
    from matplotlib.figure import Figure

    run = RunFolder(Path(workdir))
    file = run.reconstruction_file
    arrays, names = read_npz(file, limits.ARRAYS), ("original", "masked", "reconstructed")
    shapes = {arrays[name].shape for name in names if name in arrays}
    if set(names) - arrays.keys() or len(shapes) != 1 or len(*shapes) != 4:
        raise UserError(f"{file}: expected three arrays of images, as training writes them.")
    rows = {name: arrays[name] for name in names}
    count = len(rows["original"])
    figure = Figure(figsize=(1.3 * count, 4.3), dpi=100)
    panels = figure.subplots(len(rows), count, squeeze=False)
    figure.subplots_adjust(left=0.01, right=0.99, bottom=0.01, top=0.94, wspace=0.05, hspace=0.2)
    for row, (title, images) in zip(panels, rows.items(), strict=True):
        row[0].set_title(title, fontsize=9, loc="left")
        for panel, image in zip(row, images, strict=True):
            grey = image.shape[-1] == 1
            panel.imshow(image[..., 0] if grey else image, "gray", vmin=0, vmax=255)
            panel.set_axis_off()
    with replacing(run.reconstruction_picture) as temporary:
        figure.savefig(temporary)
    return run.reconstruction_picture


def reconstruction_page(report: dict, name: str) -> str:
    """A page on a run.

    Args:
        report: contents of `report.json`.
        name: title.
    """
    data = report["data"]
    lines = [
        f"# {markdown(name)}",
        "",
        f"An encoder of {report['parameters']:,} parameters, trained in {report['precision']} on "
        f"{data['train']:,} images without labels ({markdown(data['source'])}). "
        f"The weights are those of epoch {report['best_epoch']}, the best of the run: its loss is "
        f"{report['validation_loss']:.4f} on {data['validation']:,} validation images and "
        f"{report['test_loss']:.4f} on {data['test']:,} test images. A loss tells how well hidden "
        "patches are painted, and not how good a classifier will be.",
        "",
        *origin_lines(report),
        f"    keras-vit train DATA --init {visible(name)}",
        "",
        *[f"* {markdown(note)}" for note in data["notes"]],
        "",
        *next_lines(report),
        "![test images, what the encoder saw of them, and how they were painted]"
        f"({RunFolder.reconstruction_picture.name})",
        "",
        f"![curves]({RunFolder.curves_picture.name})",
        "",
    ]
    return "\n".join(lines)
