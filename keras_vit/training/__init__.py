# SPDX-License-Identifier: MIT
"""From a recipe to a trained model."""

from keras_vit.training.candidates import ExportOptions as ExportOptions
from keras_vit.training.delivery import export_run as export_run
from keras_vit.training.exceptions import Interrupted as Interrupted
from keras_vit.training.exceptions import NonFiniteLoss as NonFiniteLoss
from keras_vit.training.exceptions import Stopped as Stopped
from keras_vit.training.exceptions import TimeIsUp as TimeIsUp
from keras_vit.training.exceptions import WriteFailed as WriteFailed
from keras_vit.training.rehearsal import Rehearsal as Rehearsal
from keras_vit.training.rehearsal import rehearse as rehearse
from keras_vit.training.session import Session as Session
from keras_vit.training.trainer import Run as Run
from keras_vit.training.trainer import resume as resume
from keras_vit.training.trainer import train as train
