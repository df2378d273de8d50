# SPDX-License-Identifier: MIT
"""The Vision Transformer of arXiv 2010.11929, as a Keras functional model."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras

from keras_vit.config import ViTConfig
from keras_vit.errors import UserError
from keras_vit.layers import TransformerBlock
from keras_vit.layers.composite import quantized_parts
from keras_vit.models.graph import forward, make_layers
from keras_vit.models.reading import check_graph, read_config
from keras_vit.origins import Origin, from_values
from keras_vit.preprocessing import USUAL, View
from keras_vit.untrusted.schema import check


@keras.saving.register_keras_serializable("keras_vit")
class ViT(keras.Model):
    """A functional model that knows its configuration; `vit` builds one.

    It is saved as Keras saves every functional model, layer by layer, so that the file keeps what
    was done to its layers: precision, quantisation, LoRA, freezing. The configuration is saved with
    them, and compared with them when the file is read.

    A model that is made without a configuration reads it off its layers when somebody asks. So
    `keras.models.clone_model(model)` has one, and so has a model with a head of one's own:

        import keras
        import keras_vit

        model = keras_vit.vit(keras_vit.ViTConfig.of("mu/4", image_size=8))
        x = model.get_layer("pool").output
        x = keras.layers.Dense(7, dtype="float32", name="head")(x)
        model = keras_vit.ViT(model.input, x)

    Keras' old `.h5` files do not tell whose class it is: they are read with
    `custom_objects={"ViT": ViT}`.

    Args:
        inputs: the symbolic pixels.
        outputs: the symbolic logits, or representation.
        name: name of the model.
        config: what `vit` would make this model of; or None.
        origins: weights that it was made of, the oldest first, with their licences.
        view: what of an image it wants to see, and how that is resized.
        **kwargs: `trainable`.

    Raises:
        UserError: for a configuration that contradicts the layers.
    """

    def __init__(
        self,
        inputs: Any,
        outputs: Any,
        name: str | None = None,
        *,
        config: ViTConfig | dict[str, Any] | None = None,
        origins: Sequence[Origin] | list[dict[str, Any]] = (),
        view: View | dict[str, Any] = USUAL,
        **kwargs,
    ):
        # Keras copies and reads a model whose positional arguments are these three like any
        # functional one (`functional_like_constructor`), and passes on what else is in its file.
        super().__init__(inputs, outputs, name=name or "vit", **kwargs)
        self._config = ViTConfig.from_dict(config) if isinstance(config, dict) else config
        if isinstance(origins, list):  # from a file
            self.origins = from_values(origins, f"{self.name}: origins")
        else:
            self.origins = tuple(origins)
        self.view = check(view, View, f"{self.name}: view") if isinstance(view, dict) else view
        if self._config is not None:
            check_graph(self._config, self, super().get_config())

    @property
    def config(self) -> ViTConfig:
        """What `vit` would make this model of.

        Raises:
            UserError: for layers that `vit` would not make, after a change of the graph.
        """
        if self._config is None:
            self._config = read_config(self, super().get_config())
        return self._config

    def get_config(self):
        graph = super().get_config()
        if self.origins:
            graph = {**graph, "origins": [dataclasses.asdict(origin) for origin in self.origins]}
        if self.view != USUAL:
            graph = {**graph, "view": dataclasses.asdict(self.view)}
        try:
            config = dataclasses.asdict(self.config)
        except UserError:  # changed, and still an ordinary model
            return graph
        # Keras writes tuples in a form of its own.
        config = {name: list(v) if isinstance(v, tuple) else v for name, v in config.items()}
        return {**graph, "config": config}


def vit(config: ViTConfig, name: str = "vit", patch_dropout: float = 0.0) -> ViT:
    """Builds a Vision Transformer.

    Pixels of 0 to 255 go in (any dtype, channels last), logits come out (float32); normalisation is
    part of the graph. Layers are named `pixels`, `rescaling`, `resnet_stem` (hybrids), `patches`,
    `patch_encoder`, `block_00`, ..., `encoder_norm`, `pool`, `pre_logits` and `head`, and with a
    distillation token `distillation_pool`, `distillation_head` and `logits`, the mean of both heads
    (`representation`, that of both tokens, where there are no classes); the names are API.

    Args:
        config: sizes and options.
        name: name of the model.
        patch_dropout: share of the patches that training leaves out (see `PatchDropout`). It
            belongs to a run and not to the model: `config_of` does not tell it.

    Returns:
        A functional model from `(batch, height, width, channels)` to `(batch, num_classes)`, or to
        the representation `(batch, width)` when `num_classes` is 0.
    """
    pixels = keras.Input((*config.image_size, config.channels), name="pixels")
    logits = forward(config, make_layers(config, patch_dropout), pixels)
    return ViT(pixels, logits, name=name, config=config)


def config_of(model: keras.Model) -> ViTConfig:
    """The configuration of a model that `vit` built, also after saving, loading and copying.

    Args:
        model: a `ViT`.

    Raises:
        UserError: for any other model, and for a `ViT` whose graph was changed.
    """
    if not isinstance(model, ViT):
        raise UserError(
            f"expected a model built by keras_vit.vit, received {model.name!r}, a "
            f"{type(model).__name__}. If its layers are those of one, "
            "keras_vit.ViT(model.input, model.output) reads what it is."
        )
    return model.config


def check_plain(model: keras.Model) -> None:
    """Raises a `UserError` for a quantised model, whose kernels are not what it multiplies by."""
    quantized = quantized_parts(model)
    if quantized:
        raise UserError(
            f"{model.name}: expected a model that has not been quantised, received "
            f"{quantized[0].quantization_mode} in {len(quantized)} layers. Give the model from "
            "before `quantize`; `keras-vit export --quantize` makes int8 files of it."
        )


def blocks(model: keras.Model) -> list[TransformerBlock]:
    """The Transformer blocks of a model, first to last."""
    return [layer for layer in model.layers if layer.name.startswith("block_")]
