# SPDX-License-Identifier: MIT
"""A trained model becomes a checked `.tflite` file, which then runs as it does on a telephone.

    keras-vit train --workdir runs/digits
    python examples/deploy.py runs/digits phone

The second half needs ai_edge_litert and NumPy alone: neither TensorFlow, nor Keras, nor this
package.
"""

import json
import sys
import zipfile
from pathlib import Path

import numpy as np


def export(run: str, out: str) -> Path:
    """Writes `model.tflite` and runs it beside the Keras model, on the test images of the run."""
    import keras_vit
    from keras_vit.deploy import export_run

    report = export_run(run, out, formats=["litert"])
    (entry,) = [entry for entry in report["exports"] if entry["format"] == "litert"]
    if not entry["ok"]:  # the file is then called *.rejected
        raise SystemExit(f"the file says something else than the model: {entry['problem']}")
    images, _ = keras_vit.data.load("digits")
    first = images.test.pixels[0].astype("float32")  # (8, 8, 1), 0 to 255
    np.savez("one.npz", pixels=first, label=images.test.labels[0])
    return Path(out) / "model.tflite"


def run_on_device(file: Path, pixels: np.ndarray) -> tuple[str, float]:
    """The class of one image `(height, width, channels)` of 0 to 255, and its probability."""
    from ai_edge_litert.interpreter import Interpreter

    with zipfile.ZipFile(
        file
    ) as inside:  # a .tflite file is read from its start, a zip from its end
        labels = inside.read("labels.txt").decode().splitlines()
        size = json.loads(inside.read("metadata.json"))["image_size"]
    if list(pixels.shape[:2]) != size:
        raise SystemExit(f"expected an image of {size}, received {pixels.shape}: resize it")
    classify = Interpreter(str(file)).get_signature_runner()
    logits = classify(pixels=pixels[None].astype("float32"))["logits"][0]
    scores = np.exp(logits - logits.max())
    best = int(scores.argmax())
    return labels[best], float(scores[best] / scores.sum())


def main(run: str, out: str) -> None:
    file = export(run, out)
    image = np.load("one.npz")
    label, score = run_on_device(file, image["pixels"])
    print(f"{file}: {file.stat().st_size / 1e6:.2f} MB, checked")
    print(f"the first test image is a {image['label']}; the file says {label} ({score:.0%})")


if __name__ == "__main__":
    main(*sys.argv[1:])
