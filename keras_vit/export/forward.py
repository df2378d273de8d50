# SPDX-License-Identifier: MIT
"""The exported graph: a Vision Transformer at inference, written once for every format.

It shares no code with the layers that are trained; what proves it right is that every exported file
is compared with the Keras model. Tokens are rows of a matrix, `(batch * tokens, D)`, wherever
possible: then every dense layer is one operator in every format, also with a dynamic batch.

`ops` is `TensorFlowOps` or `OnnxOps`, and knows the weights of `keras_vit.export.folding` by name.
"""

import numpy as np

from keras_vit.config import ViTConfig
from keras_vit.layers.resnet_stem import FORMS

_GROUPS = 32  # of every GroupNorm in a stem


def forward(ops, config: ViTConfig, pixels, outputs: tuple[str, ...] = ("logits",)) -> dict:
    """Builds the graph.

    Args:
        ops: the operators of a format.
        config: the model's configuration.
        pixels: float32 `(batch, height, width, channels)`, 0 to 255.
        outputs: what is wanted, of

            * "logits": `(batch, classes)`; the representation for a model without a head;
            * "features": the representation, `(batch, D)`, or `(batch, representation_size)` after
              the tanh layer;
            * "attention": weights of the last block, `(batch, heads, tokens, tokens)`.

    Returns:
        A dictionary of the outputs that were asked for.
    """
    x = _tokens(ops, config, pixels)  # (B * T, D)
    found = {}
    for i in range(config.depth):
        name, last = f"block_{i:02d}", i == config.depth - 1
        if last and is_short(config, "attention" in outputs):
            x = _short_block(ops, config, x, name)
            continue
        # After the last attention only the class token (and the distillation token) is read.
        kept = _tokens_read(config) if last else config.num_tokens
        x, attention = _block(ops, config, x, name, kept, last and "attention" in outputs)
    if "attention" in outputs:
        found["attention"] = attention
    x = _pooled(ops, config, x)
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
    return config.pool == "token" and not config.qk_norm and not attention


def _tokens_read(config: ViTConfig) -> int:
    return 1 + config.distillation_token if config.pool == "token" else config.num_tokens


def _tokens(ops, config: ViTConfig, pixels):
    x = pixels
    if config.resnet_stages is not None:
        x = ops.multiply(x, ops.weight("rescaling/scale"))
        x = ops.add(x, ops.weight("rescaling/offset"))
        x = _stem(ops, config, x)
    (rows, columns), (height, width) = config.grid, config.patch_size
    numbers = width * config.stem_channels
    with ops.scope("patches"):
        x = ops.reshape(x, (-1, height, columns, numbers))
        x = ops.transpose(x, (0, 2, 1, 3))
        x = ops.reshape(x, (-1, height * numbers))  # (B * N, P * P * C)
        x = ops.dense(x, "patches")
    with ops.scope("tokens"):
        # Of rank four, and in an order of axes that no reshape can be folded into: a sum of two
        # matrices, and padding of a lower rank, are wrong on GPUs (`keras_vit.export.lint`).
        x = ops.reshape(x, (-1, rows * columns, 1, config.width))
        if config.num_prefix_tokens:
            x = ops.zeros_before(x, config.num_prefix_tokens)  # (B, T, 1, D)
        x = ops.add(x, ops.weight("tokens/table"))  # (1, T, 1, D)
        return ops.reshape(x, (-1, config.width))


def _block(ops, config: ViTConfig, x, name: str, kept: int, all_attention: bool):
    """Equations 2 and 3 of arXiv 2010.11929, for the first `kept` tokens."""
    tokens, heads, size = config.num_tokens, config.num_heads, config.head_dim
    with ops.scope(name):
        y = ops.dense(_stream_normalized(ops, x), f"{name}/qkv")
        y = ops.reshape(y, (-1, tokens, 3 * heads, size))
        y = ops.transpose(y, (0, 2, 1, 3))  # (B, 3 * heads, T, head_dim)
        query, key, value = ops.split(y, 3, axis=1)
        if kept < tokens and not all_attention:
            query = ops.first(query, kept, axis=2)
        if config.qk_norm:
            epsilon = ops.number(config.norm_epsilon)
            query = _affine(ops, _normalized(ops, query, epsilon), f"{name}/query_norm")
            key = _affine(ops, _normalized(ops, key, epsilon), f"{name}/key_norm")
        attention = ops.softmax(ops.matmul(query, key, transpose_b=True))  # (B, heads, T, T)
        rows = attention
        if kept < tokens:
            rows = ops.first(attention, kept, axis=2) if all_attention else attention
            x = ops.reshape(x, (-1, tokens, config.width))
            x = ops.reshape(ops.first(x, kept, axis=1), (-1, config.width))
        y = ops.transpose(ops.matmul(rows, value), (0, 2, 1, 3))
        y = ops.reshape(y, (-1, config.width))
        x = ops.add(x, ops.dense(y, f"{name}/attention_output"))
        x = ops.add(x, _mlp(ops, config, _stream_normalized(ops, x), name))
    return x, attention


def _short_block(ops, config: ViTConfig, x, name: str):
    """The last block for the tokens that are read, which needs no keys and values of the others.

    With scores (q W_K^T) x^T instead of q (x W_K)^T, and (A x) W_V instead of A (x W_V), both
    matrices meet a row for each head instead of one for each token. Softmax does not see the bias
    of the keys.
    """
    tokens, heads, width = config.num_tokens, config.num_heads, config.width
    kept, qkv = _tokens_read(config), f"{name}/qkv"
    query, key, value = (slice(i * width, (i + 1) * width) for i in range(3))
    with ops.scope(name):
        x = ops.reshape(x, (-1, tokens, width))
        y = _stream_normalized(ops, x)
        x = ops.reshape(ops.first(x, kept, axis=1), (-1, width))
        rows = ops.reshape(ops.first(y, kept, axis=1), (-1, width))
        rows = ops.reshape(ops.dense(rows, qkv, query), (-1, 1, 1, width))
        rows = ops.multiply(rows, _own_columns(ops, config))  # (B * kept, heads, 1, D)
        rows = ops.dense_transposed(ops.reshape(rows, (-1, width)), qkv, key)
        rows = ops.reshape(rows, (-1, kept * heads, width))
        attention = ops.softmax(ops.matmul(rows, ops.transpose(y, (0, 2, 1))))
        rows = ops.reshape(ops.matmul(attention, y), (-1, width))  # (B * kept * heads, D)
        rows = _of_own_head(ops, config, ops.dense(rows, qkv, value))
        x = ops.add(x, ops.dense(rows, f"{name}/attention_output"))
        return ops.add(x, _mlp(ops, config, _stream_normalized(ops, x), name))


def _of_own_head(ops, config: ViTConfig, x):
    """`(n * heads, D)` to `(n, D)`: of each row the columns of its own head."""
    x = ops.reshape(x, (-1, config.num_heads, 1, config.width))  # see `_tokens` for the rank
    return ops.sum(ops.multiply(x, _own_columns(ops, config)), axes=(1, 2))


def _own_columns(ops, config: ViTConfig):
    """`(1, heads, 1, D)`: 1 where a head has its columns, 0 elsewhere."""
    mask = np.kron(np.eye(config.num_heads), np.ones(config.head_dim))[None, :, None]
    return ops.constant("own_columns", mask.astype("float32"))


def _mlp(ops, config: ViTConfig, x, name: str):
    x = ops.activation(ops.dense(x, f"{name}/mlp_hidden"), config.activation)
    return ops.dense(x, f"{name}/mlp_output")


def _stream_normalized(ops, x):
    """LayerNorm of the residual stream, which may be scaled (`keras_vit.export.residual`)."""
    return _normalized(ops, x, ops.weight("residual/epsilon"))


def _normalized(ops, x, epsilon):
    """LayerNorm of rows whose mean is zero already, without scale and offset."""
    variance = ops.mean(ops.multiply(x, x), axes=(-1,), keepdims=True)
    return ops.multiply(x, ops.rsqrt(ops.add(variance, epsilon)))


def _affine(ops, x, name: str):
    return ops.add(ops.multiply(x, ops.weight(f"{name}/gamma")), ops.weight(f"{name}/beta"))


def _pooled(ops, config: ViTConfig, x):
    """From the tokens that the last block kept to `(batch, D)`, the LayerNorm included."""
    with ops.scope("pool"):
        if not config.norm_after_pool:
            x = _stream_normalized(ops, x)
        if config.pool == "map":
            return _attention_pool(ops, config, x)
        if config.pool == "token":  # both tokens side by side, as the head expects them
            return ops.reshape(x, (-1, _tokens_read(config) * config.width))
        x = _read(ops, config, x)
        x = ops.mean(x, axes=(1,), keepdims=False)
        return _stream_normalized(ops, x) if config.norm_after_pool else x


def _read(ops, config: ViTConfig, x):
    """The tokens that a pool reads, `(B, read, D)`."""
    x = ops.reshape(x, (-1, config.num_tokens, config.width))
    if config.pooled_from:
        x = ops.last(x, config.num_tokens - config.pooled_from, axis=1)
    return x


def _attention_pool(ops, config: ViTConfig, x):
    tokens, heads = config.num_tokens - config.pooled_from, config.num_heads
    if config.pooled_from:
        x = ops.reshape(_read(ops, config, x), (-1, config.width))
    scores = ops.reshape(ops.dense(x, "pool/scores"), (-1, tokens, heads))
    attention = ops.softmax(ops.transpose(scores, (0, 2, 1)))  # (B, heads, T)
    means = ops.matmul(attention, ops.reshape(x, (-1, tokens, config.width)))  # (B, heads, D)
    means = ops.reshape(means, (-1, config.width))
    x = _of_own_head(ops, config, ops.dense(means, "pool/values"))
    x = ops.dense(x, "pool/attention_output")
    # What the head reads is not normalised, so that this mean has to be taken here. The LayerNorm
    # of a pool keeps the epsilon of the encoder's.
    negative_mean = ops.multiply(ops.mean(x, axes=(-1,), keepdims=True), ops.number(-1.0))
    y = _normalized(ops, ops.add(x, negative_mean), ops.number(config.norm_epsilon))
    return ops.add(x, _mlp(ops, config, y, "pool"))


def _features(ops, config: ViTConfig, x):
    if config.representation_size or config.pool == "map":
        return x
    with ops.scope("features"):
        if config.distillation_token:  # the mean of both tokens
            x = ops.reshape(x, (-1, 2, config.width))
            x = ops.mean(x, axes=(1,), keepdims=False)
        return _affine(ops, x, "features")


def _stem(ops, config: ViTConfig, x):
    """The ResNet of a hybrid; see `keras_vit.layers.ResNetStem`."""
    size = _strided(config.image_size, 2)
    with ops.scope("resnet_stem"):
        x = ops.relu(_convolution(ops, config, x, "root", size, 2))
        size = _strided(size, 2)
        x = ops.max_pool(x, 3, 2)
        for stage, count in enumerate(config.resnet_stages):
            for unit in range(count):
                name, stride = f"block{stage + 1}_unit{unit + 1}", 2 if stage and not unit else 1
                x = _bottleneck(ops, config, x, name, size, stride)
                size = _strided(size, stride)
    return x


def _bottleneck(ops, config: ViTConfig, x, name: str, size: tuple[int, ...], stride: int):
    after = _strided(size, stride)
    shortcut = x
    if ops.has(f"{name}/_proj/kernel"):
        # Not by a stride of the convolution: LiteRT's GPUs ignore that of an int8 1 x 1 kernel.
        shortcut = ops.every_second(x) if stride == 2 else x
        shortcut = _convolution(ops, config, shortcut, f"{name}/_proj", after, 1)
    x = ops.relu(_convolution(ops, config, x, f"{name}/1", size, 1))
    x = ops.relu(_convolution(ops, config, x, f"{name}/2", after, stride))
    return ops.relu(ops.add(shortcut, _convolution(ops, config, x, f"{name}/3", after, 1)))


def _convolution(ops, config: ViTConfig, x, name: str, size: tuple[int, ...], stride: int):
    """A convolution to maps of `size`, and its GroupNorm."""
    (height, width), channels = size, ops.weight_shape(f"{name}/kernel")[-1]
    x = ops.convolve(x, f"{name}/kernel", stride)
    x = ops.reshape(x, (-1, height * width, _GROUPS, channels // _GROUPS))
    mean = ops.mean(x, axes=(1, 3), keepdims=True)
    x = ops.add(x, ops.multiply(mean, ops.number(-1.0)))
    variance = ops.mean(ops.multiply(x, x), axes=(1, 3), keepdims=True)
    epsilon = ops.number(FORMS[config.resnet_form]["norm_epsilon"])
    x = ops.multiply(x, ops.rsqrt(ops.add(variance, epsilon)))
    return _affine(ops, ops.reshape(x, (-1, height, width, channels)), name)


def _strided(size: tuple[int, ...], stride: int) -> tuple[int, ...]:
    return tuple(-(-side // stride) for side in size)
