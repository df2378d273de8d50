# SPDX-License-Identifier: MIT
"""What a run minimises: one class for each kind, told apart by `kind`."""

import dataclasses

from keras_vit.errors import UserError
from keras_vit.untrusted import schema
from keras_vit.untrusted.fields import check_fields

LOSSES = ("softmax", "sigmoid", "bce")


def _kind(name: str) -> str:
    """The field that names the class in JSON; `override` exchanges the class by it."""
    return dataclasses.field(default=name, init=False)


@dataclasses.dataclass(frozen=True)
class Classify:
    """Cross-entropy over the classes.

    Attributes:
        loss: "softmax" for one class per image; "sigmoid", which treats each class as a question of
            its own: the sum over the classes of binary cross-entropies (arXiv 2006.07159); or
            "bce", their mean (arXiv 2110.00476).
        label_smoothing: share of the target that is spread over all classes (arXiv 1512.00567); of
            "sigmoid" and "bce", share of each target that becomes 1/2; 0 to 1.
        target_threshold: "sigmoid" and "bce": targets above become 1, the others 0, so that every
            class of a mixed image is fully asked for (arXiv 2110.00476), or None.
        class_weights: factor of each class's term of the loss, in the order of the class names;
            "balanced" for examples / (classes * examples of the class); None for equal ones.
        kind: "classify".
    """

    loss: str = "softmax"
    label_smoothing: float = 0.0
    target_threshold: float | None = None
    class_weights: str | tuple[float, ...] | None = None
    kind: str = _kind("classify")

    def __post_init__(self) -> None:
        check_fields(self, _BOUNDS, {"loss": LOSSES}, "objective.")
        undone = self.loss == "softmax" or self.label_smoothing
        if self.target_threshold is not None and undone:
            raise UserError(
                "objective.target_threshold goes with loss='sigmoid' or 'bce' and without "
                f"label_smoothing, which it would undo; received loss={self.loss!r} and "
                f"label_smoothing={self.label_smoothing}."
            )
        if isinstance(self.class_weights, str) and self.class_weights != "balanced":
            raise UserError(
                "objective.class_weights: expected 'balanced', none or one number for each class, "
                f"as in (1, 2.5), received {schema.shown(self.class_weights)}."
            )


@dataclasses.dataclass(frozen=True)
class Reconstruct:
    """Masked autoencoding (arXiv 2111.06377): the pixels of hidden patches, without labels.

    Attributes:
        mask: share of the patches that are hidden from the encoder.
        decoder_width: size of a token in the decoder, a multiple of 4.
        decoder_depth: blocks of the decoder.
        decoder_num_heads: attention heads of the decoder; they divide its width.
        normalize: whether the target is each patch's pixels minus their mean, over their standard
            deviation ("norm_pix_loss").
        kind: "reconstruct".
    """

    mask: float = 0.75
    decoder_width: int = 512
    decoder_depth: int = 8
    decoder_num_heads: int = 16
    normalize: bool = True
    kind: str = _kind("reconstruct")

    def __post_init__(self) -> None:
        check_fields(self, _BOUNDS, prefix="objective.")
        if self.decoder_width % self.decoder_num_heads or self.decoder_width % 4:
            raise UserError(
                "objective.decoder_width: expected a multiple of 4 and of "
                f"decoder_num_heads={self.decoder_num_heads}, received {self.decoder_width}."
            )


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
        check_fields(self, _BOUNDS, prefix="objective.")


_BOUNDS = {
    "label_smoothing": (0, 0.999),
    "target_threshold": (0, 1),
    "class_weights": (0, 1e6),
    "mask": (0.01, 0.99),
    "decoder_width": (1, 65_536),
    "decoder_depth": (1, 1000),
    "decoder_num_heads": (1, 65_536),
    "alpha": (0, 1),
    "temperature": (0.01, 1000),
}
Objective = Classify | Reconstruct | Distill
