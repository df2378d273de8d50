# SPDX-License-Identifier: MIT
"""The fields of a recipe."""

import dataclasses

from keras_vit.config import ViTConfig
from keras_vit.errors import UserError, unknown

CROPS = ("none", "pad", "inception")
ON_BAD = ("error", "skip")
LOSSES = ("softmax", "sigmoid")
PRECISIONS = ("auto", "float32", "mixed_bfloat16")


@dataclasses.dataclass(frozen=True)
class Data:
    """Where images and labels come from, and which are held out.

    Attributes:
        source: "digits", a folder (`class/*.jpg` or `train|val|test/class/*.jpg`), such a folder in
            a .zip or .tar.gz, a .csv, .tsv or .jsonl of paths and labels, an .npz, "tfds:NAME" or
            "hf:NAME".
        data_dir: where TFDS keeps its data sets; None for its default.
        test: share of the examples held out for the final test when the source has no test split.
        validation: share of the training examples held out to choose the best epoch when the source
            has no validation split.
        split_seed: seed of both, which are stratified by class.
        crop: share of the largest centred box that evaluation sees before resizing, above 0 to 1.
        on_bad: what happens when files of a folder cannot be decoded: "error" stops before the
            first step, "skip" trains without them and lists them in the run folder.
    """

    source: str = "digits"
    data_dir: str | None = None
    test: float = 0.2
    validation: float = 0.1
    split_seed: int = 0
    crop: float = 1.0
    on_bad: str = "error"

    def __post_init__(self) -> None:
        if self.on_bad not in ON_BAD:
            raise unknown("data.on_bad", self.on_bad, ON_BAD)
        for name in ("test", "validation"):
            _within(name, getattr(self, name), 0.01, 0.9)
        _within("crop", self.crop, 0.01, 1.0)


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """What happens to a training image; each choice is a function of (seed, epoch, index).

    Attributes:
        crop: "none" (as in evaluation), "pad" (zeros around, then a random window of the image's
            size) or "inception" (a random box of `min_area` to all of the image, aspect ratio 3/4
            to 4/3, arXiv 1409.4842).
        pad: pixels of zeros on each side for "pad".
        min_area: least share of the image for "inception", above 0 to 1.
        flip: mirrors left and right with probability 1/2.
        mixup: blends each batch with itself shifted by one, images and labels alike, by a share
            drawn from Beta(mixup, mixup) for the batch (arXiv 1710.09412, in the form of
            big_vision); 0 for none.
    """

    crop: str = "none"
    pad: int = 4
    min_area: float = 0.08
    flip: bool = False
    mixup: float = 0.0

    def __post_init__(self) -> None:
        if self.crop not in CROPS:
            raise unknown("augmentation.crop", self.crop, CROPS)
        _within("min_area", self.min_area, 0.001, 1.0)
        _within("pad", self.pad, 0, 10_000)
        _within("mixup", self.mixup, 0, 100)


@dataclasses.dataclass(frozen=True)
class Optimizer:
    """AdamW (arXiv 1711.05101).

    Attributes:
        learning_rate: the peak, after warm-up.
        weight_decay: what Keras multiplies by the learning rate and the weight at each step. It
            acts on kernels alone: no bias, norm, token or position.
        beta_1: decay of the first moment.
        beta_2: decay of the second moment.
        epsilon: added to the root of the second moment.
        clip_norm: global norm above which gradients are scaled down; None for no clipping.
        ema: momentum of an average of the weights that is evaluated and saved in their place, or
            None.
    """

    learning_rate: float = 1e-3
    weight_decay: float = 0.1
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8
    clip_norm: float | None = 1.0
    ema: float | None = None

    def __post_init__(self) -> None:
        _within("learning_rate", self.learning_rate, 0, 1e3)
        _within("weight_decay", self.weight_decay, 0, 1e3)
        if self.ema is not None:
            _within("ema", self.ema, 0, 1)


@dataclasses.dataclass(frozen=True)
class Schedule:
    """Linear warm-up from 0, then a cosine to `final` times the peak (arXiv 1608.03983).

    Attributes:
        warmup_epochs: length of the warm-up in epochs; fractions are fine.
        final: learning rate at the end, as a share of the peak, 0 to 1.
    """

    warmup_epochs: float = 5.0
    final: float = 0.0

    def __post_init__(self) -> None:
        _within("warmup_epochs", self.warmup_epochs, 0, 1e6)
        _within("final", self.final, 0, 1)


@dataclasses.dataclass(frozen=True)
class Classify:
    """Cross-entropy over the classes.

    Attributes:
        loss: "softmax" for one class per image, or "sigmoid", which treats each class as a question
            of its own: the sum over the classes of binary cross-entropies.
        label_smoothing: share of the target that is spread over all classes (arXiv 1512.00567), 0
            to 1.
    """

    loss: str = "softmax"
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        if self.loss not in LOSSES:
            raise unknown("objective.loss", self.loss, LOSSES)
        _within("label_smoothing", self.label_smoothing, 0, 0.999)


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Everything that decides a training run.

    Attributes:
        name: names the run folder.
        model: sizes and options; `num_classes` is replaced by the number of classes in the data.
        epochs: passes over the training split.
        batch_size: examples in a step.
        data, augmentation, objective, optimizer, schedule: see each class.
        seed: seed of the initial weights, the order and the augmentation.
        precision: "float32", "mixed_bfloat16", or "auto", which takes the second where the hardware
            multiplies bfloat16 natively and the model is wide enough to gain from it.
        jit_compile: whether XLA compiles the train step. On a CPU that halves the step of a narrow
            model and costs ten seconds at the start; None leaves the choice to Keras, which
            compiles on accelerators.
    """

    name: str
    model: ViTConfig
    epochs: int
    batch_size: int
    data: Data = dataclasses.field(default_factory=Data)
    augmentation: Augmentation = dataclasses.field(default_factory=Augmentation)
    objective: Classify = dataclasses.field(default_factory=Classify)
    optimizer: Optimizer = dataclasses.field(default_factory=Optimizer)
    schedule: Schedule = dataclasses.field(default_factory=Schedule)
    seed: int = 0
    precision: str = "auto"
    jit_compile: bool | None = None

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size"):
            _within(name, getattr(self, name), 1, 10**9)
        if self.precision not in PRECISIONS:
            raise unknown("precision", self.precision, PRECISIONS)


def _within(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise UserError(f"{name}: expected a number from {low:g} to {high:g}, received {value}.")
