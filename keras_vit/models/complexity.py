# SPDX-License-Identifier: MIT
"""What training costs, in closed form; what a forward pass costs is `ViTConfig.forward_flops`."""

from keras_vit.config import ViTConfig


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
    n, d, m = config.num_tokens, config.width, config.mlp_dim
    kept = config.depth * (n * (10 * d + 3 * m) + 3 * config.num_heads * n * n)
    kept += config.image_size[0] * config.image_size[1] * config.channels
    return 4 * (2 + slots) * config.num_parameters + number_bytes * batch_size * kept
