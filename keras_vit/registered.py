# SPDX-License-Identifier: MIT
"""The classes of ours that Keras meets in files, known to it before their modules are imported.

Keras finds a class of a `.keras` file among its custom objects, where a class enters itself when
its module is imported. Ours are imported on first use, so that `import keras_vit` does not import
Keras; a stand-in takes the place of each class until then.
"""

import importlib
import sys
from typing import Any

# class: the module that defines it; a test compares them with the classes that enter themselves.
REGISTERED = {
    "Attention": "layers.attention",
    "AttentionPool": "layers.pooling",
    "FeedForward": "layers.feed_forward",
    "LayerScale": "layers.layer_scale",
    "RMSNorm": "layers.norms",
    "PatchDropout": "layers.patch_dropout",
    "PatchEncoder": "layers.patch_encoder",
    "Patches": "layers.patches",
    "RelativePositionBias": "layers.relative_position",
    "RotaryEmbedding": "layers.rotary",
    "StandardizedConv2D": "layers.resnet_stem",
    "BottleneckUnit": "layers.resnet_stem",
    "ResNetStem": "layers.resnet_stem",
    "StochasticDepth": "layers.stochastic_depth",
    "TokenPool": "layers.pooling",
    "TransformerBlock": "layers.transformer_block",
    "MaskedAutoencoder": "models.masked_autoencoder",
    "ViT": "models.vit",
    "WeightedCrossEntropy": "training.objectives.classify",
    "AdamW": "training.optimizers",
    "SGD": "training.optimizers",
    "Lamb": "training.optimizers",
    "Lion": "training.optimizers",
    "Adafactor": "training.optimizers",
    "Muon": "training.optimizers",
    "WarmupAndDecay": "training.schedules",
    "Restart": "training.schedules",
}


def register() -> None:
    """Tells Keras, which has been imported, of every class; the class itself replaces its
    stand-in."""
    known = sys.modules["keras"].saving.get_custom_objects()
    for name, module in REGISTERED.items():
        known.setdefault(f"keras_vit>{name}", _stand_in(name, f"keras_vit.{module}"))


def _stand_in(name: str, module: str) -> type:
    """A class that makes instances of another one, whose module is imported for the first."""

    def real() -> Any:
        return getattr(importlib.import_module(module), name)

    return type(
        name,
        (),
        {
            "__doc__": f"Stands for `{module}.{name}` until somebody imports it.",
            "__new__": lambda cls, *args, **kwargs: real()(*args, **kwargs),
            "from_config": staticmethod(
                lambda *args, **kwargs: real().from_config(*args, **kwargs)
            ),
        },
    )
