# SPDX-License-Identifier: MIT
"""A run's results as text."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from keras_vit.evaluation import wilson_interval
from keras_vit.files import write_text
from keras_vit.reports.export_rows import export_columns, export_problems, export_rows, score_of
from keras_vit.reports.next_steps import next_lines
from keras_vit.reports.origins import origin_lines
from keras_vit.reports.reconstruction import draw_reconstruction, reconstruction_page
from keras_vit.run_folder import RunFolder
from keras_vit.untrusted.text import markdown, visible

if TYPE_CHECKING:
    import keras

    from keras_vit.training.train import Answered


def export_table(report: dict) -> str:
    """The closing table of a run.

    Args:
        report: contents of `report.json`.
    """
    if report.get("objective") == "reconstruct":
        columns = ("encoder", "validation loss", "test loss", "size")
        row = (
            report["keras"]["path"],
            f"{report['validation_loss']:.4f}",
            f"{report['test_loss']:.4f}",
            f"{report['keras']['bytes'] / 1e6:.2f} MB",
        )
        return "\n".join(aligned([columns, row]))
    problems = map(visible, export_problems(report))
    return "\n".join([*aligned([export_columns(report), *export_rows(report)]), *problems])


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """One line for each row, with the cells of a column below each other."""
    rows = [[visible(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def markdown_report(report: dict, name: str) -> str:
    """The same as a page.

    Args:
        report: contents of `report.json`.
        name: title.
    """
    data = report["data"]
    if "map" in report:
        figures = f"mAP {report['map']:.2%}"
    else:
        low, high = wilson_interval(report["top1"], data["test"])
        figures = f"Top-1 {report['top1']:.2%} (95 % interval {low:.2%} to {high:.2%})"
    if data["classes"] > 5 and "top5" in report:
        figures += f", top-5 {report['top5']:.2%}"
    lines = [
        f"# {markdown(name)}",
        "",
        f"{figures} on {data['test']:,} test images "
        f"of {data['classes']} classes ({markdown(data['source'])}).",
        "",
        f"{_parameters(report)} trained in {report['precision']} on "
        f"{data['train']:,} images. The weights are those of epoch {report['best_epoch']}, the "
        f"best of the run on {data['validation']:,} validation images "
        f"({report[f'validation_{score_of(report)}']:.2%}).",
        "",
        *[f"* {markdown(note)}" for note in data["notes"]],
        "",
        *origin_lines(report),
        *export_lines(report),
        *next_lines(report),
        f"![curves]({RunFolder.curves_picture.name})",
        "",
    ]
    return "\n".join(lines)


def export_lines(report: dict) -> list[str]:
    """The closing table as Markdown: an empty line, and what speaks against a file."""
    return [
        "| " + " | ".join(map(markdown, export_columns(report))) + " |",
        "|" + "---|" * len(export_columns(report)),
        *["| " + " | ".join(map(markdown, row)) + " |" for row in export_rows(report)],
        "",
        *map(markdown, export_problems(report)),
    ]


def write_report(
    workdir: str | os.PathLike,
    model: "keras.Model | None" = None,
    answered: "Answered | None" = None,
) -> Path:
    """Writes both pages on a run from its report, and returns the path of `report.md`; with a
    picture of reconstructions where there are no classes.

    Args:
        workdir: the folder of a finished run.
        model: its model, where it is open already; `report.html` shows what it is wrong about.
        answered: what it made of the test images, where that is known already.
    """
    from keras_vit.reports.page.tested import Tested
    from keras_vit.reports.page.writing import write_gathered

    run = RunFolder(Path(workdir))
    if run.report.get("objective") == "reconstruct":
        draw_reconstruction(run.path)
        page = reconstruction_page(run.report, run.path.name)
    else:
        page = markdown_report(run.report, run.path.name)
    write_text(run.report_page, page)
    known = Tested.of_training(run, model, answered) if model and answered else None
    write_gathered(run, model, known)
    return run.report_page


def _parameters(report: dict) -> str:
    """As in "22,050,664 parameters," or "22,050,664 parameters, with 7,690 numbers"."""
    count = report["parameters"]
    trained = report.get("trained_parameters", count)
    return f"{count:,} parameters," + (f" with {trained:,} numbers" if trained != count else "")
