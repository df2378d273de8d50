# SPDX-License-Identifier: MIT
"""From a recipe to a trained model."""

from typing import TYPE_CHECKING

from keras_vit.lazy import attributes

if TYPE_CHECKING:
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

_HOME = {
    "Interrupted": "exceptions",
    "NonFiniteLoss": "exceptions",
    "Stopped": "exceptions",
    "TimeIsUp": "exceptions",
    "WriteFailed": "exceptions",
    "Rehearsal": "rehearsal",
    "rehearse": "rehearsal",
    "Session": "session",
    "Run": "trainer",
    "resume": "trainer",
    "train": "trainer",
}
# A compiled model that Keras reads needs the optimizers, and nothing of what training brings.
__getattr__, __dir__ = attributes(__name__, _HOME)
