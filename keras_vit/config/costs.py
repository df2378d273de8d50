# SPDX-License-Identifier: MIT
"""What a model costs, counted from the shapes of its variables."""

import math
from typing import TYPE_CHECKING, NamedTuple

from keras_vit.config.variables import shapes, stem_units

if TYPE_CHECKING:
    from keras_vit.config.vit_config import ViTConfig


class LayerCost(NamedTuple):
    """What a layer costs, of one image.

    Attributes:
        parameters: its weights.
        multiply_adds: of its products of matrices and its convolutions.
        activations: numbers that these write. Norms, activation functions and sums write others,
            which a compiler puts into the same pass; of a network's costs this one foretells best
            how long an accelerator takes (arXiv 2003.13678, section 3).
    """

    parameters: int
    multiply_adds: int
    activations: int

    def plus(self, parameters: int, multiply_adds: int, activations: int) -> "LayerCost":
        """The sum of two."""
        return LayerCost(
            self.parameters + parameters,
            self.multiply_adds + multiply_adds,
            self.activations + activations,
        )


def layer_costs(config: "ViTConfig", visible: int | None = None) -> dict[str, LayerCost]:
    """What each layer with weights costs, by its name, in the order of the model.

    What does not depend on the image, the angles of mixed rotary positions, is left out.

    Args:
        config: the model.
        visible: patches that the blocks see; None for all.
    """
    tokens = config.num_prefix_tokens + (config.num_patches if visible is None else visible)
    places, found = _stem_places(config), dict[str, LayerCost]()
    for path, shape in shapes(config).items():
        name, size = path.split("/", 1)[0], math.prod(shape)
        # A kernel is used once at each place of its output.
        used = 0
        if path.endswith("/kernel"):
            used = places[path] if path in places else _places(config, path, tokens)
        cost = found.get(name, LayerCost(0, 0, 0))
        found[name] = cost.plus(size, used * size, used * _outputs(path, shape))
    attention = _attention(config.width, config.num_heads, tokens, tokens)
    for i in range(config.depth):
        found[f"block_{i:02d}"] = found[f"block_{i:02d}"].plus(0, *attention)
    if config.pool == "map":  # one query
        heads = config.pool_heads or config.num_heads
        read = _attention(config.width, heads, 1, tokens - config.pooled_from)
        found["pool"] = found["pool"].plus(0, *read)
    return found


def num_parameters(config: "ViTConfig") -> int:
    """Number of weights."""
    return sum(map(math.prod, shapes(config).values()))


def forward_flops(config: "ViTConfig", visible: int | None = None) -> int:
    """Floating-point operations of one image's forward pass, a multiply-add being 2.

    Counted are products of matrices and convolutions: projection of the patches, attention, MLPs,
    pooling, head, stem. Norms, activations, softmax and biases, about 1 % of a B/16, are not.

    Args:
        config: the model.
        visible: patches that the blocks see; None for all.
    """
    return 2 * sum(cost.multiply_adds for cost in layer_costs(config, visible).values())


def training_bytes(
    config: "ViTConfig",
    batch_size: int,
    slots: int = 2,
    number_bytes: int = 4,
    trained: int | None = None,
    remat: bool = False,
) -> int:
    """Rough memory of a train step in bytes: variables in float32, and what backpropagation keeps.

    Kept of each block and token are about 10 vectors of the width, 3 of the MLP's width, and of
    each head 3 matrices of tokens by tokens; of a ResNet stem nothing is counted. For the gradient
    of S/16 at 160 pixels, batch 8, this makes 401 MB besides the variables, where XLA on a CPU
    plans 393 MB (`compiled.memory_analysis()`); for Ti/16 at 224 it makes 458 MB, and XLA plans
    498 MB.

    Args:
        config: the model.
        batch_size: examples in a step.
        slots: variables of the optimizer for each weight: 2 for Adam, one more for an average.
        number_bytes: of a kept number, 2 in mixed precision.
        trained: weights that have a gradient and slots; None for all. What is kept of the blocks is
            counted in full.
        remat: whether of each block its input alone is kept, and the rest of one at a time.
    """
    n, d, m = config.num_tokens, config.width, config.mlp_dim
    hidden = 5 if config.gated_mlp else 3  # the gate, and its product
    block = n * (10 * d + hidden * m) + 3 * config.num_heads * n * n
    kept = config.depth * n * d + block if remat else config.depth * block
    kept += config.image_size[0] * config.image_size[1] * config.channels
    weights = num_parameters(config)
    variables = weights + (1 + slots) * (weights if trained is None else trained)
    return 4 * variables + number_bytes * batch_size * kept


def _attention(width: int, heads: int, queries: int, keys: int) -> tuple[int, int]:
    """Multiply-adds and numbers written of queries times keys, and their softmax times values."""
    return 2 * queries * keys * width, heads * queries * keys + queries * width


def _outputs(path: str, shape: tuple[int, ...]) -> int:
    """Numbers that a kernel writes at one place."""
    by_head = path.split("/")[-2] in ("query", "key", "value")  # (width, heads, head_dim)
    return math.prod(shape[1:]) if by_head else shape[-1]


def _places(config: "ViTConfig", path: str, tokens: int) -> int:
    """At how many places a dense kernel outside of the stem is used."""
    layer, part = path.split("/", 1)
    if layer == "patch_encoder":
        return config.num_patches
    if layer.startswith("block_"):
        return tokens
    if layer == "pool" and part in ("attention/key/kernel", "attention/value/kernel"):
        return tokens - config.pooled_from
    return 1  # the pooled token


def _stem_places(config: "ViTConfig") -> dict[str, int]:
    """Cells of the feature map that each convolution of the stem writes."""
    if config.resnet_stages is None:
        return {}
    sides = _divided(config.image_size, 2)
    places = {"resnet_stem/root_conv/kernel": math.prod(sides)}
    sides = _divided(sides, 2)  # max pooling
    for unit in stem_units(config):
        places[f"{unit.name}/conv1/kernel"] = math.prod(sides)
        sides = _divided(sides, unit.stride)
        for name in ("conv2", "conv3", "conv_proj"):
            places[f"{unit.name}/{name}/kernel"] = math.prod(sides)
    return places


def _divided(sides: tuple[int, ...], stride: int) -> tuple[int, ...]:
    """Height and width after a strided operation with padding "same"."""
    return tuple(math.ceil(side / stride) for side in sides)
