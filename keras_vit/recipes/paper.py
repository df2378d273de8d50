# SPDX-License-Identifier: MIT
"""An Image is Worth 16x16 Words: how ViT-B/16 was pre-trained (arXiv 2010.11929, table 3).

The paper writes Adam with weight decay; the released code takes the weights times decay and rate
off the weights: AdamW here. Fine-tuning is `paper_finetune` in finetune.py.
"""

from keras_vit.config import ViTConfig
from keras_vit.recipes.schema import Augmentation, Classify, Data, Optimizer, Recipe, Schedule

_CROPS_AND_FLIPS = Augmentation(crop="inception", min_area=0.05, flip=True)


def paper_imagenet() -> Recipe:
    """ViT-B/16 on ImageNet from scratch, 300 epochs (arXiv 2010.11929).

        keras-vit train tfds:imagenet2012 --recipe paper_imagenet

    Table 3: Adam (0.9, 0.999), batch 4096, rate 3e-3, cosine, 10,000 steps of warm-up, weight decay
    0.3, dropout 0.1, gradients clipped at 1; a tanh layer before the head (section 3.1). Of crops
    and flips the paper says nothing; they are those of the released code.

    Published, after fine-tuning at 384 pixels (table 5): ImageNet 77.91 %, CIFAR-10 98.13 %.
    Hardware: TPUv3. Other sizes: `--set model=L/16`, with the same numbers.
    """
    return Recipe(
        name="paper_imagenet",
        model=ViTConfig.of("B/16", activation="gelu_tanh", representation_size=768, dropout=0.1),
        epochs=300,
        batch_size=4096,
        data=Data(source="tfds:imagenet2012", validation=0.01),
        augmentation=_CROPS_AND_FLIPS,
        optimizer=Optimizer(learning_rate=3e-3, weight_decay=0.3, clip_norm=1.0),
        schedule=Schedule(kind="cosine", warmup="10000 steps"),
    )


def paper_imagenet21k() -> Recipe:
    """ViT-B/16 on ImageNet-21k, 90 epochs (arXiv 2010.11929).

        keras-vit train imagenet21k/ --recipe paper_imagenet21k

    Table 3: Adam (0.9, 0.999), batch 4096, rate 1e-3, linear, 10,000 steps of warm-up, weight decay
    0.03, dropout 0.1, no clipping. From the authors (issue 2 of google-research/
    vision_transformer): the rate ends at 1e-5, a tanh layer of 768 before the head, and the bias of
    the head starts from -10. Of the loss nothing is said there; such a bias starts a sigmoid over
    21,843 classes near their frequency.

    Published, after fine-tuning at 384 pixels (table 5): ImageNet 83.97 %, CIFAR-10 98.95 %,
    CIFAR-100 91.67 %. Hardware: TPUv3.
    """
    return Recipe(
        name="paper_imagenet21k",
        model=ViTConfig.of(
            "B/16",
            num_classes=21_843,
            activation="gelu_tanh",
            representation_size=768,
            head_bias=-10.0,
            dropout=0.1,
        ),
        epochs=90,
        batch_size=4096,
        data=Data(source="imagenet21k"),
        augmentation=_CROPS_AND_FLIPS,
        objective=Classify(loss="sigmoid"),
        optimizer=Optimizer(learning_rate=1e-3, weight_decay=0.03, clip_norm=None),
        schedule=Schedule(kind="linear", warmup="10000 steps", final=0.01),
    )
