# SPDX-License-Identifier: MIT
"""From a recipe to a trained model."""

from keras_vit.training.callbacks import Interrupted as Interrupted
from keras_vit.training.callbacks import NonFiniteLoss as NonFiniteLoss
from keras_vit.training.candidates import ExportOptions as ExportOptions
from keras_vit.training.delivery import export_run as export_run
from keras_vit.training.trainer import Run as Run
from keras_vit.training.trainer import train as train
