# SPDX-License-Identifier: MIT
"""How good a model is, as text."""

from keras_vit.reports.tables import aligned
from keras_vit.untrusted.text import visible

_CLASSES = 20  # with more classes, the table has those of lowest F1
_PAIRS = 5
_NAMED = 10  # absent classes that are named


def evaluation_table(result: dict) -> str:
    """What `keras-vit evaluate` prints.

    Args:
        result: what `keras_vit.evaluation.summarize` returns, with `model` and `data`, the names
            of the model and of the images; or the same of `summarize_multilabel`, or with ReaL
            labels (see `keras_vit.measuring.measure`).
    """
    if "map" in result:
        return "\n".join(_several(result))
    if "unlabelled" in result:
        return "\n".join(_real(result))
    facts = [
        ("top-1", _top1(result)),
        *([("top-5", f"{result['top5']:.2%}")] if len(result["per_class"]) > 5 else []),
        ("F1", f"{result['macro_f1']:.2%}, mean of the classes"),
        ("ECE", f"{result['ece']:.2%}, mean gap between confidence and accuracy"),
        *_absent(result),
    ]
    lines = ["", *_classes(result["per_class"]), "", *_confused(result["most_confused"])]
    return "\n".join(_head(result, facts) + lines)


def probe_table(result: dict) -> str:
    """What `keras-vit evaluate --probe --knn` prints.

    Args:
        result: what `keras_vit.measuring.probe` returns.
    """
    facts = [
        ("model", f"{result['model']}, {result['features']:,} features"),
        (
            "data",
            f"{result['data']}, {result['train']:,} images to fit, {result['test']:,} to test",
        ),
        *((f"{shots} shot", f"{top1:.2%}") for shots, top1 in result.get("few_shot", {}).items()),
        *([("kNN", f"{result['knn']:.2%}")] if "knn" in result else []),
    ]
    return "\n".join(f"{name:<9}{visible(text)}" for name, text in facts)


def _head(result: dict, facts: list[tuple[str, str]]) -> list[str]:
    """The lines above a table: which model, which images, and the facts of this measurement."""
    images = f"{result['data']}, {result['images']:,} images"
    named = [("model", result["model"]), ("data", images), *facts]
    return [f"{name:<8}{visible(text)}" for name, text in named]


def _top1(result: dict) -> str:
    low, high = result["top1_interval"]
    return f"{result['top1']:.2%} (95 % interval {low:.2%} to {high:.2%})"


def _real(result: dict) -> list[str]:
    facts = [
        ("ReaL", _top1(result)),
        ("", f"{result['unlabelled']:,} images without labels left out"),
    ]
    return _head(result, facts)


def _several(result: dict) -> list[str]:
    facts = [
        ("mAP", f"{result['map']:.2%}, mean of the classes"),
        ("exact", f"{result['exact']:.2%} of the images right in every class, at 50 %"),
        ("F1", f"{result['micro_f1']:.2%} of all classes together, at 50 %"),
        *_absent(result),
    ]
    return [*_head(result, facts), "", *_classes(result["per_class"], "AP", "ap")]


def _absent(result: dict) -> list[tuple[str, str]]:
    """A line about the classes of which there is no image, where there are such."""
    names = result["absent"]
    if not names:
        return []
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return [("absent", f"{', '.join(names[:_NAMED])}{more}: no image, and not in the mean")]


def _classes(rows: list[dict], score: str = "F1", by: str = "f1") -> list[str]:
    """The classes, or the worst of many by a score; its column comes first if F1 is another."""
    shown = rows
    if len(rows) > _CLASSES:
        occurring = [row for row in rows if row["support"]]
        shown = sorted(occurring, key=lambda row: row[by])[:_CLASSES]
    shares = {"AP": "ap"} if by == "ap" else {}
    shares |= {"precision": "precision", "recall": "recall", "F1": "f1"}
    cells = [
        (row["class"], *(_share(row[key]) for key in shares.values()), f"{row['support']:,}")
        for row in shown
    ]
    lines = aligned([("class", *shares, "images"), *cells])
    if len(shown) < len(rows):
        lines.append(
            f"the {len(shown)} classes of lowest {score}, of {len(rows):,}; --format json has all"
        )
    return lines


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _confused(pairs: list[dict]) -> list[str]:
    if not pairs:
        return ["no class was taken for another"]
    cells = [
        (pair["actual"], pair["predicted"], f"{pair['count']:,}", f"{pair['share']:.1%}")
        for pair in pairs[:_PAIRS]
    ]
    return aligned([("most confused", "taken for", "images", "of the class"), *cells])
