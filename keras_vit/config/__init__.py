# SPDX-License-Identifier: MIT
"""What a Vision Transformer is, as data: the command line lists and counts models without Keras."""

from keras_vit.config.checks import pair as pair
from keras_vit.config.variants import HYBRIDS as HYBRIDS
from keras_vit.config.variants import VARIANTS as VARIANTS
from keras_vit.config.variants import variant_names as variant_names
from keras_vit.config.vit_config import ViTConfig as ViTConfig
