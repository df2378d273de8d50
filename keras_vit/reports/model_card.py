# SPDX-License-Identifier: MIT
"""The model card of a run: what somebody else has to know of its model, in the Hub's form."""

import os
from collections.abc import Sequence
from pathlib import Path

from keras_vit.evaluation import wilson_interval
from keras_vit.files import write_text
from keras_vit.recipes import Distill
from keras_vit.reports.card_head import card_head, data_name
from keras_vit.reports.card_use import use_lines
from keras_vit.reports.learning import learning_rows
from keras_vit.reports.tables import export_lines
from keras_vit.run_folder import RunFolder
from keras_vit.untrusted.text import markdown

_NAMED = 20  # classes that are named; the file of labels has all
_WEAKEST = 5
_CARD = "---\n{{ card_data }}\n---\n\n{{ body }}"


def write_card(workdir: str | os.PathLike) -> Path:
    """Writes the card of a finished run, and returns its path."""
    run = RunFolder.open(workdir)
    write_text(run.card, model_card(run))
    return run.card


def model_card(run: RunFolder) -> str:
    """The card of a finished run, with nothing left for its reader to fill in.

    A name of a file or of a class has no meaning in it but itself, neither in its YAML nor in its
    Markdown.
    """
    from huggingface_hub import ModelCard

    name = run.path.resolve().name
    lines = [
        *(f"# {markdown(name)}", "", _purpose(run), ""),
        *("## Results", "", *_results(run.report), ""),
        *("## Use", "", *use_lines(run)),
        *("## Limits", "", *_limits(run), ""),
        *("## Training", "", *_training(run), ""),
        *("## License", "", *_license(run), ""),
    ]
    body = "\n".join(lines)
    head = card_head(run.report, name)
    return str(ModelCard.from_template(head, template_str=_CARD, body=body))


def _purpose(run: RunFolder) -> str:
    """What the model is for, in a sentence."""
    height, width = run.recipe.model.image_size
    size = f"a Vision Transformer of {run.report['parameters']:,} parameters for {height} x {width}"
    labels = run.labels or ()
    if not labels:
        return f"An encoder of images, {size} pixels, trained without labels."
    named = ", ".join(map(markdown, labels[:_NAMED]))
    if len(labels) > _NAMED:
        named += f" and {len(labels) - _NAMED:,} more (`{run.labels_file.name}`)"
    verb = "Names all classes that" if "map" in run.report else "Names the class that"
    return f"{verb} an image shows, of {len(labels):,}: {named}. It is {size} pixels."


def _results(report: dict) -> list[str]:
    """Scores with their intervals, the weakest classes, and the files."""
    data = report["data"]
    if report.get("objective") == "reconstruct":
        return [f"Loss on {data['test']:,} test images: {report['test_loss']:.4f}."]
    rows = [("measure", "value", "95 % interval", "images")]
    if "map" in report:
        rows.append(("test mAP", f"{report['map']:.2%}", "-", f"{data['test']:,}"))
        rows.append(
            ("validation mAP", f"{report['validation_map']:.2%}", "-", f"{data['validation']:,}")
        )
    else:
        rows.append(_share("test top-1", report["top1"], data["test"]))
        if data["classes"] > 5 and "top5" in report:
            rows.append(_share("test top-5", report["top5"], data["test"]))
        rows.append(_share("validation top-1", report["validation_top1"], data["validation"]))
    return [*_table(rows), "", *_weakest(report), *export_lines(report)]


def _share(name: str, value: float, count: int) -> tuple[str, str, str, str]:
    low, high = wilson_interval(value, count)
    return name, f"{value:.2%}", f"{low:.2%} to {high:.2%}", f"{count:,}"


def _weakest(report: dict) -> list[str]:
    """The classes that are named rightly least often, where some are named wrongly."""
    tested = [row for row in report.get("per_class", ()) if row["right"] < row["images"]]
    if not tested:
        return []
    weakest = sorted(tested, key=lambda row: row["right"] / row["images"])[:_WEAKEST]
    shares = [_share(row["class"], row["right"] / row["images"], row["images"]) for row in weakest]
    head = ("weakest classes", "named rightly", "95 % interval", "images")
    return [*_table([head, *shares]), ""]


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    lines = ["| " + " | ".join(map(markdown, row)) + " |" for row in rows]
    return [lines[0], "|" + "---|" * len(rows[0]), *lines[1:]]


def _limits(run: RunFolder) -> list[str]:
    """What the results do not say."""
    report, data = run.report, run.report["data"]
    lines = [
        f"* It was measured on {data['test']:,} images of the same source as those that it was "
        "trained on. Of images that were taken elsewhere, by other cameras or in another light, "
        "nothing is known.",
    ]
    if report.get("objective") == "reconstruct":
        lines.append("* It names nothing: it gives features, on which a head is trained.")
    elif "map" in report:
        lines.append("* It knows no other classes than these.")
    else:
        lines.append(
            "* It knows no other classes than these, and names one of them whatever an image shows."
        )
    return [*lines, *(f"* {markdown(note)}" for note in data["notes"])]


def _training(run: RunFolder) -> list[str]:
    """The setting, and how it is repeated."""
    recipe, report, machine = run.recipe, run.report, run.environment
    data, optimizer = report["data"], recipe.optimizer
    packages = machine.get("packages", {})
    counts = ", ".join(f"{data[split]:,}" for split in ("train", "validation", "test"))
    versions = [f"{name} {packages[name]}" for name in ("keras", "tensorflow") if name in packages]
    rows = [
        ("setting", "value"),
        ("images", data_name(data["source"])),
        ("to train, validate, test", counts),
        ("recipe", recipe.name),
        ("first weights", _first_weights(run)),
        *learning_rows(recipe, data_name),
        ("epochs", f"{recipe.epochs:,}, of which {report['best_epoch']:,} was kept as the best"),
        ("batch", f"{recipe.batch_size:,}"),
        ("optimizer", f"{optimizer.name}, rate {optimizer.learning_rate:g}"),
        ("weight decay", f"{optimizer.weight_decay:g}"),
        ("precision", report["precision"]),
        ("seed", f"{recipe.seed}"),
        ("of an image", f"{recipe.data.view}"),
        ("software", ", ".join(versions) or "not recorded"),
        ("processor", machine.get("cpu") or "not recorded"),
    ]
    again = f"keras-vit train DATA --config {run.recipe_file.name}"
    return [*_table(rows), "", f"`{run.recipe_file.name}` has all of it: `{again}`."]


def _first_weights(run: RunFolder) -> str:
    origins = run.report.get("origins")
    if origins:
        return ", ".join(origin["weights"] for origin in origins)
    return "random" if run.recipe.init is None else data_name(run.recipe.init.partition("?")[0])


def _license(run: RunFolder) -> list[str]:
    """What is known of the terms: of the first weights, and not of the images."""
    images = markdown(data_name(run.report["data"]["source"]))
    unknown = (
        f"The license of the images ({images}) was not recorded. Whoever passes this model on has "
        "to know it."
    )
    origins, objective = run.report.get("origins"), run.recipe.objective
    if isinstance(objective, Distill):
        teacher = markdown(data_name(objective.teacher or ""))
        unknown += f" It learned from the answers of {teacher}, whose terms were not looked at."
    if not origins:
        return [f"No published weights went into this model. {unknown}"]
    rows = [("weights", "license", "restriction", "terms")]
    rows += [
        (row["weights"], row["licence"], row["restriction"] or "none but its notice", row["terms"])
        for row in origins
    ]
    return ["Made of published weights, whose licenses go with it:", "", *_table(rows), "", unknown]
