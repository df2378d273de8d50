# SPDX-License-Identifier: MIT
"""tf.data: from a split to batches of (pixels, one-hot labels).

The order is a function of (seed, epoch) and the augmentation of (seed, epoch, index), so that a run
can be repeated and continued. Every data set has a known cardinality: without one, Keras on
TensorFlow counts a step too many in each epoch, and the learning rate drifts.

No function here branches or loops over tensors in Python, so that AutoGraph, which would read and
rewrite all that they call, is kept out: that took longer than the rest up to the first batch.
"""

import numpy as np
import tensorflow as tf

from keras_vit.data.dataset import Split
from keras_vit.data.pipeline.augmentation import augment, works_on_bytes
from keras_vit.data.pipeline.augmentation.boxes import (
    crop_seed,
    inception_box,
    padded_crop,
    rounded,
)
from keras_vit.data.pipeline.augmentation.mixing import mix, mixes
from keras_vit.data.pipeline.parallel import ahead, mapped
from keras_vit.data.pipeline.reading import prepared, reader, with_contents
from keras_vit.data.pipeline.resampling import resampled
from keras_vit.preprocessing import Preprocessing
from keras_vit.recipes import Augmentation

_MIX = 0x6D697875  # keeps the draws of batches apart from those of images
_as_written = tf.autograph.experimental.do_not_convert


def training_batches(
    split: Split,
    num_classes: int,
    preprocessing: Preprocessing,
    batch_size: int,
    epochs: int,
    seed: int,
    augmentation: Augmentation,
    cache: str = "none",
    first_step: int = 0,
    share: tuple[int, int] = (0, 1),
) -> tuple[tf.data.Dataset, int]:
    """All batches of a training run, epoch after epoch.

    Args:
        split: examples.
        num_classes: length of a one-hot label.
        preprocessing: size and channels of the images; its crop is not for an inception crop.
        batch_size: examples in a batch; a smaller split gives smaller batches.
        epochs: passes over the split; what does not fill a batch is left out of its epoch.
        seed: seed of order and augmentation.
        augmentation: what happens to each image. With r `repeats`, a batch shows its first
            ceil(batch_size / r) images, then the same ones again until it is full, each time
            augmented otherwise; an epoch shows (steps * that) different images.
        cache: whether images stay in memory (see `keras_vit.recipes.Data`); changes no pixel.
        first_step: batches to leave out at the start, without reading their images.
        share: `(index, count)` where `count` processes read the same batches, each its part of
            each one: this one has the part `index`. The order is that of one process; a mixer
            mixes within a part.

    Returns:
        The data set of pixels, float32 `(batch, height, width, channels)`, 0 to 255, and labels,
        float32 `(batch, num_classes)`; and the number of batches in an epoch.
    """
    batch_size = min(batch_size, len(split))
    steps, part_size = len(split) // batch_size, batch_size // share[1]
    cropped = _cropped(split, preprocessing, augmentation, cache)

    @_as_written
    def indices(epoch):
        order = _order(len(split), steps, batch_size, augmentation.repeats, seed, epoch)
        index, copy = (_part_of_batches(x, batch_size, share) for x in order)
        return tf.data.Dataset.from_tensor_slices((tf.fill(tf.shape(index), epoch), index, copy))

    @_as_written
    def example(epoch, index, copy):
        """One image `(height, width, channels)` and its label `(num_classes,)`."""
        key = tf.random.fold_in(
            tf.stack([tf.cast(seed, tf.int32), tf.cast(epoch, tf.int32)]), index
        )
        if augmentation.repeats > 1:
            key = tf.random.fold_in(key, copy)
        image = augment(cropped(index, key), augmentation, key)
        return tf.ensure_shape(image, preprocessing.shape), _one_hot(split, index, num_classes)

    @_as_written
    def finished(step, batch):
        return _mixed(*batch, augmentation, seed, step, share[0])

    # What is left out at the start are numbers: whole epochs, then examples of the first one.
    dataset = tf.data.Dataset.range(first_step // steps, epochs).flat_map(indices)
    dataset = dataset.skip(first_step % steps * part_size)
    dataset = mapped(dataset, example)
    dataset = dataset.batch(part_size, drop_remainder=True)
    left = steps * epochs - first_step
    dataset = mapped(dataset.enumerate(first_step), finished)
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(left))
    return ahead(dataset), steps


def _mixed(images, labels, augmentation: Augmentation, seed: int, step, part: int):
    """A batch, or the part of it that a process has, mixed with itself; `step` counts from the
    beginning of the run."""
    images = tf.cast(images, tf.float32)
    if not mixes(augmentation):
        return images, labels
    key = tf.stack([tf.cast(seed, tf.int32) ^ _MIX, tf.cast(step, tf.int32)])
    key = tf.random.fold_in(key, part) if part else key
    return mix(images, labels, augmentation, key)


def evaluation_batches(
    split: Split,
    num_classes: int,
    preprocessing: Preprocessing,
    batch_size: int,
    cache: str = "none",
    replicas: int = 1,
    share: tuple[int, int] = (0, 1),
) -> tf.data.Dataset:
    """Every example once, in order.

    Args:
        split, num_classes, batch_size, cache: see `training_batches`; the last batch may be
            smaller.
        preprocessing: what is made of each image.
        replicas: devices that divide each batch. Where the last one cannot be divided, it is filled
            with copies of the first example, and all batches have weights: 0 for the copies.
        share: see `training_batches`.

    Returns:
        A data set of float32 pixels, 0 to 255, float32 one-hot labels, and maybe float32 weights
        `(batch,)`, with which the mean over all batches is that over all examples.
    """
    count = len(split)
    copies = -(count % batch_size) % replicas
    mine = _evaluated(count + copies, batch_size, share)
    # A batch counts by its length, copies included, which the weights make up for.
    weights = np.where(mine < count, (count + copies) / count, 0).astype("float32")
    split = split.take(np.where(mine < count, mine, 0)) if len(mine) != count or copies else split
    image_of = prepared(split, preprocessing, cache, as_bytes=False)

    @_as_written
    def example(index, weight):
        pixels, label = tf.cast(image_of(index), tf.float32), _one_hot(split, index, num_classes)
        return (pixels, label, weight) if copies else (pixels, label)

    dataset = tf.data.Dataset.from_tensor_slices((np.arange(len(split)), weights))
    dataset = mapped(dataset, example)
    return ahead(dataset.batch(batch_size // share[1]))


def _evaluated(count: int, batch_size: int, share: tuple[int, int]) -> np.ndarray:
    """The places that one process evaluates, in order, int64 `(count / processes,)`."""
    starts = range(0, count, batch_size)
    batches = [np.arange(start, min(start + batch_size, count)) for start in starts]
    return np.concatenate([np.split(batch, share[1])[share[0]] for batch in batches])


def _part_of_batches(values, batch_size: int, share: tuple[int, int]):
    """Of values that stand batch after batch, those of one process, `(n / processes,)`."""
    index, count = share
    if count == 1:
        return values
    part = batch_size // count
    batches = tf.reshape(values, (-1, batch_size))
    return tf.reshape(batches[:, index * part : (index + 1) * part], [-1])


def _order(count: int, steps: int, batch_size: int, repeats: int, seed: int, epoch):
    """Which examples an epoch shows, batch after batch.

    Returns:
        Indices in the split, int64 `(steps * batch_size,)`, and as many numbers of the copy, int32:
        0, and 1, 2 ... of what a batch repeats.
    """
    # A random number for each example of the split; sorted, they are the order of the epoch.
    keys = tf.random.stateless_uniform([count], [seed, epoch], dtype=tf.float64)
    order = tf.cast(tf.argsort(keys), tf.int64)  # place in the epoch -> index in the split
    images_in_batch = -(-batch_size // repeats)  # different ones, rounded up
    step, position = tf.meshgrid(tf.range(steps), tf.range(batch_size), indexing="ij")
    # (steps, batch_size): each batch takes the next `images_in_batch` places, and begins with them
    # again until it is full.
    place = tf.reshape(step * images_in_batch + position % images_in_batch, [-1])
    copy = tf.reshape(position // images_in_batch, [-1])
    return tf.gather(order, place), copy


def _cropped(split: Split, preprocessing: Preprocessing, plan: Augmentation, cache: str):
    """Makes the function from an index and a seed to an image of `size`, uint8 or float32."""
    as_bytes, size = works_on_bytes(plan), preprocessing.image_size
    if plan.crop == "inception":
        read = reader(with_contents(split, cache), preprocessing.channels)

        def inception(index, seed):
            def box_of(shape):
                return inception_box(shape, plan.min_area, crop_seed(seed))

            image = resampled(read(index, box_of, size), size, plan.interpolation)
            return rounded(image) if as_bytes else image

        return inception

    image_of = prepared(split, preprocessing, cache, as_bytes)
    if plan.crop == "pad":
        return lambda index, seed: padded_crop(image_of(index), plan.pad, size, crop_seed(seed))
    return lambda index, seed: image_of(index)


def _one_hot(split: Split, index, num_classes: int):
    label = tf.gather(tf.constant(split.labels), index)  # (), or (num_classes,)
    if split.labels.ndim == 2:  # already one place for each class
        return tf.cast(label, tf.float32)
    return tf.one_hot(label, num_classes)
