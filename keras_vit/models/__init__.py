# SPDX-License-Identifier: MIT
"""Layers wired into functional graphs."""

from keras_vit.models.complexity import forward_flops as forward_flops
from keras_vit.models.vit import blocks as blocks
from keras_vit.models.vit import config_of as config_of
from keras_vit.models.vit import vit as vit
