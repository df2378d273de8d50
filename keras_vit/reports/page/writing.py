# SPDX-License-Identifier: MIT
"""Writes the page on a run, or on a measurement."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from keras_vit.files import write_text
from keras_vit.measuring import Measured
from keras_vit.progress import step
from keras_vit.reports.page.facts import Page, gather
from keras_vit.reports.page.filling import filled
from keras_vit.reports.page.measured import gather_measured, tested_of
from keras_vit.reports.page.tested import Tested
from keras_vit.run_folder import RunFolder

if TYPE_CHECKING:
    import keras


def write_page(
    workdir: str | os.PathLike | RunFolder,
    model: "keras.Model | None" = None,
    measured: Measured | None = None,
) -> Path:
    """Writes `report.html` of a run, finished or not, and returns its path.

    Args:
        workdir: the folder of the run, or the run that was opened there.
        model: its model, where it is open already.
        measured: what its Keras model said of its test images, where that is known already.

    Raises:
        UserError: for a folder that is no run, or one with a file that cannot be read.
    """
    return write_gathered(RunFolder.open(workdir), model, tested_of(measured) if measured else None)


def write_gathered(run: RunFolder, model: "keras.Model | None", tested: Tested | None) -> Path:
    """The same where the model may have answered already; see `keras_vit.reports.page.facts`."""
    with step("writing the page on the run"):
        page = gather(run, model, tested)
    write_text(run.report_html, html(page))
    return run.report_html


def write_measured(measured: Measured, path: str | os.PathLike) -> Path:
    """Writes a page on a measurement, and returns its path."""
    with step("writing the page"):
        page = gather_measured(measured)
    write_text(Path(path), html(page))
    return Path(path)


def html(page: Page) -> str:
    """The page on a run."""
    return filled("page.html.jinja", page)
