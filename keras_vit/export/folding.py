# SPDX-License-Identifier: MIT
"""The exact export transform: a model's weights, rearranged so that inference needs fewer steps.

Everything is linear algebra in float64 that changes no output (up to rounding):

* the normalisation of pixels goes into the patch projection (not in front of a ResNet stem, whose
  padding would see other zeros);
* class token, registers, positions and the projection's bias become one table;
* the scale and offset of a norm go into the matrices after it, those inside attention and MLP
  included; not those of a norm whose result is added to something else;
* what is written to the residual stream loses its mean over the channels where nobody sees it, and
  is divided by a power of two where float16 would overflow (`keras_vit.export.residual`), and so
  is what other norms read (`keras_vit.export.inner_scales`);
* LayerScale goes into the matrix before it, or into the norm between the two, 1 / sqrt(head_dim)
  into the queries, and the factor of quick GELU into the layers around it;
* queries, keys and values are one matrix; the query of attention pooling is a constant and is
  multiplied into its keys, whose bias softmax cannot see;
* angles of rotary positions become their cosines and sines, and relative positions what is added to
  the scores: constants both, learned or not;
* standardised kernels of a stem are standardised here;
* the two heads of a distilled model are one matrix.
"""

import dataclasses

import keras
import numpy as np

from keras_vit.config import ViTConfig
from keras_vit.export.dense import Variables
from keras_vit.export.folding_block import folded_block, rotary_tables
from keras_vit.export.folding_output import folded_output
from keras_vit.export.folding_stem import folded_stem
from keras_vit.export.folding_tokens import folded_tokens
from keras_vit.export.forward import is_short
from keras_vit.export.inner_scales import inner_scaled
from keras_vit.export.merging import patches_after
from keras_vit.export.residual import (
    embedding_scale,
    pictures,
    residual_scale,
    scaled,
    scaled_before_embedding_norm,
)
from keras_vit.models import config_of


@dataclasses.dataclass(frozen=True)
class Folded:
    """What `keras_vit.export.forward` computes with.

    Attributes:
        name: what the model is called.
        config: the model's configuration.
        weights: float32 arrays; `NAME/kernel` is `(incoming, outgoing)`, `NAME/bias` `(outgoing,)`.
            `residual/epsilon`, `()`, belongs to the norms that read the residual stream.
        residual_scale: the power of two that the residual stream is multiplied by, at most 1.
        merge: how many patches the blocks compute less by merging, as a share; 0 for none.
        values_have_mean_0: see `keras_vit.export.value_means`.
    """

    name: str
    config: ViTConfig
    weights: dict[str, np.ndarray]
    residual_scale: float
    merge: float = 0.0
    values_have_mean_0: bool = False

    def merging(self, merge: float) -> "Folded":
        """The same weights for a graph that merges patches that are alike.

        Args:
            merge: how many patches the blocks compute less, as a share
                (`keras_vit.export.merging`); 0 merges none.

        Raises:
            UserError: for a share out of bounds, and for a model that merging does not go with.
        """
        patches_after(self.config, merge)
        return dataclasses.replace(self, merge=merge)

    @property
    def nbytes(self) -> int:
        """Bytes of all weights in float32."""
        return sum(array.nbytes for array in self.weights.values())

    def dense_layers(self, attention: bool = False) -> tuple[str, ...]:
        """Names of the dense layers in the order of the graph.

        Args:
            attention: whether the attention of the last block is an output.
        """
        matrices = [name for name, array in self.weights.items() if array.ndim == 2]
        names = [n.removesuffix("/kernel") for n in matrices if n.endswith("/kernel")]
        if is_short(self.config, attention):
            last = f"block_{self.config.depth - 1:02d}"
            place = names.index(f"{last}/qkv")
            names[place : place + 1] = [f"{last}/{part}" for part in ("query", "key", "value")]
        return tuple(names)


def fold(model: keras.Model) -> Folded:
    """Derives the weights of the exported graph.

    Args:
        model: a model built by `keras_vit.vit`, float32.

    Raises:
        UserError: for any other model, and for one that has been quantised.
    """
    config, variables = config_of(model), Variables(model)
    folded: dict[str, np.ndarray] = {"residual/epsilon": np.asarray(config.norm_epsilon, "float64")}
    if config.resnet_stages is not None:
        folded |= folded_stem(model, variables)
    folded |= folded_tokens(model, variables, config)
    if config.rotary in ("axial", "dinov3"):  # the same in every block
        folded |= rotary_tables(config)
    for i in range(config.depth):
        folded |= folded_block(variables, config, f"block_{i:02d}")
    folded |= folded_output(variables, config)
    scale = residual_scale(model)
    folded = scaled(folded, scale, config)
    folded = scaled_before_embedding_norm(folded, embedding_scale(model), config)
    folded = inner_scaled(folded, config, pictures(model.input.shape[1:]))
    arrays = {name: np.array(a, "float32", order="C") for name, a in folded.items()}
    return Folded(model.name, config, arrays, scale)


def folded_weights(model: "keras.Model | Folded") -> Folded:
    """What was folded already, as it is, and a model folded: who writes several files of one model
    folds it once."""
    return model if isinstance(model, Folded) else fold(model)
