# SPDX-License-Identifier: MIT
"""Pre-training without labels: masked autoencoders (arXiv 2111.06377)."""

from keras_vit.config import ViTConfig
from keras_vit.recipes.objectives import Reconstruct
from keras_vit.recipes.schema import Augmentation, Data, Optimizer, Recipe, Schedule


def masked_autoencoder() -> Recipe:
    """ViT-B/16 on images without labels (arXiv 2111.06377). Published: 83.6 % after fine-tuning.

        keras-vit train photos/ --recipe masked_autoencoder
        keras-vit train photos/ --recipe finetune --init runs/masked_autoencoder-1

    Table 8 of the paper and its released code: batch 4096, AdamW with rate 1.5e-4 * 4096 / 256,
    betas 0.9 and 0.95, weight decay 0.05; 40 epochs of warm-up and a cosine over 800 (the published
    figure took 1,600); crops of 20 to 100 % of the area and flips, nothing else; three quarters of
    the patches hidden, a decoder of 8 blocks 512 wide, patches normalised. The kernels start from
    this package's distributions and not from the paper's. The published run had ImageNet's 1.28
    million images: far fewer images want far more epochs.
    """
    return Recipe(
        name="masked_autoencoder",
        model=ViTConfig.of(
            "B/16",
            num_classes=0,
            position="sincos2d",
            pixel_mean=(0.485, 0.456, 0.406),
            pixel_std=(0.229, 0.224, 0.225),
        ),
        epochs=800,
        batch_size=4096,
        data=Data(source="tfds:imagenet2012", crop=0.875, validation=0.01),
        augmentation=Augmentation(crop="inception", min_area=0.2, flip=True),
        objective=Reconstruct(),
        optimizer=Optimizer(learning_rate=2.4e-3, weight_decay=0.05, beta_2=0.95, clip_norm=None),
        schedule=Schedule(warmup="40 epochs"),
    )


def masked_autoencoder_small() -> Recipe:
    """A model of 2 million parameters on images of 32 pixels, without labels.

        keras-vit train photos/ --recipe masked_autoencoder_small

    The plan is that of `masked_autoencoder` with a batch, a rate and a decoder for a small model;
    these are our own, and no published result belongs to them. benchmarks/recipes/objectives.py
    compares what it gives with training from scratch.
    """
    return Recipe(
        name="masked_autoencoder_small",
        model=ViTConfig(
            image_size=(32, 32),
            num_classes=0,
            patch_size=(4, 4),
            width=192,
            depth=6,
            mlp_dim=512,
            num_heads=3,
            position="sincos2d",
        ),
        epochs=200,
        batch_size=256,
        data=Data(source="tfds:cifar10"),
        augmentation=Augmentation(crop="inception", min_area=0.2, flip=True),
        objective=Reconstruct(decoder_width=96, decoder_depth=2, decoder_num_heads=3),
        optimizer=Optimizer(learning_rate=1e-3, weight_decay=0.05, beta_2=0.95),
        schedule=Schedule(warmup="0.05"),
    )
