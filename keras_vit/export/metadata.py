# SPDX-License-Identifier: MIT
"""What travels with an exported model, so that the file alone can be used: labels and input
size."""

import dataclasses
import json
import os
import zipfile
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np

from keras_vit.origins import Origins
from keras_vit.preprocessing import Preprocessing, View
from keras_vit.untrusted import limits
from keras_vit.untrusted.reading import parse_json, read_bytes
from keras_vit.untrusted.schema import Between, Sized, check
from keras_vit.untrusted.text import Line
from keras_vit.untrusted.zips import ends_in_zip, open_zip, read_member

METADATA_FILE = "metadata.json"
LABELS_FILE = "labels.txt"
EXTRA = "assets.extra"  # where SavedModel keeps files that are the user's

_Name = Annotated[str, Line(), Sized(1, limits.NAME)]
_Side = Annotated[int, Between(1, limits.MODEL_SIDE)]


@dataclasses.dataclass(frozen=True)
class Metadata:
    """How to use a model.

    Attributes:
        name: what the model is called.
        labels: class names in the order of the logits.
        image_size: height and width of the input in pixels.
        channels: 1 or 3.
        crop, framing, interpolation: what of an image the model sees, and how it is resized; see
            `keras_vit.preprocessing.View`.
        task: "single" when an image is of the class of the largest logit, "multi" when it is of
            every class whose logit is above 0.
        flops: floating-point operations of one image's forward pass in the trained model, two for
            each multiply-add, whatever numbers the file computes with; None where nobody said.
        origins: weights that the model was made of, the oldest first, with their licences.
        merge: how many patches the file's blocks compute less than the trained model's, because
            those that are alike are merged, as a share; 0 for none.
    """

    name: _Name
    labels: Annotated[tuple[_Name, ...], Sized(1, limits.CLASSES)]
    image_size: tuple[_Side, _Side]
    channels: Literal[1, 3]
    crop: Annotated[float, Between(0.01, 1)] = 1.0
    task: Literal["single", "multi"] = "single"
    flops: int | None = None
    origins: Origins = ()
    framing: Literal["box", "shorter_side", "shortest_edge", "squash"] = "box"
    interpolation: Literal["triangle", "bicubic", "lanczos"] = "triangle"
    merge: Annotated[float, Between(0, 0.5)] = 0.0

    @property
    def preprocessing(self) -> Preprocessing:
        """What is made of an image before the model sees it."""
        view = View(self.crop, self.framing, self.interpolation)
        return Preprocessing(self.image_size, self.channels, view)

    def files(self) -> dict[str, str]:
        """The metadata as named text files."""
        return {
            LABELS_FILE: "".join(f"{label}\n" for label in self.labels),
            METADATA_FILE: self.to_json(),
        }

    def to_json(self) -> str:
        """The text of `metadata.json`."""
        values = dataclasses.asdict(self)
        for name in ("origins", "merge"):
            if not values[name]:
                del values[name]
        return json.dumps(values, indent=2) + "\n"

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
                # A fixed date: equal models give equal files.
                archive.writestr(zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0)), text)

    def write_into(self, folder: str | os.PathLike) -> None:
        """Writes the files into the `assets.extra` folder of a SavedModel."""
        extra = Path(folder) / EXTRA
        extra.mkdir()
        for name, text in self.files().items():
            (extra / name).write_text(text, encoding="utf-8")

    @classmethod
    def read(cls, path: str | os.PathLike, own: str | None = None) -> "Metadata | None":
        """Reads it back from a .tflite or .onnx file or a SavedModel folder; None where there is
        none.

        Args:
            path: the file or folder.
            own: what `Worker.metadata` said, where the file is open already.

        Raises:
            UserError: for metadata that are damaged, or that no model can have.
        """
        path = Path(path)
        if path.suffix == ".onnx":
            text: str | bytes | None = own or _of_onnx(path)
        elif path.is_dir():
            file = path / EXTRA / METADATA_FILE
            text = read_bytes(file, limits.JSON) if os.path.lexists(file) else None
        else:
            text = _associated(path)
        return None if text is None else cls.parse(text, path)

    @classmethod
    def parse(cls, text: str | bytes, path: str | os.PathLike) -> "Metadata":
        """Makes it from the text of its JSON file; `path` is what an error names.

        Raises:
            UserError: for what is no JSON, or has a field of the wrong type or out of bounds.
                Fields that are not known, as a newer version may write, are left out.
        """
        source = f"{path}: its {METADATA_FILE}"
        values = parse_json(text, source, dict[str, Any])
        known = {field.name for field in dataclasses.fields(cls)}
        return check({k: v for k, v in values.items() if k in known}, cls, source)


def _of_onnx(path: Path) -> str | None:
    from keras_vit.export.worker import Worker

    with Worker(path) as model:
        return model.metadata


def _associated(path: Path) -> bytes | None:
    """The text of `metadata.json` in the zip at the end of a model file, if there is one."""
    if not ends_in_zip(path):
        return None
    with open_zip(path, limits.ASSOCIATED) as archive:
        return read_member(archive, METADATA_FILE, limits.JSON, path)
