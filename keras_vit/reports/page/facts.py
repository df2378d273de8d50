# SPDX-License-Identifier: MIT
"""Everything that the page on a run says, gathered into one value."""

import dataclasses
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from keras_vit.errors import UserError
from keras_vit.origins import Origin
from keras_vit.progress import clock
from keras_vit.reports.export_rows import export_columns, export_problems, export_rows
from keras_vit.reports.page.answers import Answers, answers_of
from keras_vit.reports.page.charts import reliability_chart
from keras_vit.reports.page.course import Course, course_of
from keras_vit.reports.page.loading import Snippet, snippets
from keras_vit.reports.page.pictures import encoded
from keras_vit.reports.page.setting import changes, setting
from keras_vit.run_folder import RunFolder

if TYPE_CHECKING:
    import keras

_EXAM_SHARE = 0.02  # of a training's operations that the exam of the maps may take
_BACKWARD = 3  # a train step costs about three forward passes
_PICTURE = 1_000_000  # bytes of a picture of reconstructions that still fits


@dataclasses.dataclass(frozen=True)
class Page:
    """The page on a run; what a run has not is None or empty.

    Attributes:
        title: the name of its folder.
        answer: what came of it, in one sentence.
        figures: the numbers that it is known by, with what each is.
        setting: what was trained, on what, for how long.
        changes: fields of the recipe that differ from its default: name, default, here.
        audit: what was found in the image files, see `RunFolder.audit`.
        notes: on the data.
        course: how training went.
        answers: the model on its test images.
        reliability: how often it is right, by how sure it is.
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
    changes: tuple[tuple[str, str, str], ...]
    audit: dict[str, Any] | None
    notes: tuple[str, ...]
    course: Course | None
    answers: Answers | None
    reliability: Markup | None
    reconstruction: str
    columns: tuple[str, ...]
    exports: tuple[tuple[str, ...], ...]
    problems: tuple[str, ...]
    origins: tuple[Origin, ...]
    snippets: tuple[Snippet, ...]
    advice: tuple[dict[str, str], ...]
    missing: tuple[str, ...]


def gather(run: RunFolder, model: "keras.Model | None" = None) -> Page:
    """Reads a run, finished or not, and has its model answer once more.

    Args:
        run: its folder.
        model: the model of its model file, where it is open already.

    Raises:
        UserError: for a file of the run that is there and cannot be read.
    """
    report = run.report if run.finished else {}
    course = course_of(run, report.get("best_epoch"))
    answers, missing = _answered(run, model, report, course)
    if not report:
        missing.insert(0, "The run has not come to its end: what follows is what there is so far.")
    summary = answers.summary if answers else {}
    bins = summary.get("reliability")
    return Page(
        title=run.path.resolve().name,
        answer=_answer(run, report, summary, course),
        figures=_figures(report, summary, course),
        setting=setting(run, report),
        changes=changes(run.recipe),
        audit=run.audit,
        notes=tuple(report.get("data", {}).get("notes", ())),
        course=course,
        answers=answers,
        reliability=reliability_chart(bins) if bins else None,
        reconstruction=_reconstruction(run.reconstruction_picture),
        columns=export_columns(report) if _exported(report) else (),
        exports=tuple(export_rows(report)) if _exported(report) else (),
        problems=tuple(export_problems(report)) if _exported(report) else (),
        origins=tuple(Origin(**row) for row in report.get("origins", ())),
        snippets=snippets(run),
        advice=tuple(report.get("next", ())),
        missing=tuple(missing),
    )


def _exported(report: dict) -> bool:
    return bool(report) and report.get("objective") != "reconstruct"


def _answered(
    run: RunFolder, model: "keras.Model | None", report: dict, course: Course | None
) -> tuple[Answers | None, list[str]]:
    """The model on its test images, or why not."""
    if not run.labels:
        return None, []  # nothing to be right about
    if model is None and not run.model_file.exists():
        return None, ["There is no model yet, and so no answer to test."]
    from keras_vit.models import config_of
    from keras_vit.models.keras_file import load_keras

    try:
        model = model or load_keras(run.model_file)
        seen = report["data"]["train"] * course.epochs if report and course else 0
        training = _BACKWARD * config_of(model).forward_flops() * seen
        return answers_of(run, model, _EXAM_SHARE * training), []
    except UserError as error:
        return None, [f"What the model says of its test images is not here: {error}"]


def _answer(run: RunFolder, report: dict, summary: dict, course: Course | None) -> str:
    """What came of a run, in one sentence."""
    if "map" in summary:
        return (
            f"Asked which of {len(summary['per_class'])} classes an image shows, this model "
            f"reaches a mean average precision of {summary['map']:.1%} on {summary['images']:,} "
            "test images that it was not trained on."
        )
    if summary:
        low, high = summary["top1_interval"]
        rows = summary["per_class"]
        chance = max(row["support"] for row in rows) / summary["images"]
        return (
            f"This model names the right one of {len(rows)} classes for {summary['top1']:.1%} of "
            f"{summary['images']:,} test images that it was not trained on (between {low:.1%} and "
            f"{high:.1%} with 95 % confidence); always naming the most frequent class would be "
            f"right for {chance:.1%}."
        )
    if report.get("objective") == "reconstruct":
        return (
            "This encoder learned from images without labels: it paints what is hidden of "
            f"{report['data']['test']:,} test images with a loss of {report['test_loss']:.4f}, and "
            "gives answers once a head is trained on it."
        )
    if report:
        score = "map" if "map" in report else "top1"
        words = {"map": "a mean average precision", "top1": "a top-1 accuracy"}[score]
        return f"This model reached {words} of {report[score]:.1%} on its test images."
    done = course.epochs if course else 0
    return f"This run has not come to its end: {done} of {run.recipe.epochs} epochs are done."


def _figures(report: dict, summary: dict, course: Course | None) -> tuple[tuple[str, str], ...]:
    rows = []
    if "map" in summary:
        rows += [("mAP", f"{summary['map']:.1%}"), ("exactly right", f"{summary['exact']:.1%}")]
    elif summary:
        low, high = summary["top1_interval"]
        rows.append((f"top-1 ({low:.1%} to {high:.1%})", f"{summary['top1']:.1%}"))
        if len(summary["per_class"]) > 5:
            rows.append(("top-5", f"{summary['top5']:.1%}"))
        rows.append(("F1, mean of the classes", f"{summary['macro_f1']:.1%}"))
        rows.append(("gap of confidence (ECE)", f"{summary['ece']:.1%}"))
    if report:
        rows.append(("parameters", f"{report['parameters']:,}"))
        rows.append(("model file", f"{report['keras']['bytes'] / 1e6:.2f} MB"))
    if course and math.isfinite(course.seconds):
        rows.append(("of training", clock(course.seconds)))
    return tuple(rows)


def _reconstruction(path: Path) -> str:
    """A picture that this program drew, where it is there and small enough."""
    if path.is_symlink() or not path.is_file() or path.stat().st_size > _PICTURE:
        return ""
    return encoded(path.read_bytes())
