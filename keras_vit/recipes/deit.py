# SPDX-License-Identifier: MIT
"""Training data-efficient image transformers (arXiv 2012.12877)."""

import dataclasses

from keras_vit.config import ViTConfig
from keras_vit.recipes.objectives import Distill
from keras_vit.recipes.schema import Augmentation, Classify, Data, Optimizer, Recipe, Schedule


def deit_tiny() -> Recipe:
    """DeiT-Ti/16 on ImageNet (arXiv 2012.12877). Published: 72.2 %."""
    return _deit("Ti/16", "deit_tiny")


def deit_small() -> Recipe:
    """DeiT-S/16 on ImageNet (arXiv 2012.12877). Published: 79.8 %."""
    return _deit("S/16", "deit_small")


def deit_base() -> Recipe:
    """DeiT-B/16 on ImageNet (arXiv 2012.12877). Published: 81.8 %."""
    return _deit("B/16", "deit_base")


def deit_distilled() -> Recipe:
    """DeiT-S/16 with a teacher and a token for it (arXiv 2012.12877). Published: 81.2 %.

        keras-vit train tfds:imagenet2012 --recipe deit_distilled --set objective.teacher=RUN

    `deit_small` and section 4 of the paper: the class head learns the labels and the distillation
    head the teacher's most probable class of the same augmented image, with equal weights; in
    evaluation both heads are averaged. The published teacher is a RegNetY-16GF; any run, .keras
    file or export with the same classes will do. CIFAR and the like: change `model`, keep
    `model.distillation_token=true`.
    """
    recipe = _deit("S/16", "deit_distilled")
    return dataclasses.replace(
        recipe,
        model=dataclasses.replace(recipe.model, distillation_token=True),
        objective=Distill(hard=True, alpha=0.5, label_smoothing=0.1),
    )


def _deit(model: str, name: str) -> Recipe:
    """Table 9 of the paper and the defaults of the released main.py.

        keras-vit train tfds:imagenet2012 --recipe deit_small

    Batch 1024 on 16 GPUs, AdamW with rate 5e-4 * 1024 / 512 and weight decay 0.05, no clipping, 300
    epochs; 5 epochs of warm-up from 1e-6, cosine to 1e-5 that counts from the first epoch; label
    smoothing 0.1, stochastic depth 0.1, an average of the weights with momentum 0.99996;
    RandAugment (rand-m9-mstd0.5-inc1), erasing 0.25, MixUp 0.8 or CutMix 1.0, three augmented
    copies of each image, bicubic crops. main.py's color jitter of 0.4 is left out by timm where
    there is a policy. The code sets the rate once in an epoch, this at every step; its 10 epochs of
    cool-down come after the 300, and its loop ends before them.
    """
    return Recipe(
        name=name,
        model=ViTConfig.of(
            model,
            stochastic_depth=0.1,
            pixel_mean=(0.485, 0.456, 0.406),
            pixel_std=(0.229, 0.224, 0.225),
        ),
        epochs=300,
        batch_size=1024,
        data=Data(source="tfds:imagenet2012", crop=0.875, validation=0.01),
        augmentation=Augmentation(
            crop="inception",
            min_area=0.08,
            interpolation="bicubic",
            flip=True,
            policy="randaugment",
            layers=2,
            magnitude=9.0,
            magnitude_std=0.5,
            increasing=True,
            op_prob=0.5,
            erasing=0.25,
            mixup=0.8,
            mixup_form="deit",
            cutmix=1.0,
            mix_prob=1.0,
            switch_prob=0.5,
            repeats=3,
        ),
        objective=Classify(label_smoothing=0.1),
        optimizer=Optimizer(
            learning_rate=1e-3, weight_decay=0.05, epsilon=1e-8, clip_norm=None, ema=0.99996
        ),
        schedule=Schedule(kind="cosine", warmup="5 epochs", start=1e-3, final=0.01, overlap=True),
    )
