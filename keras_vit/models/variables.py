# SPDX-License-Identifier: MIT
"""The variables of a Keras model under our paths."""

from typing import Any

import keras

from keras_vit.config.variables import shapes
from keras_vit.errors import UserError
from keras_vit.models.vit import check_plain, config_of


def variables_of(model: keras.Model) -> dict[str, Any]:
    """The variables of a model that `vit` built, by path; a kernel with a LoRA adapter is the
    tensor that the two amount to.

    Raises:
        UserError: when they are not those of its configuration.
    """
    expected = shapes(config_of(model))
    check_plain(model)
    found = {variable.path: variable for variable in model.weights if "/lora_" not in variable.path}
    if found.keys() != expected.keys():
        odd = sorted(found.keys() ^ expected.keys())
        raise UserError(f"expected a model built by keras_vit.vit; these differ: {odd[:6]}.")
    for layer in model._flatten_layers():
        if getattr(layer, "lora_enabled", False):
            found[f"{layer.path}/kernel"] = layer.kernel
    return found
