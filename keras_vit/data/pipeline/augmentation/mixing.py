# SPDX-License-Identifier: MIT
"""MixUp and CutMix: a batch mixed with itself, labels alike."""

import tensorflow as tf

from keras_vit.data.pipeline.augmentation.boxes import paste
from keras_vit.recipes import Augmentation


def mixes(plan: Augmentation) -> bool:
    """Whether batches are mixed at all."""
    return plan.mix_prob > 0 and (plan.mixup > 0 or plan.cutmix > 0)


def mix(images, labels, plan: Augmentation, seed):
    """MixUp, CutMix, or neither, as `plan` says.

    Args:
        images: float32 `(batch, height, width, channels)`.
        labels: float32 `(batch, classes)`.
        plan: with `mixup` or `cutmix` above 0.
        seed: int32 `(2,)`.

    Returns:
        Images and labels of the same shapes.
    """

    def blended():
        return mixup(images, labels, plan.mixup, seed, plan.mixup_form)

    def patched():
        return cutmix(images, labels, plan.cutmix, tf.random.fold_in(seed, 1))

    switch, apply = tf.unstack(tf.random.stateless_uniform([2], tf.random.fold_in(seed, 2)))

    def mixed():
        if plan.mixup and plan.cutmix:
            return tf.cond(switch < plan.switch_prob, patched, blended)
        return blended() if plan.mixup else patched()

    if plan.mix_prob == 1:
        return mixed()
    return tf.cond(apply < plan.mix_prob, mixed, lambda: (images, labels))


def mixup(images, labels, strength: float, seed, form: str = "big_vision"):
    """Blends each image with another one of its batch (arXiv 1710.09412).

    Args:
        images, labels: see `mix`.
        strength: p of Beta(p, p), from which one share is drawn for the batch.
        seed: int32 `(2,)`.
        form: "big_vision": the larger of the share and its complement stays with the image, the
            rest is the image before; "deit": the share stays, the rest is the image at the same
            place of the reversed batch.

    Returns:
        Images and labels of the same shapes.
    """
    share = _beta(strength, seed, larger=form == "big_vision")

    def blend(x):
        # The image before (the first has the last), or the one at the same place from the end.
        other = tf.roll(x, 1, axis=0) if form == "big_vision" else _reversed(x)
        return share * x + (1 - share) * other

    return blend(images), blend(labels)


def cutmix(images, labels, strength: float, seed):
    """Replaces a box by that of the reversed batch (arXiv 1905.04899, section 3.1).

    The box has the aspect ratio of the image and its centre anywhere in it, and is cut off at its
    edges; labels are mixed by the area that is left.

    Args:
        images, labels: see `mix`.
        strength: p of Beta(p, p), from which the share of the image that stays is drawn.
        seed: int32 `(2,)`.

    Returns:
        Images and labels of the same shapes.
    """
    share_seed, place_seed = tf.unstack(tf.random.split(seed, 2))
    side = tf.sqrt(1 - _beta(strength, share_seed))
    place = tf.random.stateless_uniform([2], place_seed)

    sides = tf.constant(tuple(images.shape[1:3]), tf.float32)  # height, width
    half, centre = tf.floor(side * sides) // 2, tf.floor(place * sides)
    begin = tf.cast(tf.maximum(centre - half, 0.0), tf.int32)
    end = tf.cast(tf.minimum(centre + half, sides), tf.int32)
    box = tf.concat([begin, end - begin], 0)  # top, left, height, width
    patch = images[:, begin[0] : end[0], begin[1] : end[1]]  # (batch, ..., ..., channels)
    replaced = tf.cast((end - begin)[0] * (end - begin)[1], tf.float32) / tf.reduce_prod(sides)
    labels = (1 - replaced) * labels + replaced * _reversed(labels)
    return paste(images, _reversed(patch), box), labels


def _reversed(batch):
    """The last image first. To gather images copies them whole; `tf.reverse` is slower."""
    return tf.gather(batch, tf.range(tf.shape(batch)[0])[::-1])


def _beta(strength: float, seed, larger: bool = False):
    """A draw from Beta(p, p), or the larger of it and its complement."""
    # A Beta is what two Gammas have in common.
    first, second = tf.unstack(tf.random.stateless_gamma([2], seed, strength))
    kept = tf.maximum(first, second) if larger else first
    share = tf.math.divide_no_nan(kept, first + second)
    return tf.where(first + second > 0, share, 1.0)  # both can underflow when p is small
