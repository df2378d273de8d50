# SPDX-License-Identifier: MIT
"""The files of a run, read back, and its folders, written to: the run may be somebody else's."""

from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired, TypedDict

from keras_vit.training.checkpoints import Checkpoint
from keras_vit.untrusted.reading import read_json
from keras_vit.untrusted.schema import Between, check

_Count = Annotated[int, Between(0, 2**63)]
_Share = Annotated[float, Between(0, 1)]


class _File(TypedDict):
    path: str
    bytes: _Count
    ms_per_image: NotRequired[float]


class _Export(_File):
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


class _Report(TypedDict):
    """What `report.json` has to hold."""

    objective: NotRequired[str]
    best_epoch: _Count
    validation_loss: float
    validation_top1: NotRequired[_Share | None]
    validation_map: NotRequired[_Share | None]
    data: _Data
    parameters: _Count
    precision: str
    keras: _File
    exports: list[_Export]


class _Scored(_Report):
    top1: _Share
    top5: NotRequired[_Share]
    validation_top1: _Share


class _ScoredBySeveral(_Report):
    map: _Share
    validation_map: _Share


class _Reconstructing(_Report):
    objective: Literal["reconstruct"]
    test_loss: float


class _Best(TypedDict):
    best: list[float] | None
    epoch: _Count | None


class _Row(TypedDict):
    epoch: float
    loss: float
    val_loss: float


class _Log(TypedDict):
    rows: list[_Row]
    seconds: float


class _Callbacks(TypedDict):
    SaveBest: _Best
    History: _Log


class _Progress(TypedDict):
    """What `progress.json` of a checkpoint has to hold."""

    precision: Literal["float32", "mixed_bfloat16"]
    callbacks: _Callbacks


def check_progress(checkpoint: Checkpoint, folder: Path) -> None:
    """Raises a `UserError` unless a checkpoint says all that a run goes on from."""
    check(checkpoint.progress, _Progress, f"{folder}: progress.json of {checkpoint.name}")


def read_report(folder: Path) -> dict[str, Any]:
    """The contents of a run's `report.json`.

    Raises:
        UserError: for a file that is damaged, or that is no report of a run.
    """
    path = Path(folder) / "report.json"
    report = read_json(path, dict[str, Any], follow=False)
    kind = _ScoredBySeveral if "map" in report else _Scored
    if report.get("objective") == "reconstruct":
        kind = _Reconstructing
    return check(report, kind, str(path))


def read_environment(folder: Path) -> dict[str, Any]:
    """The contents of a run's `env.json`."""
    return read_json(Path(folder) / "env.json", dict[str, Any], follow=False)
