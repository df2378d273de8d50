# SPDX-License-Identifier: MIT
"""tf.data: from a split to batches of (pixels, one-hot labels).

The order is a function of (seed, epoch) and the augmentation of (seed, epoch, index), so that a run
can be repeated and continued. Every data set has a known cardinality: without one, Keras on
TensorFlow counts a step too many in each epoch, and the learning rate drifts.
"""

import tensorflow as tf

from keras_vit.data.augmentation import augment, mixup
from keras_vit.data.image_set import Split
from keras_vit.recipes import Augmentation

_MIXUP = 0x6D697875  # keeps the draws of batches apart from those of images


def training_batches(
    split: Split,
    num_classes: int,
    size: tuple[int, int],
    channels: int,
    batch_size: int,
    epochs: int,
    seed: int,
    augmentation: Augmentation,
    crop: float = 1.0,
    first_step: int = 0,
) -> tuple[tf.data.Dataset, int]:
    """All batches of a training run, epoch after epoch.

    Args:
        split: examples.
        num_classes: length of a one-hot label.
        size: height and width of the images in pixels.
        channels: 1 or 3.
        batch_size: examples in a batch; a smaller split gives smaller batches.
        epochs: passes over the split; what does not fill a batch is left out of its epoch.
        seed: seed of order and augmentation.
        augmentation: what happens to each image.
        crop: see `evaluation_batches`; not with an inception crop.
        first_step: batches to leave out at the start, without reading their images.

    Returns:
        The data set of float32 `(batch, *size, channels)`, 0 to 255, and float32
        `(batch, num_classes)`; and the number of batches in an epoch.
    """
    batch_size = min(batch_size, len(split))
    steps = len(split) // batch_size
    read = _reader(split, channels)

    def indices(epoch):
        keys = tf.random.stateless_uniform([len(split)], [seed, epoch], dtype=tf.float64)
        order = tf.argsort(keys)[: steps * batch_size]
        order = tf.cast(order, tf.int64)
        return tf.data.Dataset.from_tensor_slices((tf.fill(tf.shape(order), epoch), order))

    def example(epoch, index):
        image = read(index)
        if augmentation.crop != "inception":
            image = resize_to_fit(image, size, crop)
        key = tf.random.fold_in(
            tf.stack([tf.cast(seed, tf.int32), tf.cast(epoch, tf.int32)]), index
        )
        image = augment(image, augmentation, size, key)
        return tf.ensure_shape(image, (*size, channels)), _one_hot(split, index, num_classes)

    def mixed(step, batch):
        key = tf.stack([tf.cast(seed, tf.int32) ^ _MIXUP, tf.cast(step, tf.int32)])
        return mixup(*batch, augmentation.mixup, key)

    dataset = tf.data.Dataset.range(first_step // steps, epochs).flat_map(indices)
    dataset = dataset.skip(first_step % steps * batch_size)
    dataset = dataset.map(example, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    dataset = dataset.batch(batch_size, drop_remainder=True)
    if augmentation.mixup:
        dataset = dataset.enumerate(first_step).map(mixed, num_parallel_calls=tf.data.AUTOTUNE)
    left = steps * epochs - first_step
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(left))
    return dataset.prefetch(tf.data.AUTOTUNE), steps


def evaluation_batches(
    split: Split,
    num_classes: int,
    size: tuple[int, int],
    channels: int,
    batch_size: int,
    crop: float = 1.0,
) -> tf.data.Dataset:
    """Every example once, in order.

    Args:
        split, num_classes, size, channels, batch_size: see `training_batches`; the last batch may
        be
            smaller.
        crop: share of the largest centred box of the right aspect ratio that is kept, above 0 to 1.

    Returns:
        A data set of float32 pixels, 0 to 255, and float32 one-hot labels.
    """
    read = _reader(split, channels)

    def example(index):
        image = resize_to_fit(read(index), size, crop)
        return tf.ensure_shape(image, (*size, channels)), _one_hot(split, index, num_classes)

    dataset = tf.data.Dataset.range(len(split))
    dataset = dataset.map(example, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    return dataset.batch(batch_size).prefetch(tf.data.AUTOTUNE)


def resize_to_fit(image, size: tuple[int, int], crop: float):
    """Crops the centre and resizes; the TensorFlow form of
    `keras_vit.data.images.resize_to_fit`."""
    if crop == 1.0 and image.shape[:2] == size:
        return image
    shape = tf.shape(image)
    extent = tf.cast(shape[:2], tf.float64)  # float64, as in Python: both must round alike
    wanted = tf.constant(size, tf.float64)
    scale = tf.reduce_min(extent / wanted) * crop
    box = tf.cast(tf.round(wanted * scale), tf.int32)
    box = tf.clip_by_value(box, 1, shape[:2])
    corner = (shape[:2] - box) // 2
    channels = image.shape[-1]
    image = tf.slice(image, tf.concat([corner, [0]], 0), tf.concat([box, [channels]], 0))
    image = tf.cond(
        tf.reduce_all(box == size),
        lambda: image,
        lambda: tf.image.resize(image, size, antialias=True),
    )
    return tf.ensure_shape(image, (*size, channels))


def _reader(split: Split, channels: int):
    """Makes the function from an index to a float32 image of any size, upright."""
    if split.arrays is not None:
        arrays = tf.constant(split.arrays)

        def read(index):
            return tf.cast(_with_channels(tf.gather(arrays, index), channels), tf.float32)

    elif split.encoded is not None:
        encoded = tf.constant(split.encoded)

        def read(index):
            return tf.cast(decode(tf.gather(encoded, index), channels), tf.float32)

    else:
        paths, orientations = tf.constant(split.paths), tf.constant(split.orientation)
        rotated = bool(
            (split.orientation != 1).any()
        )  # most sets have none: spare them the branches

        def read(index):
            image = decode(tf.io.read_file(tf.gather(paths, index)), channels)
            if rotated:
                image = upright(image, tf.gather(orientations, index))
            return tf.cast(tf.ensure_shape(image, [None, None, channels]), tf.float32)

    return read


def decode(contents, channels: int):
    """Decodes a JPEG, PNG, BMP, GIF (first frame) or WebP file to uint8 `(height, width,
    channels)`."""

    def jpeg():
        # The default DCT of TensorFlow is the fast one; the accurate one gives Pillow's pixels.
        return tf.io.decode_jpeg(contents, channels=3, dct_method="INTEGER_ACCURATE")

    def other():
        return tf.io.decode_image(contents, channels=3, expand_animations=False)

    image = tf.cond(tf.io.is_jpeg(contents), jpeg, other)
    image.set_shape([None, None, 3])
    return _with_channels(image, channels)


def upright(image, orientation):
    """Undoes an EXIF orientation, 1 to 8: first mirror, then rotate."""
    orientation = tf.cast(orientation, tf.int32)
    mirrored = tf.reduce_any(orientation == tf.constant([2, 4, 5, 7]))
    image = tf.cond(mirrored, lambda: tf.image.flip_left_right(image), lambda: image)
    # Quarter turns, counter-clockwise, for orientation 1 to 8.
    turns = tf.gather(tf.constant([0, 0, 0, 2, 2, 1, 3, 3, 1]), orientation)
    return tf.image.rot90(image, turns)


def _with_channels(image, channels: int):
    have = image.shape[-1]
    if have == channels:
        return image
    if have == 1:
        return tf.repeat(image, channels, axis=-1)
    # The weights of ITU-R 601 in the whole numbers that Pillow uses, so that greys are equal.
    weights = tf.constant([19595, 38470, 7471], tf.int32)
    grey = (tf.reduce_sum(tf.cast(image[..., :3], tf.int32) * weights, axis=-1) + 32768) // 65536
    return tf.cast(grey, tf.uint8)[..., None]


def _one_hot(split: Split, index, num_classes: int):
    return tf.one_hot(tf.gather(tf.constant(split.labels), index), num_classes)
