# SPDX-License-Identifier: MIT
"""What each way of quantising a model costs and gains."""

from collections.abc import Mapping, Sequence

import keras
import numpy as np

from keras_vit.deploy.candidates import Candidate
from keras_vit.export.folding import fold
from keras_vit.export.quantization import layer_signal_to_noise

SLOWER = 1.1  # times of float32 that count as slower, above the noise of the measurement
_WORST = 5
_IMAGES = 8  # that the layers are compared on
_FIGURES = ("top1", "map", "drop", "agreement", "bytes", "ms_per_image", "gpu", "float16")


def quantization_card(
    model: keras.Model,
    candidates: Sequence[Candidate],
    entries: Mapping[str, dict],
    images: np.ndarray,
    attention: bool = False,
) -> list[dict]:
    """One entry for each quantised format and mode that was tried, in plain data.

    Args:
        model: the Keras model.
        candidates: the files, where they were written.
        entries: what `keras_vit.deploy.export` found of each, by name.
        images: pixels, 0 to 255.
        attention: whether the files have the attention of the last block as an output.

    Returns:
        `format`, `quantize` and `notes`; and, of a file that runs, `bytes` and `ms_per_image`, both
        also as `size_ratio` and `latency_ratio` to float32; `top1` or `map`, None without labels;
        `drop` in points; `agreement`, 0 to 1; `logit_sqnr` in dB, None without any error; and for
        LiteRT `worst_layers`, the five dense layers with the lowest signal to noise, in dB, `gpu`,
        what this machine's GPU made of it, and of float files `float16`, what a phone's makes.
    """
    layers = fold(model).dense_layers(attention)
    card = []
    for candidate in candidates:
        row = {"format": candidate.format, "quantize": candidate.mode, "notes": []}
        if candidate.format == "saved_model":
            continue
        if candidate.refused is not None:
            row["notes"].append(f"refused: {candidate.refused}")
        else:
            row |= _figures(entries[candidate.name], entries[candidate.format])
        if candidate.format == "litert" and candidate.mode != "none" and not candidate.refused:
            file = entries["litert"]["candidate"].path
            found = layer_signal_to_noise(file, candidate.path, layers, images[:_IMAGES])
            worst = sorted(found.items(), key=lambda item: item[1])[:_WORST]
            row["worst_layers"] = {name: _decibels(value) for name, value in worst}
        card.append(row)
    return card


def _figures(entry: dict, float32: dict) -> dict:
    latency = entry["ms_per_image"] / float32["ms_per_image"]
    notes = [f"rejected: {entry['problem']}"] if entry["problem"] else []
    notes += ["slower than float32"] if latency > SLOWER else []
    return {
        **{name: entry[name] for name in _FIGURES if name in entry},
        "logit_sqnr": _decibels(entry["logit_sqnr"]),
        "size_ratio": entry["bytes"] / float32["bytes"],
        "latency_ratio": latency,
        "notes": notes,
    }


def _decibels(value: float) -> float | None:
    return round(value, 2) if np.isfinite(value) else None  # JSON has no infinity
