# SPDX-License-Identifier: MIT
"""A rule about the exported files."""

from keras_vit.advice.commands import quantized
from keras_vit.advice.facts import Advice, RunFacts

_SLOW = 50.0  # milliseconds for an image: 20 a second, less than a camera shows
_QUANTIZABLE = ("litert", "onnx")


def slow_export(facts: RunFacts) -> Advice | None:
    """A file in float32 that takes long for an image."""
    slow = [
        export
        for export in facts.exports
        if export["format"] in _QUANTIZABLE
        and export.get("quantize", "none") == "none"
        and export.get("ms_per_image", 0.0) > _SLOW
    ]
    if not slow:
        return None
    export = slow[0]
    return Advice(
        "slow_export",
        f"{export['path']} takes {export['ms_per_image']:.0f} ms for an image on this machine, and "
        f"is float32 ({export['bytes'] / 1e6:.0f} MB)",
        "Look for a smaller and faster form that loses at most half a point",
        quantized(facts, export["format"]),
        7,
    )
