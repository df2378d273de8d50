# SPDX-License-Identifier: MIT
"""Everything that the page on a run says, gathered into one value."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from keras_vit.errors import UserError
from keras_vit.origins import Origin
from keras_vit.reports.export_rows import export_columns, export_problems, export_rows
from keras_vit.reports.page.answers import Answers, answers_of
from keras_vit.reports.page.charts import reliability_chart
from keras_vit.reports.page.course import Course, course_of
from keras_vit.reports.page.loading import Snippet, snippets
from keras_vit.reports.page.pictures import encoded
from keras_vit.reports.page.setting import changes, setting
from keras_vit.reports.page.tested import Tested
from keras_vit.reports.page.words import answer_of, figures_of
from keras_vit.run_folder import RunFolder

if TYPE_CHECKING:
    import keras

_EXAM_SHARE = 0.02  # of a training's operations that the exam of the maps may take
_BACKWARD = 3  # a train step costs about three forward passes
_PICTURE = 2_000_000  # bytes of a picture of reconstructions that still fits


@dataclasses.dataclass(frozen=True)
class Page:
    """A page on a run, or on a model that was measured; what there is not is None or empty.

    Attributes:
        title: the name of its folder.
        answer: what came of it, in one sentence.
        figures: the numbers that it is known by, with what each is.
        setting: what was trained or measured, on what, for how long.
        images: what the images are called that it was tested on, as in "test images".
        also: the files or the command that say the same.
        answers: the model on those images.
        reliability: how often it is right, by how sure it is.
        changes: fields of the recipe that differ from its default (name, default, here); None where
            nothing was trained.
        audit: what was found in the image files, see `RunFolder.audit`.
        notes: on the data.
        course: how training went.
        reconstruction: data URI of test images, masked and painted.
        columns, exports, problems: see `keras_vit.reports.export_rows`.
        origins: the weights that it was made of.
        snippets: how to load it.
        advice: what to do next, see `keras_vit.advice`: `evidence`, `remedy` and `command` of each.
        missing: why a part is not there, in sentences.
    """

    title: str
    answer: str
    figures: tuple[tuple[str, str], ...]
    setting: tuple[tuple[str, str], ...]
    images: str
    also: tuple[str, ...]
    answers: Answers | None = None
    reliability: Markup | None = None
    changes: tuple[tuple[str, str, str], ...] | None = None
    audit: dict[str, Any] | None = None
    notes: tuple[str, ...] = ()
    course: Course | None = None
    reconstruction: str = ""
    columns: tuple[str, ...] = ()
    exports: tuple[tuple[str, ...], ...] = ()
    problems: tuple[str, ...] = ()
    origins: tuple[Origin, ...] = ()
    snippets: tuple[Snippet, ...] = ()
    advice: tuple[dict[str, str], ...] = ()
    missing: tuple[str, ...] = ()


def gather(
    run: RunFolder, model: "keras.Model | None" = None, tested: Tested | None = None
) -> Page:
    """Reads a run, finished or not, and has its model answer its test images.

    Args:
        run: its folder.
        model: the model of its model file, where it is open already.
        tested: the model with its answers to the test images, where it has given them already.

    Raises:
        UserError: for a file of the run that is there and cannot be read.
    """
    report = run.report if run.finished else {}
    course = course_of(run, report.get("best_epoch"))
    answers, missing = _answered(run, model, tested, report, course)
    if not report:
        missing.insert(0, "The run has not come to its end: what follows is what there is so far.")
    summary = answers.summary if answers else {}
    exported = bool(report) and report.get("objective") != "reconstruct"
    return Page(
        title=run.path.resolve().name,
        answer=answer_of(run, report, summary, course),
        figures=figures_of(report, summary, course),
        setting=setting(run, report),
        images="test images",
        also=(run.report_page.name, run.report_file.name),
        answers=answers,
        reliability=reliability_of(summary),
        changes=changes(run.recipe),
        audit=run.audit,
        notes=tuple(report.get("data", {}).get("notes", ())),
        course=course,
        reconstruction=_reconstruction(run.reconstruction_picture),
        columns=export_columns(report) if exported else (),
        exports=tuple(export_rows(report)) if exported else (),
        problems=tuple(export_problems(report)) if exported else (),
        origins=tuple(Origin(**row) for row in report.get("origins", ())),
        snippets=snippets(run),
        advice=tuple(report.get("next", ())),
        missing=tuple(missing),
    )


def reliability_of(summary: dict[str, Any]) -> Markup | None:
    """The chart; None where an image may show several classes."""
    return reliability_chart(summary["reliability"]) if "reliability" in summary else None


def _answered(
    run: RunFolder,
    model: "keras.Model | None",
    tested: Tested | None,
    report: dict,
    course: Course | None,
) -> tuple[Answers | None, list[str]]:
    """The model on its test images, or why not."""
    if not run.labels:
        return None, []  # nothing to be right about
    if model is None and tested is None and not run.model_file.exists():
        return None, ["There is no model yet, and so no answer to test."]
    from keras_vit.models import config_of
    from keras_vit.models.keras_file import load_keras

    try:
        if tested is None:
            tested = Tested.of_run(run, model or load_keras(run.model_file))
        seen = report["data"]["train"] * course.epochs if report and course else 0
        training = _BACKWARD * config_of(tested.model).forward_flops() * seen
        return answers_of(tested, _EXAM_SHARE * training), []
    except UserError as error:
        return None, [f"What the model says of its test images is not here: {error}"]


def _reconstruction(path: Path) -> str:
    """A picture that this program drew, where it is there and small enough."""
    if path.is_symlink() or not path.is_file() or path.stat().st_size > _PICTURE:
        return ""
    return encoded(path.read_bytes())
