# SPDX-License-Identifier: MIT
"""The fields of a recipe."""

import dataclasses
from typing import Annotated, Self

from keras_vit.config import ViTConfig, pair
from keras_vit.errors import UserError
from keras_vit.preprocessing import FRAMINGS, INTERPOLATIONS, Preprocessing, View
from keras_vit.recipes.augmentation import Augmentation
from keras_vit.recipes.distribution import Distribution
from keras_vit.recipes.objectives import Classify, Objective
from keras_vit.recipes.optimization import Optimizer, Schedule
from keras_vit.recipes.progressive import Phase, Progressive, phases_of, progressive_of
from keras_vit.untrusted import limits
from keras_vit.untrusted.fields import check_fields
from keras_vit.untrusted.schema import Sized
from keras_vit.untrusted.text import Line

CACHES = ("auto", "memory", "none")
ON_BAD = ("error", "skip")
RANDOM = "random"  # of `Recipe.init`: random weights on purpose
_SEEDS = (0, 2**32 - 1)  # NumPy's
_DATA_BOUNDS = {
    "test": (0.01, 0.9),
    "validation": (0.01, 0.9),
    "split_seed": _SEEDS,
    "crop": (0.01, 1),
    "limit": (8, 10**9),
}
_DATA_CHOICES = {
    "cache": CACHES,
    "on_bad": ON_BAD,
    "framing": FRAMINGS,
    "interpolation": INTERPOLATIONS,
}
_BOUNDS = {
    "epochs": (1, 10**9),
    "batch_size": (1, 10**9),
    "steps": (1, 10**9),
    "accumulate": (1, 10**9),
    "extensions": (1, 10**9),
    "image_size": (1, limits.MODEL_SIDE),
    "patch_dropout": (0, 0.99),
    "lora": (1, 1024),
    "seed": _SEEDS,
}
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
        crop, framing, interpolation: what evaluation sees of an image, and how it is resized: the
            fields of `keras_vit.preprocessing.View`. None for those of the checkpoint that a run
            starts from; without one 1, "box" and "triangle".
        on_bad: what happens when files of a folder cannot be decoded: "error" stops before the
            first step, "skip" trains without them and lists them in the run folder.
        cache: whether images stay in memory, which changes no pixel: decoded and resized, or for
            an inception crop as the contents of their files. "memory" keeps them, "none" reads them
            anew in each epoch, "auto" keeps them where that takes at most a quarter of the free
            memory.
        limit: image files of each split of the source that are used, at most, of as many classes
            as there are four files for; None for all. Other sources than files are used whole.
    """

    source: str = "digits"
    data_dir: str | None = None
    test: float = 0.2
    validation: float = 0.1
    split_seed: int = 0
    crop: float | None = None
    framing: str | None = None
    interpolation: str | None = None
    on_bad: str = "error"
    cache: str = "auto"
    limit: int | None = None

    def __post_init__(self) -> None:
        check_fields(self, _DATA_BOUNDS, _DATA_CHOICES, "data.")

    @property
    def view(self) -> View:
        """What evaluation sees of an image."""
        told = {name: getattr(self, name) for name in ("crop", "framing", "interpolation")}
        return View(**{name: value for name, value in told.items() if value is not None})

    def with_view(self, view: View) -> Self:
        """With a view where it has none of its own."""
        told = {name: getattr(self, name) for name in ("crop", "framing", "interpolation")}
        usual = dataclasses.asdict(view)
        missing = {name: usual[name] for name, value in told.items() if value is None}
        return dataclasses.replace(self, **missing)


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Everything that decides a training run.

    Attributes:
        name: of the recipe.
        model: sizes and options; `num_classes` is replaced by the number of classes in the data.
            None for the model of `init`, or without one for a small model chosen by the images.
        epochs: passes over the training split, at most; None with `by_rule` alone.
        batch_size: examples in an update of the weights.
        steps: updates of the weights, at most, rounded to whole epochs (at least one); None where
            `epochs` alone decides.
        accumulate: parts in which a batch goes through the model, one after the other, for less
            memory; the gradient is their mean, and mixers stay within a part. It divides the batch.
        extensions: epochs of `epochs` that were added to the finished run, each time: over them the
            schedule begins again (a warm restart, arXiv 1608.03983, section 3).
        image_size: height and width in pixels where `model` is None; None for that of `init`, or
            for one chosen by the images.
        init: where the weights come from: a run folder, a file or folder of any dialect, a URL,
            `"hf:owner/name"` or a name of the catalog; "random" for random ones, and None for those
            too, but where `by_rule` and few images call for the backbone of this package (see
            `keras_vit.training.default_start`). The model is that of the checkpoint, but for the
            image size and the rates of dropout and stochastic depth, which `model` gives. The head
            starts from zero unless a run folder has the same classes.
        lora: rank of the LoRA adapters (arXiv 2106.09685) of the matrices of all blocks, which are
            then trained with the head and nothing else; None trains the weights themselves. The
            model file of the run has them merged into the kernels, and is as any other. "auto"
            takes float32 as precision: an adapter's share of a kernel is less than bfloat16 keeps.
        patch_dropout: share of the patches that each training image loses before the first block
            (arXiv 2208.07220), 0 to 1; the trained model does not have it.
        remat: whether the gradient of each block computes it anew instead of keeping what the
            forward pass computed (rematerialization, arXiv 1604.06174): less memory, more time, and
            the same numbers. The trained model does not know it.
        progressive: pairs of a share of the epochs, above 0 and below 1, and the height and width
            in pixels that training images have until then (arXiv 2104.00298, section 4); one number
            means a square. Both grow; then comes the model's own size, which evaluation and the
            saved model always have. `((0.5, 128), (0.8, 160))` trains the first half at 128 x 128
            and the last fifth at the model's 224 x 224, say. Padding scales with the size.
        data, augmentation, objective, optimizer, schedule: see each class.
        seed: seed of the initial weights, the order and the augmentation.
        precision: "float32", "mixed_bfloat16", or "auto", which takes the second where the hardware
            multiplies bfloat16 natively and a trial of a second or two showed that it is faster.
            The recipe of a run has the choice.
        jit_compile: whether XLA compiles the train step as a whole. On a CPU that costs about ten
            seconds at the start, and pays for models that are so small that the loops of
            `keras_vit.layers.fused` leave them out: a step of `cifar10_seed` takes 1.3 times as
            long with it (benchmarks/README.md). None leaves the choice to Keras, which compiles on
            accelerators.
        skip_bad_updates: leaves out (and counts) updates with a gradient that is NaN or infinite;
            the run ends after 100 of them in a row. Without, it ends at the first loss that is not
            finite.
        distribution: how the run is spread over devices: "none", "data" (each has a part of each
            batch), "model(shards=N)" (N of them share each block) or "fsdp" (each has a part of
            each batch and keeps a part of the weights); see docs/distributed.md. The result is that
            of one device, but for the last digits; `keras_vit.RunOptions` has the number of
            devices.
        by_rule: whether `image_size`, `epochs`, `optimizer.learning_rate`, `optimizer.layer_decay`
            and `schedule.head_first`, where they are None, follow from the checkpoint and the
            images; see `keras_vit.recipes.fitting`.
    """

    name: Annotated[str, Line(), Sized(1, limits.NAME)]
    model: ViTConfig | None
    epochs: int | None
    batch_size: int
    steps: int | None = None
    accumulate: int = 1
    extensions: tuple[int, ...] = ()
    image_size: tuple[int, int] | None = None
    init: str | None = None
    lora: int | None = None
    patch_dropout: float = 0.0
    remat: bool = False
    progressive: Progressive = ()
    data: Data = dataclasses.field(default_factory=Data)
    augmentation: Augmentation = dataclasses.field(default_factory=Augmentation)
    objective: Objective = dataclasses.field(default_factory=Classify)
    optimizer: Optimizer = dataclasses.field(default_factory=Optimizer)
    schedule: Schedule = dataclasses.field(default_factory=Schedule)
    seed: int = 0
    precision: str = "auto"
    jit_compile: bool | None = None
    skip_bad_updates: bool = False
    distribution: str = "none"
    by_rule: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "progressive", progressive_of(self.progressive))
        if self.image_size is not None:
            object.__setattr__(self, "image_size", pair("image_size", self.image_size))
        check_fields(self, _BOUNDS, {"precision": PRECISIONS})
        Distribution.of(self.distribution)
        for name, value in (
            ("epochs", self.epochs),
            ("optimizer.learning_rate", self.optimizer.learning_rate),
        ):
            if value is None and not self.by_rule:
                raise UserError(f"{name}: expected a number; none goes with by_rule=true.")
        if self.epochs is not None and self.epochs <= sum(self.extensions):
            raise UserError(
                f"extensions: expected less than the {self.epochs} epochs in all, received "
                f"{sum(self.extensions)}."
            )
        if self.batch_size % self.accumulate:
            raise UserError(
                f"accumulate: expected a divisor of batch_size={self.batch_size}, received "
                f"{self.accumulate}."
            )
        if self.lora is not None and self.optimizer.freeze is not None:
            raise UserError(
                f"lora={self.lora}: freezes all weights but the head by itself. Set "
                "optimizer.freeze=none, or take another recipe."
            )
        if self.image_size is not None and self.model is not None:
            raise UserError("image_size goes with model=none; set model.image_size.")

    @property
    def preprocessing(self) -> Preprocessing:
        """What evaluation makes of an image, once the recipe has a model."""
        return Preprocessing(self.model.image_size, self.model.channels, self.data.view)

    @property
    def part_size(self) -> int:
        """Examples that go through the model at once."""
        return self.batch_size // self.accumulate

    @property
    def phases(self) -> tuple[Phase, ...]:
        """Which epochs see which image size, once the recipe has a model and epochs.

        Raises:
            UserError: for a size of `progressive` that does not fit the model.
        """
        *phases, last = phases_of(self.progressive, self.model, self.cycles[0])
        return (*phases, dataclasses.replace(last, end=self.epochs))

    @property
    def cycles(self) -> tuple[int, ...]:
        """Epochs of the first training and of each extension; each has the whole schedule."""
        return (self.epochs - sum(self.extensions), *self.extensions)

    def epochs_of(self, steps_per_epoch: float) -> int:
        """Epochs of the run, given the updates in one."""
        if self.steps is None:
            return self.epochs
        return min(self.epochs, max(1, round(self.steps / steps_per_epoch)))
