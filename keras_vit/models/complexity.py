# SPDX-License-Identifier: MIT
"""What a forward pass costs, in closed form."""

from keras_vit.config import ViTConfig


def forward_flops(config: ViTConfig, visible: int | None = None) -> int:
    """Floating-point operations of one image's forward pass.

    A multiplication with its addition counts as 2. Counted are the products of matrices and the
    convolutions: projection of the patches, attention, MLPs, pooling, head, stem. Norms,
    activations, softmax and additions of biases, about 1 % of a B/16, are not.

    Args:
        config: the model.
        visible: patches that the blocks see; None for all.
    """
    patches = config.num_patches if visible is None else visible
    n, d, m = config.num_prefix_tokens + patches, config.width, config.mlp_width
    block = 4 * n * d * d + 2 * n * n * d + 2 * n * d * m  # projections, scores and values, MLP
    total = _stem(config) + config.num_patches * config.patch_pixels * d + config.depth * block
    if config.pool == "map":  # one query
        total += 2 * n * d * d + 2 * d * d + 2 * n * d + 2 * d * m
    total += d * config.representation
    heads = 2 if config.distillation_token else 1
    total += heads * (config.representation or d) * config.num_classes
    return 2 * total


def training_bytes(
    config: ViTConfig, batch_size: int, slots: int = 2, number_bytes: int = 4
) -> int:
    """Rough memory of a train step in bytes: variables in float32, and what backpropagation keeps.

    Kept of each block and token are about 10 vectors of the width, 3 of the MLP's width, and of
    each head 3 matrices of tokens by tokens; of a ResNet stem nothing is counted. For the gradient
    of S/16 at 160 pixels, batch 8, this makes 401 MB beside the variables, where XLA on a CPU plans
    393 MB (`compiled.memory_analysis()`); for Ti/16 at 224 it makes 458 MB, and XLA plans 498 MB.

    Args:
        config: the model.
        batch_size: examples in a step.
        slots: variables of the optimizer for each weight: 2 for Adam, one more for an average.
        number_bytes: of a kept number, 2 in mixed precision.
    """
    n, d, m = config.num_tokens, config.width, config.mlp_width
    kept = config.depth * (n * (10 * d + 3 * m) + 3 * config.heads * n * n)
    kept += config.image_size[0] * config.image_size[1] * config.channels
    return 4 * (2 + slots) * config.num_parameters + number_bytes * batch_size * kept


def _stem(config: ViTConfig) -> int:
    """Multiplications of the ResNet stem."""
    if config.resnet_stages is None:
        return 0
    height, width = (side // 2 for side in config.image_size)
    total = height * width * 49 * config.channels * config.resnet_width
    cells, incoming = height * width // 4, config.resnet_width  # after the root's max-pooling
    for stage, units in enumerate(config.resnet_stages):
        inner = config.resnet_width * 2**stage
        for unit in range(units):
            total += cells * incoming * inner  # before the stride, which the 3 x 3 has
            if unit == 0 and stage > 0:
                cells //= 4
            total += cells * (9 * inner * inner + inner * 4 * inner)
            if unit == 0:
                total += cells * incoming * 4 * inner
            incoming = 4 * inner
    return total
