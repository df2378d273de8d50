# SPDX-License-Identifier: MIT
"""What happens to training images, per image and per batch, each a function of its seed alone.

Every idea has its file: boxes that are cut out, pasted or erased; geometry; pixel values; the
policies that draw among those, with their tables; and the mixing of batches. Operations of pixel
values are functions on one image, as in tf.image; Keras' own layers act on a batch, with one
operation for all of it, and are slower (benchmarks/README.md).
"""

import tensorflow as tf

from keras_vit.data.pipeline.augmentation.boxes import random_erasing
from keras_vit.data.pipeline.augmentation.policies import apply_policy, color_jitter
from keras_vit.recipes import Augmentation

_POLICY, _JITTER, _ERASING = 1, 2, 3  # keep the draws of one image apart


def works_on_bytes(plan: Augmentation) -> bool:
    """Whether images are rounded to uint8 after they are resized, as Pillow does."""
    return plan.policy != "none" or plan.color_jitter > 0


def augment(image, plan: Augmentation, seed):
    """Augments one image that has been cropped already.

    Args:
        image: `(height, width, channels)` with a known shape, 0 to 255; uint8 where
            `works_on_bytes`, else uint8 or float32.
        plan: what to do.
        seed: int32 `(2,)`; the same seed gives the same result.

    Returns:
        The same shape and type, but float32 where there is erasing.
    """
    if plan.flip:
        flip_seed = tf.random.split(seed, 2)[1]  # the other one places the crop
        image = tf.image.stateless_random_flip_left_right(image, flip_seed)
    if plan.policy != "none":
        image = apply_policy(image, plan, tf.random.fold_in(seed, _POLICY))
    if plan.color_jitter:
        image = color_jitter(image, plan.color_jitter, tf.random.fold_in(seed, _JITTER))
    if plan.erasing:
        image = tf.cast(image, tf.float32)
        image = random_erasing(image, plan.erasing, tf.random.fold_in(seed, _ERASING))
    return image
