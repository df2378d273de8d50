# SPDX-License-Identifier: MIT
"""The YAML at the top of a model card: what the Hub sorts models by."""

from pathlib import Path
from typing import Any

from keras_vit.reports.front_matter import Value, front_matter
from keras_vit.weights.catalog import catalog

# The Hub's words for licenses that it has one for; others are "other", with a name and a link.
_LICENSES = {"Apache-2.0": "apache-2.0", "MIT": "mit", "CC-BY-NC-4.0": "cc-by-nc-4.0"}


def data_name(source: str) -> str:
    """What data are called where others read it: of a path on this machine its last part."""
    return source if source.startswith(("tfds:", "hf:")) else Path(source).name or source


def card_head(report: dict[str, Any], name: str) -> list[str]:
    """The lines of it.

    Args:
        report: contents of `report.json`.
        name: of the model.
    """
    blind = report.get("objective") == "reconstruct"
    task = "image-feature-extraction" if blind else "image-classification"
    values: dict[str, Value] = {
        **_license(report.get("origins", ())),
        "library_name": "keras",
        "pipeline_tag": task,
        "tags": ["vision-transformer", "keras-vit", *_formats(report)],
    }
    if bases := _bases(report):
        values["base_model"] = bases
    source = report["data"]["source"]
    if source.startswith("hf:"):
        values["datasets"] = [source.removeprefix("hf:")]
    if not blind:
        values["metrics"] = [_metric(report)["type"]]
        values["model-index"] = [{"name": name, "results": [_result(report, task)]}]
    return [*front_matter(values), ""]


def _license(origins: list[dict[str, str]] | tuple[()]) -> dict[str, Value]:
    """That of the first weights; "unknown" where nobody said one."""
    names = list(dict.fromkeys(origin["licence"] for origin in origins))
    if not names or "unknown" in names:
        return {"license": "unknown"}
    if len(names) == 1 and names[0] in _LICENSES:
        return {"license": _LICENSES[names[0]]}
    found: dict[str, Value] = {"license": "other", "license_name": "-and-".join(names).lower()}
    links = list(dict.fromkeys(origin["terms"] for origin in origins if origin["terms"]))
    return found | ({"license_link": links[0]} if len(links) == 1 else {})


def _formats(report: dict[str, Any]) -> list[str]:
    """Which other files there are: "litert", "saved_model"."""
    return [export["format"] for export in report["exports"] if export["ok"]]


def _bases(report: dict[str, Any]) -> list[str]:
    """Repositories of the hub that the first weights come from."""
    named = [origin["weights"] for origin in report.get("origins", ())]
    places = [catalog()[weights].at if weights in catalog() else weights for weights in named]
    bases = [at.removeprefix("hf:").partition("@")[0] for at in places if at.startswith("hf:")]
    return list(dict.fromkeys(bases))


def _metric(report: dict[str, Any]) -> dict[str, Value]:
    if "map" in report:
        return {"type": "mAP", "name": "mean average precision", "value": round(report["map"], 4)}
    return {"type": "accuracy", "name": "top-1", "value": round(report["top1"], 4)}


def _result(report: dict[str, Any], task: str) -> dict[str, Value]:
    """The test, as the Hub's table of results has it."""
    name = data_name(report["data"]["source"])
    kind = name.removeprefix("hf:").removeprefix("tfds:")
    return {
        "task": {"type": task},
        "dataset": {"type": kind, "name": name, "split": "test"},
        "metrics": [_metric(report)],
    }
