# SPDX-License-Identifier: MIT
"""The YAML at the top of a model card: what the Hub sorts models by.

huggingface_hub writes and reads it; what stands in it is ours. It quotes what YAML would read as
something else, but lets pass what nobody sees, which is spelled out here.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_vit.untrusted.text import visible
from keras_vit.weights.catalog import catalog

if TYPE_CHECKING:
    from huggingface_hub import ModelCardData

# The Hub's words for licenses that it has one for; others are "other", with a name and a link.
_LICENSES = {"Apache-2.0": "apache-2.0", "MIT": "mit", "CC-BY-NC-4.0": "cc-by-nc-4.0"}


def data_name(source: str) -> str:
    """What data are called where others read it: of a path on this machine its last part."""
    return source if source.startswith(("tfds:", "hf:")) else Path(source).name or source


def card_head(report: dict[str, Any], name: str) -> "ModelCardData":
    """The values of it.

    Args:
        report: contents of `report.json`.
        name: of the model.
    """
    from huggingface_hub import ModelCardData

    blind = report.get("objective") == "reconstruct"
    task = "image-feature-extraction" if blind else "image-classification"
    source = report["data"]["source"]
    return ModelCardData(
        **_license(report.get("origins", ())),
        library_name="keras",
        pipeline_tag=task,
        tags=["vision-transformer", "keras-vit", *_formats(report)],
        base_model=_bases(report) or None,
        datasets=[visible(source.removeprefix("hf:"))] if source.startswith("hf:") else None,
        **({} if blind else _measured(report, task, name)),
    )


def _license(origins: list[dict[str, str]] | tuple[()]) -> dict[str, Any]:
    """That of the first weights; "unknown" where nobody said one."""
    names = list(dict.fromkeys(origin["licence"] for origin in origins))
    if not names or "unknown" in names:
        return {"license": "unknown"}
    if len(names) == 1 and names[0] in _LICENSES:
        return {"license": _LICENSES[names[0]]}
    found = {"license": "other", "license_name": visible("-and-".join(names).lower())}
    links = list(dict.fromkeys(origin["terms"] for origin in origins if origin["terms"]))
    return found | ({"license_link": visible(links[0])} if len(links) == 1 else {})


def _formats(report: dict[str, Any]) -> list[str]:
    """Which other files there are: "litert", "saved_model"."""
    return [export["format"] for export in report["exports"] if export["ok"]]


def _bases(report: dict[str, Any]) -> list[str]:
    """Repositories of the hub that the first weights come from."""
    named = [origin["weights"] for origin in report.get("origins", ())]
    places = [catalog()[weights].at if weights in catalog() else weights for weights in named]
    bases = [visible(at[3:].partition("@")[0]) for at in places if at.startswith("hf:")]
    return list(dict.fromkeys(bases))


def _measured(report: dict[str, Any], task: str, name: str) -> dict[str, Any]:
    """The test, as the Hub's table of results has it."""
    from huggingface_hub import EvalResult

    several = "map" in report
    kind = "mAP" if several else "accuracy"
    data = visible(data_name(report["data"]["source"]))
    result = EvalResult(
        task_type=task,
        dataset_type=data.removeprefix("hf:").removeprefix("tfds:"),
        dataset_name=data,
        dataset_split="test",
        metric_type=kind,
        metric_name="mean average precision" if several else "top-1",
        metric_value=round(report["map" if several else "top1"], 4),
    )
    return {"metrics": [kind], "model_name": visible(name), "eval_results": [result]}
