# SPDX-License-Identifier: MIT
"""`.keras` files of our own, read by Keras: every name in them is ours."""

from pathlib import Path

from keras_vit.config import ViTConfig
from keras_vit.config.variables import shapes
from keras_vit.errors import UserError
from keras_vit.weights.adapter import Adapter
from keras_vit.weights.binding import Binding
from keras_vit.weights.config_files import to_header
from keras_vit.weights.formats import IN_FOLDER, Checkpoint, Spec
from keras_vit.weights.table import row


class KerasFile(Adapter):
    """A model that `keras_vit.vit` built, or a folder that holds one, as that of a run does."""

    name = "keras"
    dialects = {"keras": ()}
    needs_keras = True

    def opens(self, path: Path) -> bool:
        return path.suffix == ".keras" or _inside(path) is not None

    def open(self, path: Path) -> tuple[Checkpoint, ViTConfig]:
        """Loads the model and takes its variables."""
        import keras

        from keras_vit.models import config_of
        from keras_vit.models.keras_file import load_keras
        from keras_vit.models.variables import variables_of

        path = _inside(path) or path
        if not path.is_file():
            raise UserError(f"{path}: no such file.")
        model = load_keras(path)
        variables = variables_of(model)
        specs = {
            name: Spec(tuple(v.shape), keras.backend.standardize_dtype(v.dtype))
            for name, v in variables.items()
        }
        config = config_of(model)
        checkpoint = Checkpoint(
            str(path),
            specs,
            lambda name: keras.ops.convert_to_numpy(variables[name]),
            to_header(config, model.origins, model.view),
        )
        return checkpoint, config

    def bind(self, dialect: str, config: ViTConfig) -> list[Binding]:
        return [
            Binding(path, shape, (path,), row(path, path)) for path, shape in shapes(config).items()
        ]


def _inside(folder: Path) -> Path | None:
    """The model of a folder that has no other weights."""
    file = folder / "model.keras"
    others = any((folder / name).is_file() for name in IN_FOLDER)
    return file if file.is_file() and not others else None
