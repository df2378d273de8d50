# SPDX-License-Identifier: MIT
"""Fills in the template."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

from keras_vit.files import write_text
from keras_vit.progress import step
from keras_vit.reports.page.facts import Page, gather
from keras_vit.run_folder import RunFolder
from keras_vit.untrusted.text import visible, visible_lines

if TYPE_CHECKING:
    import keras

_FOLDER = Path(__file__).parent


def write_page(workdir: str | os.PathLike | RunFolder, model: "keras.Model | None" = None) -> Path:
    """Writes `report.html` of a run, finished or not, and returns its path.

    Args:
        workdir: the folder of the run, or the run that was opened there.
        model: its model, where it is open already.

    Raises:
        UserError: for a folder that is no run, or one with a file that cannot be read.
    """
    run = RunFolder.open(workdir)
    with step("writing the page on the run"):
        page = gather(run, model)
    write_text(run.report_html, html(page))
    return run.report_html


def html(page: Page) -> str:
    """The page. Whatever is no markup of ours is text: escaped, and without invisible signs."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        finalize=_plain,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["lines"] = lambda text: Markup(escape(visible_lines(text)))
    environment.filters["percent"] = lambda share: "-" if share is None else f"{share:.1%}"
    return environment.get_template("page.html.jinja").render(page=page) + "\n"


def _plain(value: Any) -> Any:
    """What would not be seen is spelled out; markup that this program made stays."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value
