# SPDX-License-Identifier: MIT
"""Vision Transformers in Keras, from a folder of images to a verified, deployed model.

The public names are below, under headings. They load on first use, so that `import keras_vit` and
`keras-vit --help` answer before Keras and TensorFlow (6 to 8 seconds) are imported.
"""

from typing import TYPE_CHECKING

from keras_vit.lazy import after_import, attributes
from keras_vit.registered import register

__version__ = "0.1.0"

if TYPE_CHECKING:
    # Rooms
    from keras_vit import analysis as analysis
    from keras_vit import data as data
    from keras_vit import deploy as deploy
    from keras_vit import evaluation as evaluation
    from keras_vit import export as export
    from keras_vit import layers as layers
    from keras_vit import models as models
    from keras_vit import recipes as recipes
    from keras_vit import reports as reports
    from keras_vit import training as training
    from keras_vit import weights as weights
    from keras_vit.config import ViTConfig as ViTConfig
    from keras_vit.errors import UserError as UserError

    # Features of images
    from keras_vit.features.embed import embed as embed

    # Models out of files
    from keras_vit.loading import load_model as load_model
    from keras_vit.models import ViT as ViT
    from keras_vit.models import config_of as config_of
    from keras_vit.models import vit as vit

    # Using a trained model
    from keras_vit.predictor import Predictor as Predictor

    # Training
    from keras_vit.training import train as train

    # Published weights
    from keras_vit.zoo import create as create

# name: the module that defines it, "" for a room. The same names as above; a test compares them.
_HOME = {
    "ViTConfig": "config",
    "UserError": "errors",
    "load_model": "loading",
    "vit": "models",
    "ViT": "models",
    "config_of": "models",
    "embed": "features.embed",
    "Predictor": "predictor",
    "train": "training",
    "create": "zoo",
    "analysis": "",
    "data": "",
    "deploy": "",
    "evaluation": "",
    "export": "",
    "layers": "",
    "models": "",
    "recipes": "",
    "reports": "",
    "training": "",
    "weights": "",
}
if not TYPE_CHECKING:  # a type checker tells who misspells a name
    __getattr__, _names = attributes(__name__, _HOME)

    def __dir__() -> list[str]:
        return [*_names(), "__version__"]


after_import("keras", register)  # so that Keras reads a file of ours, whichever came first
