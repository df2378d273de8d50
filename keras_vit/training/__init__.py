# SPDX-License-Identifier: MIT
"""From a recipe to a trained model."""

from typing import TYPE_CHECKING

from keras_vit.lazy import attributes

if TYPE_CHECKING:
    from keras_vit.training.dry_run import DryRun as DryRun
    from keras_vit.training.dry_run import dry_run as dry_run
    from keras_vit.training.exceptions import Interrupted as Interrupted
    from keras_vit.training.exceptions import NonFiniteLoss as NonFiniteLoss
    from keras_vit.training.exceptions import ProcessLost as ProcessLost
    from keras_vit.training.exceptions import Stopped as Stopped
    from keras_vit.training.exceptions import TimeIsUp as TimeIsUp
    from keras_vit.training.exceptions import WriteFailed as WriteFailed
    from keras_vit.training.options import RunOptions as RunOptions
    from keras_vit.training.train import Run as Run
    from keras_vit.training.train import resume as resume
    from keras_vit.training.train import train as train

_HOME = {
    "DryRun": "dry_run",
    "dry_run": "dry_run",
    "Interrupted": "exceptions",
    "NonFiniteLoss": "exceptions",
    "ProcessLost": "exceptions",
    "Stopped": "exceptions",
    "TimeIsUp": "exceptions",
    "WriteFailed": "exceptions",
    "RunOptions": "options",
    "Run": "train",
    "resume": "train",
    "train": "train",
}
# A compiled model that Keras reads needs the optimizers, and nothing of what training brings.
if not TYPE_CHECKING:  # a type checker tells who misspells a name
    __getattr__, __dir__ = attributes(__name__, _HOME)
