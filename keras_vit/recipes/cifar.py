# SPDX-License-Identifier: MIT
"""Photographs of 32 x 32 pixels in ten classes."""

from keras_vit.config import ViTConfig
from keras_vit.recipes.objectives import Classify
from keras_vit.recipes.schema import Augmentation, Data, Optimizer, Recipe, Schedule


def cifar10_seed() -> Recipe:
    """CIFAR-10 with a model of 119 thousand parameters, in 10 to 20 minutes of one core.

        keras-vit train tfds:cifar10 --recipe cifar10_seed

    The shape (patch 4, width 48, 4 blocks of 4 heads) is that of a well-known teaching notebook,
    which reached 65.8 % with Adam at a constant 1e-2 for 100 epochs and no augmentation, its
    training loss far below its test loss. The plan here is today's: flips and padded crops, Muon,
    warm-up and a straight line down, clipping. Right about 75.5, 75.9 and 76.5 % of the whole test
    split (seeds 0 to 2, each +- 0.8 at 95 %) after 9.0 to 9.6 CPU-minutes of the whole command on a
    core of an AMD EPYC; 79.1 % with `--set epochs=40`, after 46 of a shared core, on which the
    others take 19. See docs/cifar10.md.
    """
    return _with_muon(
        name="cifar10_seed",
        model=_model(
            width=48,
            depth=4,
            mlp_dim=192,
            num_heads=4,
        ),
        epochs=14,
        data=Data(source="tfds:cifar10"),
    )


def cifar10_fast() -> Recipe:
    """CIFAR-10 with a model of 308 thousand parameters, in the time that the notebook takes.

        keras-vit train tfds:cifar10 --recipe cifar10_fast

    A plain ViT for the 64 patches of such an image: six narrow blocks of two heads, the average of
    the patches instead of a class token, rotary positions beside the learned ones. The plan is that
    of `cifar10_seed`, with fewer images for validation. Right about 84.0 % of the whole test split
    (seed 0, +- 0.7 at 95 %) after 116 CPU-minutes on a core of an AMD EPYC. See docs/cifar10.md.
    """
    return _with_muon(
        name="cifar10_fast",
        model=_model(
            width=64,
            depth=6,
            mlp_dim=256,
            num_heads=2,
            class_token=False,
            pool="average",
            rotary="axial",
        ),
        epochs=45,
        data=Data(source="tfds:cifar10", validation=0.04),
    )


def vit_cifar() -> Recipe:
    """CIFAR-10 with a model of 6.3 million parameters, from scratch (github omihub777/ViT-CIFAR).

        keras-vit train tfds:cifar10 --recipe vit_cifar

    Adam (0.9, 0.999) with an L2 penalty of 5e-5 on every weight, batch 128, 200 epochs, rate 1e-3
    to 1e-5 along a cosine after 5 epochs of warm-up, padded crops, flips, AutoAugment, label
    smoothing. Its smoothing of 0.1 goes to the 9 wrong classes alone, which is 1/9 spread over
    all ten. Published: CIFAR-10 90.92 %, CIFAR-100 66.54 %, SVHN 97.31 %; CIFAR-10 took 2 h 14 min
    on a V100 in half precision. One core of a CPU would take 28 hours (docs/cifar10.md).
    """
    return Recipe(
        name="vit_cifar",
        model=_model(
            width=384,
            depth=7,
            mlp_dim=384,
            num_heads=12,
        ),
        epochs=200,
        batch_size=128,
        data=Data(source="tfds:cifar10"),
        augmentation=Augmentation(crop="pad", pad=4, flip=True, policy="autoaugment"),
        objective=Classify(label_smoothing=0.1 * 10 / 9),
        optimizer=Optimizer(
            name="adam",
            learning_rate=1e-3,
            weight_decay=5e-5,
            weight_decay_factors=((".", 1.0),),
            clip_norm=None,
        ),
        schedule=Schedule(kind="cosine", warmup="5 epochs", final=0.01),
    )


def _model(**sizes) -> ViTConfig:
    """64 patches of 4 x 4 pixels; the mean and the deviation are those of CIFAR-10."""
    return ViTConfig(
        image_size=(32, 32),
        num_classes=10,
        patch_size=(4, 4),
        pixel_mean=(0.4914, 0.4822, 0.4465),
        pixel_std=(0.2470, 0.2435, 0.2616),
        **sizes,
    )


def _with_muon(**fields) -> Recipe:
    return Recipe(
        batch_size=128,
        augmentation=Augmentation(crop="pad", pad=4, flip=True),
        objective=Classify(label_smoothing=0.1),
        optimizer=Optimizer(name="muon", learning_rate=1e-2, weight_decay=0.05),
        schedule=Schedule(kind="linear", warmup="0.1"),
        **fields,
    )
