# SPDX-License-Identifier: MIT
"""Layers wired into functional graphs."""

from keras_vit.models.masked_autoencoder import MaskedAutoencoder as MaskedAutoencoder
from keras_vit.models.masked_autoencoder import num_visible as num_visible
from keras_vit.models.vit import ViT as ViT
from keras_vit.models.vit import blocks as blocks
from keras_vit.models.vit import check_plain as check_plain
from keras_vit.models.vit import config_of as config_of
from keras_vit.models.vit import vit as vit
