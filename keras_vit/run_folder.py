# SPDX-License-Identifier: MIT
"""The folder of a run: where its files are, and what they say.

No other module knows the name of a file in it. A run may be somebody else's, so each file is
checked when it is read: a link is not followed, a pipe is not waited for, and JSON has to have its
shape. Each is read when it is first asked for, and once.
"""

import dataclasses
import json
import os
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired, TypedDict, overload

from keras_vit import recipes
from keras_vit.data.by_name import load
from keras_vit.data.checks.audit import Audit
from keras_vit.data.checks.fingerprint import fingerprint, write_fingerprint
from keras_vit.data.dataset import ImageSet, Split
from keras_vit.data.split_record import SplitRecord, write_splits
from keras_vit.errors import UserError
from keras_vit.export.metadata import LABELS_FILE, METADATA_FILE, Metadata
from keras_vit.files import write_text
from keras_vit.recipes import Recipe
from keras_vit.untrusted.reading import read_json, read_text
from keras_vit.untrusted.schema import Between, check

# What an exported file is called, in export/ of a run and wherever `keras-vit export` writes.
EXPORT_NAMES = {"saved_model": "saved_model", "litert": "model.tflite", "onnx": "model.onnx"}
QUANTIZATION_FILE = "quantization.json"  # next to them: what each mode costs and gains

# A split by its data: what they are called, the class names, the labelled images.
NamedSplit = tuple[str, tuple[str, ...], Split]

_Count = Annotated[int, Between(0, 2**63)]
_Share = Annotated[float, Between(0, 1)]


class _ModelSize(TypedDict):
    path: str
    bytes: _Count
    ms_per_image: NotRequired[float]


class _Export(_ModelSize):
    format: str
    ok: bool
    problem: NotRequired[str]
    quantize: NotRequired[str]
    agreement: NotRequired[_Share]
    max_abs_diff: NotRequired[float]
    top1: NotRequired[_Share | None]
    map: NotRequired[_Share | None]


class _Data(TypedDict):
    source: str
    classes: _Count
    train: _Count
    validation: _Count
    test: Annotated[int, Between(1, 2**63)]
    notes: list[str]


class _Origin(TypedDict):
    weights: str
    licence: str
    terms: str
    restriction: str


# `class` is a word of Python's, and no field of a class.
_ClassResult = TypedDict("_ClassResult", {"class": str, "images": _Count, "right": _Count})


class _Advice(TypedDict):
    rule: str
    evidence: str
    remedy: str
    command: str
    priority: _Count


class _Report(TypedDict):
    """What the report of every run has to hold."""

    objective: NotRequired[str]
    best_epoch: _Count
    validation_loss: float
    validation_top1: NotRequired[_Share | None]
    validation_map: NotRequired[_Share | None]
    data: _Data
    parameters: _Count
    trained_parameters: NotRequired[_Count]
    precision: str
    keras: _ModelSize
    exports: list[_Export]
    origins: NotRequired[list[_Origin]]
    per_class: NotRequired[list[_ClassResult]]
    next: NotRequired[list[_Advice]]


class _Scored(_Report):
    top1: _Share
    top5: NotRequired[_Share]
    validation_top1: _Share  # type: ignore[misc]


class _ScoredBySeveral(_Report):
    map: _Share
    validation_map: _Share  # type: ignore[misc]


class _Reconstructing(_Report):
    objective: Literal["reconstruct"]  # type: ignore[misc]
    test_loss: float


class _Finding(TypedDict):
    kind: str
    problem: bool
    text: str
    items: list[str]


class _Audit(TypedDict):
    """What is read of an audit."""

    images: dict[str, dict[str, _Count]]
    findings: list[_Finding]


class _Entry:
    """A file or folder in every run: of a run its path, of the class `RunFolder` its name."""

    def __init__(self, name: str):
        self.name = name

    @overload
    def __get__(self, run: None, kind: type) -> "_Entry": ...
    @overload
    def __get__(self, run: "RunFolder", kind: type) -> Path: ...
    def __get__(self, run, kind):
        return self if run is None else run.path / self.name


@dataclasses.dataclass(frozen=True)
class RunFolder:
    """A run, that is there or is going to be written.

    Attributes:
        path: the folder.
    """

    path: Path

    # What was asked for, by whom and on what. The recipe is written last: it makes a folder a run.
    recipe_file = _Entry("recipe.json")
    command_file = _Entry("command.txt")
    environment_file = _Entry("env.json")
    # What a model file without metadata of its own needs.
    labels_file = _Entry(LABELS_FILE)
    metadata_file = _Entry(METADATA_FILE)
    # What the data were.
    split_file = _Entry("split.csv")
    audit_file = _Entry("audit.json")
    left_out_file = _Entry("bad_files.txt")
    fingerprint_file = _Entry("data_index.json.gz")
    samples_picture = _Entry("samples.jpg")
    # How training went.
    checkpoints_folder = _Entry("checkpoints")
    tensorboard_folder = _Entry("tensorboard")
    history_file = _Entry("history.csv")
    curves_picture = _Entry("curves.png")
    # What came of it.
    model_file = _Entry("model.keras")
    autoencoder_file = _Entry("masked_autoencoder.keras")
    reconstruction_file = _Entry("reconstruction.npz")
    reconstruction_picture = _Entry("reconstruction.png")
    exports_folder = _Entry("export")
    report_file = _Entry("report.json")
    report_page = _Entry("report.md")
    card = _Entry("README.md")
    report_html = _Entry("report.html")

    @classmethod
    def open(cls, path: "str | os.PathLike | RunFolder") -> "RunFolder":
        """Opens the folder of a run; one that is open already stays what it is.

        Raises:
            UserError: for a folder that is none, or whose recipe cannot be read.
        """
        if isinstance(path, RunFolder):
            return path
        run = cls(Path(path))
        if not run.exists:
            raise UserError(
                f"{path}: expected the folder of a run (with {run.recipe_file.name}). "
                "`keras-vit train` makes one."
            )
        _ = run.recipe  # read at once: nothing else is believed of a run that cannot say its own
        return run

    @classmethod
    def around(cls, model_file: str | os.PathLike) -> "RunFolder | None":
        """The run that a model file stands in, or in whose export/ it stands; None without one."""
        folder = Path(model_file).parent
        inner, outer = cls(folder), cls(folder.parent)
        run = next((run for run in (inner, outer) if run.exists), None)
        return run and cls.open(run.path)

    @property
    def exists(self) -> bool:
        """Whether the folder is that of a run, whatever its files are."""
        return os.path.lexists(self.recipe_file)

    @cached_property
    def audit(self) -> dict[str, Any] | None:
        """What was found in the image files; None where there were none, or nobody looked."""
        if not os.path.lexists(self.audit_file):
            return None
        found = read_json(self.audit_file, dict[str, Any], follow=False)
        return check(found, _Audit, str(self.audit_file))

    @property
    def finished(self) -> bool:
        """Whether the run came to its end."""
        return os.path.lexists(self.report_file)

    @cached_property
    def recipe(self) -> Recipe:
        """What was trained."""
        values = read_json(self.recipe_file, dict[str, Any], follow=False)
        try:
            return recipes.from_dict(values)
        except UserError as error:
            raise UserError(
                f"{self.recipe_file}: is not a recipe that can be read: {error}"
            ) from error

    @cached_property
    def environment(self) -> dict[str, Any]:
        """Versions, system and CPU that the run began with."""
        return read_json(self.environment_file, dict[str, Any], follow=False)

    @cached_property
    def labels(self) -> tuple[str, ...] | None:
        """Class names in the order of the logits; empty of an encoder that was trained without
        labels, None where there is no such file."""
        if not os.path.lexists(self.labels_file):
            return None
        return tuple(read_text(self.labels_file, follow=False).splitlines())

    @cached_property
    def metadata(self) -> Metadata:
        """Labels and input size of the model."""
        if self.labels is None:
            raise untold(self.model_file)
        if not self.labels:
            raise UserError(
                f"{self.model_file}: is an encoder that was trained without labels, and names no "
                f"classes. Train a head on it: keras-vit train DATA --init {self.path}"
            )
        if os.path.lexists(self.metadata_file):
            text = read_text(self.metadata_file, follow=False)
            return Metadata.parse(text, self.metadata_file)
        if self.recipe.model is None:
            raise UserError(f"{self.recipe_file}: expected the model of a run, received none.")
        seen = self.recipe.preprocessing  # a run of version 0.1
        channels: Any = seen.channels  # Metadata checks it
        crop = seen.view.crop
        return Metadata(self.recipe.name, self.labels, seen.image_size, channels, crop)

    @cached_property
    def report(self) -> dict[str, Any]:
        """The results of a finished run."""
        report = read_json(self.report_file, dict[str, Any], follow=False)
        kind: type = _ScoredBySeveral if "map" in report else _Scored
        if report.get("objective") == "reconstruct":
            kind = _Reconstructing
        return check(report, kind, str(self.report_file))

    @cached_property
    def _splits(self) -> SplitRecord | None:
        """What was in which split; None of a run from before this was recorded."""
        return SplitRecord.read(self.split_file) if os.path.lexists(self.split_file) else None

    def split(self, name: str, data_dir: str | None = None) -> NamedSplit:
        """The images of a split, as they were recorded when the run began.

        Args:
            name: "train", "validation" or "test".
            data_dir: where TFDS keeps its data sets, if not where the recipe says.

        Raises:
            UserError: when an image is not there any more.
        """
        plan = self.recipe.data
        data_dir = data_dir or plan.data_dir
        if self._splits is not None:
            labels, task = self.metadata.labels, self.metadata.task
            split = self._splits.split(name, plan.source, labels, task, data_dir)
            return plan.source, labels, split
        images, _ = load(
            plan.source,
            data_dir,
            plan.test,
            plan.validation,
            plan.split_seed,
            plan.on_bad,
            decode=False,  # an image that breaks is named when it is read
        )
        return images.name, images.classes, getattr(images, name)

    def write_data_records(self, images: ImageSet, audit: Audit | None) -> None:
        """Writes what a run has to know of its data later: which image is in which split, whether
        they are still the same, and what was found in their files."""
        write_splits(self.split_file, images)
        write_fingerprint(self.fingerprint_file, fingerprint(images))
        if audit is None:
            return
        _write_json(self.audit_file, audit.to_dict())
        if audit.unreadable:
            write_text(self.left_out_file, "".join(f"{line}\n" for line in audit.unreadable))

    def write_recipe(self, recipe: Recipe) -> None:
        """Writes the recipe, which makes the folder a run."""
        _write_json(self.recipe_file, recipes.to_dict(recipe))
        self.__dict__.pop("recipe", None)  # what was read before, if anything

    def write_report(self, report: dict[str, Any]) -> None:
        """Writes the results, which makes the run a finished one."""
        _write_json(self.report_file, report)
        self.__dict__.pop("report", None)


def untold(path: Path) -> UserError:
    """The error of a model file without labels and input size."""
    return UserError(
        f"{path}: nothing says its labels and input size. Expected it in a run folder with "
        f"{RunFolder.recipe_file.name} and {LABELS_FILE}, or a file that `keras-vit export` made."
    )


def _write_json(path: Path, values: dict[str, Any]) -> None:
    write_text(path, json.dumps(values, indent=2) + "\n")
