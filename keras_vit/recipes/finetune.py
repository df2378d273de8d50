# SPDX-License-Identifier: MIT
"""Your own images, with a checkpoint or without."""

from keras_vit.config import ViTConfig
from keras_vit.recipes.schema import Augmentation, Classify, Data, Optimizer, Recipe, Schedule


def finetune() -> Recipe:
    """Your own images, from a checkpoint with `--init`, else a small model from scratch.

        keras-vit train photos/ --init B_16.npz
        keras-vit train photos/

    AdamW with rates that fall from layer to layer towards the pixels, as in the fine-tuning of BEiT
    (arXiv 2106.08254) and MAE (arXiv 2111.06377, table 9: weight decay 0.05, betas 0.9 and 0.999,
    warm-up of 5 %, stochastic depth left to the checkpoint). Image size, learning rate, layer
    decay, epochs and how long the head learns alone follow from the checkpoint and the images, by
    the rule of `keras_vit.recipes.fitting`; each is said when the run begins, and what you set
    stays. Without a checkpoint `model_for` chooses the model and the layers learn at one rate. No
    published result.
    """
    return Recipe(
        name="finetune",
        model=None,
        epochs=None,
        by_rule=True,
        batch_size=32,
        augmentation=Augmentation(crop="inception", min_area=0.3, flip=True),
        objective=Classify(label_smoothing=0.1),
        optimizer=Optimizer(learning_rate=None, weight_decay=0.05),
        schedule=Schedule(warmup="0.05"),
    )


def linear_probe() -> Recipe:
    """A linear classifier on the frozen representation of a checkpoint, which `--init` names.

        keras-vit train photos/ --recipe linear_probe --init B_16.npz

    The head alone is trained: how good is the representation as it is? AdamW without decay at a
    constant batch and a cosine; the numbers are our own, no published result belongs to them. The
    image size is the one that `finetune` would choose.
    """
    return Recipe(
        name="linear_probe",
        model=None,
        epochs=50,
        steps=10_000,
        batch_size=32,
        augmentation=Augmentation(crop="inception", min_area=0.3, flip=True),
        optimizer=Optimizer(
            learning_rate=1e-3,
            weight_decay=0.0,
            layer_decay=1.0,
            freeze="^(?!head/|distillation_head/)",
        ),
        schedule=Schedule(warmup="0 steps", head_first="0 steps"),
        by_rule=True,
    )


def paper_finetune() -> Recipe:
    """CIFAR-10 at 384 pixels as the paper fine-tunes on it (arXiv 2010.11929, table 4).

        keras-vit train tfds:cifar10 --recipe paper_finetune --init B_16.npz

    SGD with momentum 0.9, batch 512, cosine, no weight decay, gradients clipped at a norm of 1;
    warm-up of 500 steps and the rate of B/16 on CIFAR-10 from the released code. For the others of
    table 4: `--set steps=20000` for ImageNet, 500 for Pets and Flowers (with `schedule.warmup="100
    steps"`), 2500 for VTAB, and the best of a grid of rates on a held-out part. The code keeps the
    momentum in bfloat16 and splits the batch in 8 (`--set accumulate=8`); this keeps float32.
    Published: B/16 from ImageNet-21k 98.95 %, from ImageNet 98.13 % (table 5), on TPUv3.
    """
    return Recipe(
        name="paper_finetune",
        model=ViTConfig.of("B/16", image_size=384, num_classes=10, activation="gelu_tanh"),
        epochs=1000,  # `steps` ends the run
        steps=10_000,
        batch_size=512,
        data=Data(source="tfds:cifar10", validation=0.02),
        augmentation=Augmentation(crop="inception", min_area=0.05, flip=True),
        optimizer=Optimizer(
            name="sgd", learning_rate=0.01, momentum=0.9, weight_decay=0.0, clip_norm=1.0
        ),
        schedule=Schedule(kind="cosine", warmup="500 steps"),
    )


def model_for(side: int, images: int) -> ViTConfig:
    """A model that trains on a few CPU cores: 64 patches, and as wide as the images are many.

    Average of the tokens and fixed positions, as in arXiv 2205.01580, need fewer images than the
    paper's learned ones.

    Args:
        side: length in pixels of the shorter side of the images.
        images: how many there are to train on.
    """
    size = 32 if side < 48 else 64 if side < 96 else 128
    width, depth = (64, 4) if images < 1_000 else (128, 6) if images < 10_000 else (192, 9)
    return ViTConfig(
        image_size=(size, size),
        patch_size=(size // 8, size // 8),
        width=width,
        depth=depth,
        mlp_dim=4 * width,
        num_heads=width // 32,
        class_token=False,
        position="sincos2d",
        pool="average",
    )
