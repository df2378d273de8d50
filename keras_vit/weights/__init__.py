# SPDX-License-Identifier: MIT
"""Foreign checkpoints <-> our variables: one adapter per family, and one registry of them.

Names load on first use: inspecting a file, and converting it to a foreign dialect, need NumPy but
not Keras.
"""

from typing import TYPE_CHECKING

from keras_vit.lazy import attributes

if TYPE_CHECKING:
    from keras_vit.weights.adapter import Adapter as Adapter
    from keras_vit.weights.inspection import inspect as inspect
    from keras_vit.weights.load import load_model as load_model
    from keras_vit.weights.options import LoadOptions as LoadOptions
    from keras_vit.weights.parity.certificate import certify as certify
    from keras_vit.weights.registry import register as register
    from keras_vit.weights.registry import unregister as unregister
    from keras_vit.weights.saving import convert as convert
    from keras_vit.weights.saving import save as save
    from keras_vit.weights.source import open_source as open_source

_HOME = {
    "Adapter": "adapter",
    "LoadOptions": "options",
    "certify": "parity.certificate",
    "convert": "saving",
    "inspect": "inspection",
    "load_model": "load",
    "open_source": "source",
    "register": "registry",
    "save": "saving",
    "unregister": "registry",
}
if not TYPE_CHECKING:  # a type checker tells who misspells a name
    __getattr__, __dir__ = attributes(__name__, _HOME)
