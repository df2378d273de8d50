# SPDX-License-Identifier: MIT
"""What of a model is trained: all of it, what a pattern leaves, or LoRA adapters and the head."""

import math
import re

import keras

from keras_vit.config import ViTConfig
from keras_vit.config.variables import Shapes, shapes
from keras_vit.errors import UserError
from keras_vit.recipes import Recipe
from keras_vit.training.optimizers import found, in_head

# The matrices of the blocks: all of them, as in section 7.2 of the paper the same number of trained
# weights is worth more when it is spread over more kinds of matrices.
_ADAPTED = re.compile(
    r"block_\d+/(attention/(query|key|value|attention_output)|mlp/(gate|hidden|output_projection))"
    r"/kernel"
)


def choose_trained(model: keras.Model, recipe: Recipe) -> None:
    """Makes the variables that a recipe does not train stay as they are.

    Args:
        model: a model that `vit` built, with its weights.
        recipe: says which, by `lora` or `optimizer.freeze`.

    Raises:
        UserError: where nothing is left to train.
    """
    if recipe.lora is not None:
        adapt(model, recipe.lora)
    if recipe.optimizer.freeze is not None:
        freeze(model, recipe.optimizer.freeze)


def freeze(model: keras.Model, pattern: str) -> None:
    """Makes the variables in whose path a pattern is found stay as they are."""
    variables = {variable.path: variable for variable in model.trainable_variables}
    for path in found(pattern, variables):
        variables[path].trainable = False
    if not model.trainable_variables:
        raise UserError(f"optimizer.freeze={pattern!r} leaves nothing to train.")


def adapt(model: keras.Model, rank: int) -> None:
    """Gives the matrices of all blocks a LoRA adapter (arXiv 2106.09685), and freezes all else but
    the head.

    A kernel W then counts as W + A B, where A has `rank` columns and B as many rows. B starts from
    zero, so that the model computes what it did, and A as in the paper's code, uniform within
    1 / sqrt(inputs). The kernels of queries, keys and values, (width, heads, head_dim), get an A of
    each head, (width, heads, rank), and a B that the heads share, (rank, head_dim), as Keras makes
    them: each head's kernel moves within `rank` directions.
    """
    for layer in model._flatten_layers():
        if _ADAPTED.fullmatch(f"{layer.path}/kernel"):
            shape = layer.kernel.shape
            # (heads, head_dim, width) is contracted along its first two axes.
            inputs = math.prod(shape[:-1]) if layer.name == "attention_output" else shape[0]
            limit = 1 / math.sqrt(inputs)
            layer.enable_lora(rank, a_initializer=keras.initializers.RandomUniform(-limit, limit))
    for variable in model.trainable_variables:
        if "/lora_kernel_" not in variable.path and not in_head(variable.path):
            variable.trainable = False


def count_trained(recipe: Recipe) -> int:
    """How many numbers of its model a recipe trains, those of adapters included.

    Args:
        recipe: complete: with a model.
    """
    trained = shapes(recipe.model)
    if recipe.lora is not None:
        adapters = _adapter_shapes(recipe.model, recipe.lora)
        trained = {path: shape for path, shape in trained.items() if in_head(path)} | adapters
    pattern = recipe.optimizer.freeze
    return sum(
        math.prod(shape)
        for path, shape in trained.items()
        if pattern is None or not re.search(pattern, path)
    )


def parameters_text(recipe: Recipe) -> str:
    """The size of a recipe's model in words, with how much of it is trained where that is not all:
    "22,050,664 parameters", "22,050,664 parameters, 7,690 trained"."""
    count, trained = recipe.model.num_parameters, count_trained(recipe)
    return f"{count:,} parameters" + (f", {trained:,} trained" if trained != count else "")


def _adapter_shapes(config: ViTConfig, rank: int) -> Shapes:
    found: Shapes = {}
    for path, shape in shapes(config).items():
        if _ADAPTED.fullmatch(path):
            place = path.removesuffix("/kernel")
            found[f"{place}/lora_kernel_a"] = (*shape[:-1], rank)
            found[f"{place}/lora_kernel_b"] = (rank, shape[-1])
    return found
