# SPDX-License-Identifier: MIT
"""What a masked autoencoder paints."""

import keras
import numpy as np

from keras_vit.models import MaskedAutoencoder


def reconstruct(model: MaskedAutoencoder, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Hides patches of images and lets the model paint them.

    Where the model predicts normalised patches, each gets back the mean and deviation of the true
    one, as in the pictures of the paper: its contrast and color are not the model's own work.

    Args:
        model: a trained autoencoder.
        images: `(n, height, width, channels)`, 0 to 255.

    Returns:
        The images with grey instead of the hidden patches, and with the predicted pixels there;
        float32 of the same shape, 0 to 255.
    """
    encoder = model.encoder
    patches_of = encoder.get_layer("patches")
    images = np.asarray(images, "float32")
    result = {name: _numpy(value) for name, value in model(images, training=False).items()}
    painted, masked = result["patches"], result["masked"][..., None] == 1
    seen = _numpy(patches_of(encoder.get_layer("rescaling")(images)))
    if model.normalize:
        deviation = np.sqrt(seen.var(axis=-1, keepdims=True))
        painted = painted * deviation + seen.mean(axis=-1, keepdims=True)
    rescaling, patch_size = encoder.get_layer("rescaling"), patches_of.patch_size
    painted = _pixels(np.where(masked, painted, seen), images.shape, patch_size)
    painted = (painted - np.asarray(rescaling.offset)) / np.asarray(rescaling.scale)
    hidden = _pixels(np.broadcast_to(masked, seen.shape), images.shape, patch_size)
    return np.where(hidden, np.float32(127.5), images), np.clip(painted, 0, 255).astype("float32")


def _pixels(patches: np.ndarray, shape: tuple[int, ...], patch: tuple[int, int]) -> np.ndarray:
    """The inverse of the layer `Patches`."""
    n, height, width, channels = shape
    x = patches.reshape(n, height // patch[0], width // patch[1], *patch, channels)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(shape)


def _numpy(tensor) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(tensor))
