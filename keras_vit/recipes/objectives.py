# SPDX-License-Identifier: MIT
"""What a run minimises: one class for each kind, told apart by `kind`."""

import dataclasses

from keras_vit.errors import unknown
from keras_vit.recipes.checks import within

LOSSES = ("softmax", "sigmoid")


def _kind(name: str) -> str:
    """The field that names the class in JSON; `override` exchanges the class by it."""
    return dataclasses.field(default=name, init=False)


@dataclasses.dataclass(frozen=True)
class Classify:
    """Cross-entropy over the classes.

    Attributes:
        loss: "softmax" for one class per image, or "sigmoid", which treats each class as a question
            of its own: the sum over the classes of binary cross-entropies.
        label_smoothing: share of the target that is spread over all classes (arXiv 1512.00567), 0
            to 1.
        kind: "classify".
    """

    loss: str = "softmax"
    label_smoothing: float = 0.0
    kind: str = _kind("classify")

    def __post_init__(self) -> None:
        if self.loss not in LOSSES:
            raise unknown("objective.loss", self.loss, LOSSES)
        within("label_smoothing", self.label_smoothing, 0, 0.999)


@dataclasses.dataclass(frozen=True)
class Reconstruct:
    """Masked autoencoding (arXiv 2111.06377): the pixels of hidden patches, without labels.

    Attributes:
        mask: share of the patches that are hidden from the encoder.
        decoder_width: size of a token in the decoder, a multiple of 4.
        decoder_depth: blocks of the decoder.
        decoder_heads: attention heads of the decoder; they divide its width.
        normalize: whether the target is each patch's pixels minus their mean, over their standard
            deviation ("norm_pix_loss").
        kind: "reconstruct".
    """

    mask: float = 0.75
    decoder_width: int = 512
    decoder_depth: int = 8
    decoder_heads: int = 16
    normalize: bool = True
    kind: str = _kind("reconstruct")

    def __post_init__(self) -> None:
        within("mask", self.mask, 0.01, 0.99)
        for name in ("decoder_width", "decoder_depth", "decoder_heads"):
            within(name, getattr(self, name), 1, 10**6)


@dataclasses.dataclass(frozen=True)
class Distill:
    """Classification with a teacher (arXiv 1503.02531, 2012.12877).

    The loss is `(1 - alpha)` times the cross-entropy with the labels plus `alpha` times the
    agreement with the teacher. A model with a distillation token learns the first with its class
    head and the second with its distillation head; others learn both with their only head.

    Attributes:
        teacher: the run folder or model file of the teacher, which has the same classes.
        hard: whether the teacher's most probable class is taken for the truth (DeiT); else its
            probabilities are.
        alpha: weight of the teacher, 0 to 1.
        temperature: of the probabilities of both, when they are not hard; the loss is multiplied by
            its square.
        label_smoothing: see `Classify`; of the labels, not of the teacher.
        kind: "distill".
    """

    teacher: str | None = None
    hard: bool = True
    alpha: float = 0.5
    temperature: float = 1.0
    label_smoothing: float = 0.0
    kind: str = _kind("distill")

    def __post_init__(self) -> None:
        within("alpha", self.alpha, 0, 1)
        within("temperature", self.temperature, 0.01, 1000)
        within("label_smoothing", self.label_smoothing, 0, 0.999)


Objective = Classify | Reconstruct | Distill
