# SPDX-License-Identifier: MIT
"""What happens to training images."""

import dataclasses

from keras_vit.untrusted.fields import check_fields

CROPS = ("none", "pad", "inception")
INTERPOLATIONS = ("triangle", "bicubic")
POLICIES = ("none", "randaugment", "autoaugment", "trivialaugment", "3augment")
MIXUP_FORMS = ("big_vision", "deit")


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """What happens to training images, in this order: crop, flip, policy, color jitter, erasing,
    and MixUp or CutMix of the batch. What an image undergoes is a function of (seed, epoch, index)
    and its copy, what a batch undergoes one of (seed, step).

    Attributes:
        crop: "none" (as in evaluation), "pad" (zeros around, then a random window of the image's
            size) or "inception" (a random box of `min_area` to all of the image, aspect ratio 3/4
            to 4/3, arXiv 1409.4842; of a JPEG file that has at least four pixels for one, along
            both sides, at a reduced scale).
        pad: pixels of zeros on each side for "pad".
        min_area: least share of the image for "inception", above 0 to 1.
        interpolation: "triangle" (bilinear) or "bicubic", both antialiased, of "inception".
        flip: mirrors left and right with probability 1/2.
        policy: "randaugment" (arXiv 1909.13719), "autoaugment" (the CIFAR-10 policy of arXiv
            1805.09501, table 7), "trivialaugment" (the wide form of arXiv 2103.10158) or
            "3augment" (grey, solarised or blurred, arXiv 2204.07118). Operations are those of
            Pillow; geometric ones take the nearest pixel and fill with grey (128).
        layers: RandAugment: operations in sequence, each drawn anew.
        magnitude: RandAugment: strength of all operations; 10 is full scale, and without
            `increasing` more is possible.
        magnitude_std: RandAugment: standard deviation of a normal draw around `magnitude` for each
            operation.
        increasing: RandAugment: False draws from the 16 operations of AugReg (arXiv 2106.10270), of
            which some grow milder with the magnitude; True from the 15 of DeiT (arXiv 2012.12877),
            all of which grow stronger up to a magnitude of 10.
        op_prob: RandAugment: probability that a drawn operation is applied; DeiT has 0.5.
        color_jitter: brightness, contrast and saturation, in random order, each times a factor
            drawn from 1 - color_jitter to 1 + color_jitter, 0 to 1.
        erasing: probability that a random box of 2 % to a third of the image is replaced by normal
            noise with the mean and deviation of ImageNet's pixels (arXiv 1708.04896, in the form of
            DeiT); the noise is not clipped to 0 to 255.
        mixup: blends each batch with itself, images and labels alike, by a share drawn from
            Beta(mixup, mixup) for the batch (arXiv 1710.09412); 0 for none.
        mixup_form: "big_vision" (the larger share stays; the partner is the image before) or "deit"
            (the share as drawn; the partner is that of the reversed batch).
        cutmix: replaces one box in all images of a batch by that of the reversed batch, of a share
            drawn from Beta(cutmix, cutmix) (arXiv 1905.04899); 0 for none.
        mix_prob: probability that a batch is mixed at all.
        switch_prob: probability of CutMix instead of MixUp where both are on.
        repeats: augmented copies of an image in its batch (arXiv 1902.05509); an epoch has as many
            steps as without, and so shows 1 / repeats of the images. DeiT has 3.
    """

    crop: str = "none"
    pad: int = 4
    min_area: float = 0.08
    interpolation: str = "triangle"
    flip: bool = False
    policy: str = "none"
    layers: int = 2
    magnitude: float = 10.0
    magnitude_std: float = 0.0
    increasing: bool = False
    op_prob: float = 1.0
    color_jitter: float = 0.0
    erasing: float = 0.0
    mixup: float = 0.0
    mixup_form: str = "big_vision"
    cutmix: float = 0.0
    mix_prob: float = 1.0
    switch_prob: float = 0.5
    repeats: int = 1

    def __post_init__(self) -> None:
        check_fields(self, _BOUNDS, _CHOICES, "augmentation.")


_CHOICES = {
    "crop": CROPS,
    "interpolation": INTERPOLATIONS,
    "policy": POLICIES,
    "mixup_form": MIXUP_FORMS,
}
_BOUNDS = {
    "pad": (0, 1000),
    "min_area": (0.001, 1),
    "layers": (1, 10),
    "magnitude": (0, 30),
    "magnitude_std": (0, 10),
    "op_prob": (0, 1),
    "color_jitter": (0, 1),
    "erasing": (0, 1),
    "mixup": (0, 100),
    "cutmix": (0, 100),
    "mix_prob": (0, 1),
    "switch_prob": (0, 1),
    "repeats": (1, 100),
}
