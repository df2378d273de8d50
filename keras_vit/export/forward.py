# SPDX-License-Identifier: MIT
"""The exported graph: a Vision Transformer at inference, written once for every format.

It shares no code with the layers that are trained; what proves it right is that every exported file
is compared with the Keras model. Tokens are rows of a matrix, `(batch * tokens, D)`, wherever
possible: then every dense layer is one operator in every format, also with a dynamic batch.

`ops` is `TensorFlowOps` or `OnnxOps`, and knows the weights of `keras_vit.export.folding` by name.
"""

from keras_vit.config import ViTConfig
from keras_vit.export.forward_block import block, last_block, short_block
from keras_vit.export.forward_merge import Tokens
from keras_vit.export.forward_parts import affine, normalized, without_mean
from keras_vit.export.forward_pool import pooled
from keras_vit.export.forward_stem import stem
from keras_vit.export.merging import patches_after
from keras_vit.export.residual import loses_mean, tokens_lose_mean


def forward(
    ops, config: ViTConfig, pixels, outputs: tuple[str, ...] = ("logits",), merge: float = 0.0
) -> dict:
    """Builds the graph.

    Args:
        ops: the operators of a format.
        config: the model's configuration.
        pixels: float32 `(batch, height, width, channels)`, 0 to 255.
        outputs: what is wanted, of

            * "logits": `(batch, classes)`; the representation for a model without a head;
            * "features": the representation, `(batch, D)`, twice that of "token_and_average", or
              `(batch, representation_size)` after the tanh layer;
            * "attention": weights of the last block, `(batch, heads, tokens, tokens)`; of merged
              tokens with `merge`.
        merge: how many patches the blocks compute less by merging those that are alike, as a share
            (`keras_vit.export.merging`); 0 computes what the model does.

    Returns:
        A dictionary of the outputs that were asked for.
    """
    tokens = Tokens(_tokens(ops, config, pixels), config.num_tokens)  # (B * T, D)
    *patches, _ = patches_after(config, merge)
    for i, left in enumerate(patches):
        tokens = block(ops, config, tokens, f"block_{i:02d}", left)
    name, found = f"block_{config.depth - 1:02d}", {}
    # After the last attention only the class token (and the distillation token) is read.
    kept = 1 + config.distillation_token if config.pool == "token" else tokens.count
    if is_short(config, "attention" in outputs):
        x = short_block(ops, config, tokens, name, kept)
    else:
        all_attention = "attention" in outputs
        x, attention = last_block(ops, config, tokens, name, kept, all_attention)
        if all_attention:
            found["attention"] = attention
    x = pooled(ops, config, Tokens(x, kept, tokens.sizes))
    if config.representation_size:
        with ops.scope("pre_logits"):
            x = ops.tanh(ops.dense(x, "pre_logits"))
    if "features" in outputs or not config.num_classes:
        found["features"] = _features(ops, config, x)
    if "logits" in outputs:
        with ops.scope("head"):
            found["logits"] = ops.dense(x, "head") if config.num_classes else found["features"]
    return {name: found[name] for name in outputs}


def is_short(config: ViTConfig, attention: bool) -> bool:
    """Whether the last block has dense layers for queries, keys and values one by one.

    Args:
        config: the model's configuration.
        attention: whether the attention of that block is an output.
    """
    keys_are_a_product = not config.qk_norm and config.rotary == "none"
    return config.pool == "token" and keys_are_a_product and not attention


def _tokens(ops, config: ViTConfig, pixels):
    x = pixels
    if config.resnet_stages is not None:
        x = ops.multiply(x, ops.weight("rescaling/scale"))
        x = ops.add(x, ops.weight("rescaling/offset"))
        x = stem(ops, config, x)
    (rows, columns), (height, width) = config.grid, config.patch_size
    numbers = width * config.stem_channels
    with ops.scope("patches"):
        x = ops.reshape(x, (-1, height, columns, numbers))
        x = ops.transpose(x, (0, 2, 1, 3))
        x = ops.reshape(x, (-1, height * numbers))  # (B * N, P * P * C)
        x = ops.dense(x, "patches")
        if config.patch_norm:  # whose offset is in the table
            x = normalized(ops, x, ops.weight("patch_norm/epsilon"))
            x = ops.multiply(x, ops.weight("patch_norm/gamma"))
    with ops.scope("tokens"):
        # Of rank four, and in an order of axes that no reshape can be folded into: a sum of two
        # matrices, and padding of a lower rank, are wrong on GPUs (`keras_vit.export.lint`).
        x = ops.reshape(x, (-1, rows * columns, 1, config.width))
        if config.num_prefix_tokens:
            x = ops.zeros_before(x, config.num_prefix_tokens)  # (B, T, 1, D)
        x = ops.add(x, ops.weight("tokens/table"))  # (1, T, 1, D)
        return _normed(ops, config, ops.reshape(x, (-1, config.width)))


def _normed(ops, config: ViTConfig, x):
    """Tokens after the norm before the first block, and without their mean where nobody sees it.

    What a norm wrote has a mean that no matrix can take before.
    """
    if config.patch_norm and tokens_lose_mean(config):
        x = without_mean(ops, x)
    if config.embedding_norm:
        x = normalized(ops, x, ops.weight("embedding_norm/epsilon"))
        x = affine(ops, x, "embedding_norm")
        x = without_mean(ops, x) if loses_mean(config) else x
    return x


def _features(ops, config: ViTConfig, x):
    """The representation with scale and offset of the final norm, which the head has in itself."""
    with ops.scope("features"):
        if config.distillation_token:  # the mean of both tokens
            x = ops.reshape(x, (-1, 2, config.width))
            x = ops.mean(x, axes=(1,), keepdims=False)
        return affine(ops, x, "features") if ops.has("features/gamma") else x
