# SPDX-License-Identifier: MIT
"""Foreign checkpoints <-> our variables, by one two-way table per dialect.

Names load on first use: inspecting a file, and converting it to a foreign dialect, need NumPy but
not Keras.
"""

from typing import TYPE_CHECKING

from keras_vit.lazy import attributes

if TYPE_CHECKING:
    from keras_vit.weights.conversion import convert as convert
    from keras_vit.weights.inspection import inspect as inspect
    from keras_vit.weights.load import load_model as load_model
    from keras_vit.weights.parity.certificate import certify as certify
    from keras_vit.weights.saving import save as save
    from keras_vit.weights.source import open_source as open_source

_HOME = {
    "convert": "conversion",
    "inspect": "inspection",
    "load_model": "load",
    "certify": "parity.certificate",
    "save": "saving",
    "open_source": "source",
}
__getattr__, __dir__ = attributes(__name__, _HOME)
