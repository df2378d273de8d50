# SPDX-License-Identifier: MIT
"""What travels with an exported model, so that the file alone can be used: labels and input
size."""

import dataclasses
import json
import os
import zipfile
from pathlib import Path

import numpy as np

from keras_vit.errors import UserError
from keras_vit.export.runner import onnx_session

_FILE = "metadata.json"
_LABELS = "labels.txt"
EXTRA = "assets.extra"  # where SavedModel keeps files that are the user's


@dataclasses.dataclass(frozen=True)
class Metadata:
    """How to use a model.

    Attributes:
        name: what the model is called.
        labels: class names in the order of the logits.
        image_size: height and width of the input in pixels.
        channels: 1 or 3.
        crop: share of the largest centred box of the input's aspect ratio to keep before resizing.
        task: "single" when an image is of the class of the largest logit, "multi" when it is of
            every class whose logit is above 0.
        flops: floating-point operations of one image's forward pass in the trained model, two for
            each multiply-add, whatever numbers the file computes with; None where nobody said.
    """

    name: str
    labels: tuple[str, ...]
    image_size: tuple[int, int]
    channels: int
    crop: float = 1.0
    task: str = "single"
    flops: int | None = None

    def files(self) -> dict[str, str]:
        """The metadata as named text files."""
        return {
            _LABELS: "".join(f"{label}\n" for label in self.labels),
            _FILE: self.to_json(),
        }

    def to_json(self) -> str:
        """The text of `metadata.json`."""
        return json.dumps(dataclasses.asdict(self), indent=2) + "\n"

    def answer(self, logits: np.ndarray) -> str:
        """What logits `(classes,)` say: a class, or of the task "multi" any number of them."""
        places = np.flatnonzero(logits > 0) if self.task == "multi" else [logits.argmax()]
        return " and ".join(repr(self.labels[place]) for place in places) or "nothing"

    def append_to(self, path: str | os.PathLike) -> None:
        """Puts the files into a zip archive at the end of a .tflite file.

        A flatbuffer is read from its start and a zip from its end, so the file stays a model and
        can be listed with `unzip -l`: the convention of TFLite's "associated files".
        """
        with zipfile.ZipFile(path, "a", zipfile.ZIP_STORED) as archive:
            for name, text in self.files().items():
                archive.writestr(name, text)

    def write_into(self, folder: str | os.PathLike) -> None:
        """Writes the files into the `assets.extra` folder of a SavedModel."""
        extra = Path(folder) / EXTRA
        extra.mkdir()
        for name, text in self.files().items():
            (extra / name).write_text(text, encoding="utf-8")

    @classmethod
    def read(cls, path: str | os.PathLike) -> "Metadata | None":
        """Reads it back from a .tflite or .onnx file or a SavedModel folder; None where there is
        none."""
        path = Path(path)
        if path.suffix == ".onnx":
            text = onnx_session(path).get_modelmeta().custom_metadata_map.get(_FILE)
        elif path.is_dir():
            file = path / EXTRA / _FILE
            text = file.read_text(encoding="utf-8") if file.exists() else None
        elif zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                text = archive.read(_FILE) if _FILE in archive.namelist() else None
        else:
            text = None
        return None if text is None else cls.parse(text, path)

    @classmethod
    def parse(cls, text: str, path: str | os.PathLike) -> "Metadata":
        """Makes it from the text of its JSON file; `path` is what an error names."""
        try:
            values = json.loads(text)
            return cls(
                name=values["name"],
                labels=tuple(values["labels"]),
                image_size=tuple(values["image_size"]),
                channels=values["channels"],
                crop=values["crop"],
                task=values.get("task", "single"),
                flops=values.get("flops"),
            )
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{path}: its {_FILE} cannot be read ({error!r}).") from error
