# SPDX-License-Identifier: MIT
"""SavedModel."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import keras
import tensorflow as tf
from tensorflow.core.protobuf.fingerprint_pb2 import FingerprintDef

from keras_vit.export.folding import Folded, folded_weights
from keras_vit.export.forward import forward
from keras_vit.export.metadata import Metadata
from keras_vit.export.tensorflow_ops import TensorFlowOps
from keras_vit.files import replacing

_TOP_K = 5


def to_saved_model(
    model: keras.Model | Folded,
    path: str | os.PathLike,
    metadata: Metadata | None = None,
    read: Callable | None = None,
) -> Path:
    """Writes a SavedModel that `tf.saved_model.load` and TF Serving run without keras_vit or Keras.

    Signatures, each with a dynamic batch; `pixels` are `(batch, height, width, channels)`, 0 to
    255:

    * `serving_default` and `serve`: `pixels`, float32, to `logits`, float32 `(batch, classes)`;
    * `serving_uint8`: the same from uint8;
    * `features`: `pixels`, float32, to `features`, the representation before the head;
    * `attention`: `pixels`, float32, to `attention`, float32 `(batch, heads, tokens, tokens)`, the
      weights of the last block; not of a model that merges tokens;
    * `serve_bytes`, with `read` and labels: `image_bytes`, string `(batch,)`, the contents of
      image files, to the up to five most probable `classes`, string `(batch, k)`, their `scores`,
      0 to 1, and `indices`, int32, and `valid`, bool `(batch,)`. A file that cannot be read has
      `valid` false, scores of 0, empty classes and indices of -1, and leaves the others alone.

    Args:
        model: a model built by `keras_vit.vit`, float32, or what `fold` made of it; with token
            merging `fold(model).merging(share)`.
        path: the folder to make; it must not exist, or be empty.
        metadata: labels and input size, kept in the folder's `assets.extra`.
        read: turns the bytes of one file into pixels in a TensorFlow graph:
            `keras_vit.data.read_encoded`.

    Returns:
        The path.
    """
    folded = folded_weights(model)
    module = exported_module(folded)
    signatures = _pixel_signatures(module, folded)
    if read is not None and metadata is not None and folded.config.num_classes:
        signatures["serve_bytes"] = _bytes_signature(module, folded, metadata, read)
    module.serve = signatures["serve"]  # a function of the loaded object too
    with replacing(path) as temporary:
        try:
            tf.saved_model.save(module, str(temporary), signatures=signatures)
        except tf.errors.OpError as error:  # a full disk, in TensorFlow's words
            reason = error.message.splitlines()[0].rpartition("; ")[-1]
            raise OSError(errno.EIO, f"cannot be written ({reason})", str(path)) from error
        _name_by_contents(Path(temporary) / "fingerprint.pb")
        if metadata is not None:
            metadata.write_into(temporary)
    return Path(path)


def _name_by_contents(file: Path) -> None:
    """Replaces TensorFlow's random identifier, so that equal runs write equal files."""
    fingerprint = FingerprintDef.FromString(file.read_bytes())
    fingerprint.uuid = f"{fingerprint.saved_model_checksum:016x}"
    file.write_bytes(fingerprint.SerializeToString(deterministic=True))


def exported_module(folded: Folded) -> tf.Module:
    """The folded weights as variables of a plain module.

    Not a Keras object: `keras.export.ExportArchive` stores each variable twice, and the LiteRT
    converter loses the variables of a Keras model without a word.
    """
    module = tf.Module()
    module.weights = {name: tf.Variable(array) for name, array in folded.weights.items()}
    return module


def _pixel_signatures(module: tf.Module, folded: Folded) -> dict:
    config, ops = folded.config, TensorFlowOps(module.weights)
    shape = (None, *config.image_size, config.channels)

    def signature(output, dtype=tf.float32):
        # Without AutoGraph, which would rewrite all of `forward`: nothing there depends on tensors.
        @tf.function(input_signature=[tf.TensorSpec(shape, dtype, name="pixels")], autograph=False)
        def serve(pixels):
            return forward(ops, config, tf.cast(pixels, tf.float32), (output,), folded.merge)

        return serve

    logits = signature("logits")
    signatures = {
        "serving_default": logits,
        "serve": logits,
        "serving_uint8": signature("logits", tf.uint8),
        "features": signature("features"),
    }
    if not folded.merge:  # merged patches have no place in the image
        signatures["attention"] = signature("attention")
    return signatures


def _bytes_signature(module: tf.Module, folded: Folded, metadata: Metadata, read: Callable):
    config, ops = folded.config, TensorFlowOps(module.weights)
    labels = tf.constant(metadata.labels)
    preprocessing = metadata.preprocessing
    top_k = min(_TOP_K, config.num_classes)
    probabilities = tf.sigmoid if metadata.task == "multi" else tf.nn.softmax

    @tf.function(
        input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")], autograph=False
    )
    def serve_bytes(image_bytes):
        pixels, valid = _read_batch(
            image_bytes,
            lambda contents: read(contents, preprocessing),
            preprocessing.shape,
        )
        logits = forward(ops, config, pixels, merge=folded.merge)["logits"]
        scores, indices = tf.math.top_k(probabilities(logits), top_k)
        each = valid[:, None]
        return {
            "classes": tf.where(each, tf.gather(labels, indices), ""),
            "scores": tf.where(each, scores, 0.0),
            "indices": tf.where(each, indices, -1),
            "valid": valid,
        }

    return serve_bytes


def _read_batch(image_bytes, read: Callable, shape: tuple[int, int, int]):
    """Pixels of every file, zeros for one that cannot be read, and which could be.

    Decoders raise, and an error inside `tf.map_fn` is one of the whole batch. A tf.data pipeline
    can leave a failing element out; its neighbours know their place by their number.
    """
    count = tf.size(image_bytes, tf.int64)
    images = tf.data.Dataset.from_tensor_slices(image_bytes).enumerate()
    images = images.map(lambda i, contents: (i, read(contents)), tf.data.AUTOTUNE)
    images = images.ignore_errors()
    # One more after the last, so that there is a batch even if no file can be read.
    images = images.concatenate(tf.data.Dataset.from_tensors((count, tf.zeros(shape))))
    places, pixels = images.batch(count + 1).get_single_element()
    places = places[:, None]
    pixels = tf.scatter_nd(places, pixels, tf.stack([count + 1, *shape]))[:-1]
    found = tf.scatter_nd(places, tf.ones_like(places[:, 0]), count[None] + 1)[:-1]
    return tf.ensure_shape(pixels, (None, *shape)), found > 0
