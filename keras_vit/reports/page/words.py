# SPDX-License-Identifier: MIT
"""What came of a run or a measurement: in one sentence, and in the numbers that it is known by."""

import math
from typing import Any

from keras_vit.evaluation import wilson_interval
from keras_vit.progress import clock
from keras_vit.reports.page.course import Course
from keras_vit.run_folder import RunFolder


def sentence(summary: dict[str, Any], images: str) -> str:
    """How good a model is.

    Args:
        summary: see `keras_vit.evaluation.summarize` and `summarize_multilabel`.
        images: what the images are, after their number.
    """
    rows = summary["per_class"]
    if "map" in summary:
        return (
            f"Asked which of {len(rows):,} classes an image shows, this model reaches a mean "
            f"average precision of {summary['map']:.1%} on {summary['images']:,} {images}."
        )
    low, high = summary["top1_interval"]
    chance = max(row["support"] for row in rows) / summary["images"]
    return (
        f"This model names the right one of {len(rows):,} classes for {summary['top1']:.1%} of "
        f"{summary['images']:,} {images} (between {low:.1%} and {high:.1%} with 95% confidence); "
        f"always naming the most frequent class would be right for {chance:.1%}."
    )


def figures(summary: dict[str, Any]) -> list[tuple[str, str]]:
    """Names and values of what a model is known by; no top-5 of five classes or fewer."""
    if "map" in summary:
        return [("mAP", f"{summary['map']:.1%}"), ("exactly right", f"{summary['exact']:.1%}")]
    low, high = summary["top1_interval"]
    rows = [(f"top-1 ({low:.1%} to {high:.1%})", f"{summary['top1']:.1%}")]
    if len(summary["per_class"]) > 5:
        low, high = wilson_interval(summary["top5"], summary["images"])
        rows.append((f"top-5 ({low:.1%} to {high:.1%})", f"{summary['top5']:.1%}"))
    rows.append(("F1, mean of the classes", f"{summary['macro_f1']:.1%}"))
    rows.append(("gap of confidence (ECE)", f"{summary['ece']:.1%}"))
    return rows


def answer_of(run: RunFolder, report: dict, summary: dict, course: Course | None) -> str:
    """What came of a run; `report` and `summary` are empty where there is none yet."""
    if summary:
        return sentence(summary, "test images that it was not trained on")
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


def figures_of(report: dict, summary: dict, course: Course | None) -> tuple[tuple[str, str], ...]:
    """The same of a run, with its size and time."""
    rows = figures(summary) if summary else []
    if report.get("objective") == "reconstruct":
        rows.append(("test loss", f"{report['test_loss']:.4f}"))
    if report:
        rows.append(("parameters", f"{report['parameters']:,}"))
        rows.append(("model file", f"{report['keras']['bytes'] / 1e6:.2f} MB"))
    if course and math.isfinite(course.seconds):
        rows.append(("training time", clock(course.seconds)))
    return tuple(rows)
