# SPDX-License-Identifier: MIT
"""The exact export transform: a model's weights, rearranged so that inference needs fewer steps.

Everything is linear algebra in float64 that changes no output (up to rounding):

* the normalisation of pixels goes into the patch projection (not in front of a ResNet stem, whose
  padding would see other zeros);
* class token, registers, positions and the projection's bias become one table;
* the scale and offset of a LayerNorm go into the matrices after it;
* what is written to the residual stream loses its mean over the channels: every reader of that
  stream is a LayerNorm, which removes the mean anyway and now need not;
* the stream is divided by a power of two where float16 would overflow
  (`keras_vit.export.residual`);
* LayerScale goes into the matrix before it, 1 / sqrt(head_dim) into the queries;
* queries, keys and values are one matrix; the query of attention pooling is a constant and is
  multiplied into its keys, whose bias softmax cannot see;
* standardised kernels of a stem are standardised here;
* the two heads of a distilled model are one matrix.
"""

import dataclasses

import keras
import numpy as np

from keras_vit.config import ViTConfig
from keras_vit.export.forward import is_short
from keras_vit.export.residual import residual_scale, scaled
from keras_vit.layers import sincos2d
from keras_vit.models import blocks, check_plain, config_of


@dataclasses.dataclass(frozen=True)
class Folded:
    """What `keras_vit.export.forward` computes with.

    Attributes:
        name: what the model is called.
        config: the model's configuration.
        weights: float32 arrays; `NAME/kernel` is `(incoming, outgoing)`, `NAME/bias` `(outgoing,)`.
            `residual/epsilon`, `()`, belongs to LayerNorms that read the residual stream.
        residual_scale: the power of two that the residual stream is multiplied by, at most 1.
    """

    name: str
    config: ViTConfig
    weights: dict[str, np.ndarray]
    residual_scale: float

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
    config = config_of(model)
    check_plain(model)
    folded: dict[str, np.ndarray] = {}
    if config.resnet_stages is not None:
        folded |= _stem(model)
    folded |= _patch_encoder(model, config)
    for block in blocks(model):
        folded |= _block(block, config)
    folded |= _output(model, config)
    scale = residual_scale(model)
    folded = scaled(folded, scale, config.norm_epsilon)
    arrays = {name: np.array(a, "float32", order="C") for name, a in folded.items()}
    return Folded(model.name, config, arrays, scale)


def folded_weights(model: "keras.Model | Folded") -> Folded:
    """What was folded already, as it is, and a model folded: who writes several files of one model
    folds it once."""
    return model if isinstance(model, Folded) else fold(model)


def _array(variable) -> np.ndarray:
    """A variable, or a kernel with its LoRA adapter, which is a tensor."""
    return np.asarray(keras.ops.convert_to_numpy(variable), "float64")


def _centred(array: np.ndarray) -> np.ndarray:
    """Without its mean over the channels of the residual stream, the last axis."""
    return array - array.mean(axis=-1, keepdims=True)


def _affine(norm) -> tuple[np.ndarray, np.ndarray]:
    return _array(norm.gamma), _array(norm.beta)


def _after_norm(norm, kernel: np.ndarray, bias: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The dense layer that gives (x * gamma + beta) @ kernel + bias from x."""
    gamma, beta = _affine(norm)
    return gamma[:, None] * kernel, bias + beta @ kernel


def _dense(name: str, kernel: np.ndarray, bias: np.ndarray) -> dict[str, np.ndarray]:
    return {f"{name}/kernel": kernel, f"{name}/bias": bias}


def _patch_encoder(model: keras.Model, config: ViTConfig) -> dict[str, np.ndarray]:
    encoder = model.get_layer("patch_encoder")
    kernel, bias = _array(encoder.projection.kernel), _array(encoder.projection.bias)
    if config.resnet_stages is None:
        scale, offset = _rescaling(model)
        repeats = config.patch_size[0] * config.patch_size[1]  # a patch is (row, column, channel)
        bias = bias + np.tile(offset, repeats) @ kernel
        kernel = np.tile(scale, repeats)[:, None] * kernel
    return {
        "patches/kernel": _centred(kernel),
        "tokens/table": _centred(_token_table(encoder, config, bias))[None, :, None],
    }


def _token_table(encoder, config: ViTConfig, bias: np.ndarray) -> np.ndarray:
    """What is added to the projected patches, after `num_prefix_tokens` rows of zeros."""
    prefix = config.num_prefix_tokens
    table = np.zeros((config.num_tokens, config.width))
    table[prefix:] = bias
    embeddings = (
        encoder.class_embedding,
        encoder.distillation_embedding,
        encoder.register_embedding,
    )
    present = [_array(embedding)[0] for embedding in embeddings if embedding is not None]
    if present:
        table[:prefix] = np.concatenate(present)
    if config.position == "learned":
        positions, positioned = _array(encoder.position_embedding)[0], config.num_prefix_positions
        table[:positioned] += positions[:positioned]
        table[prefix:] += positions[positioned:]
    elif config.position == "sincos2d":
        table[prefix:] += sincos2d(config.grid, config.width)
    return table


def _block(block, config: ViTConfig) -> dict[str, np.ndarray]:
    name, mlp = block.name, block.mlp
    qkv = _queries_keys_values(block.attention, config)
    out = _attention_output(block.attention)
    hidden = _array(mlp.hidden.kernel), _array(mlp.hidden.bias)
    output = _array(mlp.output_projection.kernel), _array(mlp.output_projection.bias)
    if config.layer_scale is not None:
        out = _scaled(out, _array(block.attention_branch[0].gamma))
        output = _scaled(output, _array(block.mlp_branch[0].gamma))
    folded = {
        **_dense(f"{name}/qkv", *_after_norm(block.attention_norm, *qkv)),
        **_dense(f"{name}/attention_output", *map(_centred, out)),
        **_dense(f"{name}/mlp_hidden", *_after_norm(block.mlp_norm, *hidden)),
        **_dense(f"{name}/mlp_output", *map(_centred, output)),
    }
    if config.qk_norm:
        folded |= _qk_norm(folded, block.attention, config, name)
    return folded


def _queries_keys_values(attention, config: ViTConfig) -> tuple[np.ndarray, np.ndarray]:
    layers = (attention.query_dense, attention.key_dense, attention.value_dense)
    # QK-norm would undo the scale: there it goes into the norm of the queries.
    scale = 1.0 if config.qk_norm else config.head_dim**-0.5
    kernels = [_array(layer.kernel).reshape(config.width, -1) for layer in layers]
    biases = [_array(layer.bias).reshape(-1) for layer in layers]
    kernels[0], biases[0] = kernels[0] * scale, biases[0] * scale
    return np.concatenate(kernels, axis=1), np.concatenate(biases)


def _attention_output(attention) -> tuple[np.ndarray, np.ndarray]:
    kernel = _array(attention.output_dense.kernel)  # (heads, head_dim, D)
    return kernel.reshape(-1, kernel.shape[-1]), _array(attention.output_dense.bias)


def _qk_norm(folded: dict, attention, config: ViTConfig, name: str) -> dict[str, np.ndarray]:
    """Centres queries and keys per head, and puts the attention scale into their norm."""
    heads = (-1, 3, config.num_heads, config.head_dim)
    centred = {}
    for part in ("kernel", "bias"):
        array = folded[f"{name}/qkv/{part}"]
        split = array.reshape(heads).copy()
        split[:, :2] = _centred(split[:, :2])
        centred[f"{name}/qkv/{part}"] = split.reshape(array.shape)
    for kind, scale in (("query", config.head_dim**-0.5), ("key", 1.0)):
        gamma, beta = _affine(getattr(attention, f"{kind}_norm"))
        centred[f"{name}/{kind}_norm/gamma"] = gamma * scale
        centred[f"{name}/{kind}_norm/beta"] = beta * scale
    return centred


def _output(model: keras.Model, config: ViTConfig) -> dict[str, np.ndarray]:
    """Everything after the last block."""
    norm, pool = model.get_layer("encoder_norm"), model.get_layer("pool")
    folded: dict[str, np.ndarray] = {}
    reads_norm = config.pool != "map"  # whether the next dense layer reads encoder_norm
    if config.pool == "map":
        folded |= _attention_pool(pool, norm, config)
    if config.representation_size:
        layer = model.get_layer("pre_logits")
        dense = _array(layer.kernel), _array(layer.bias)
        folded |= _dense("pre_logits", *(_after_norm(norm, *dense) if reads_norm else dense))
    elif reads_norm:
        gamma, beta = _affine(norm)
        folded |= {"features/gamma": gamma, "features/beta": beta}
    if config.num_classes:
        names = ("head", "distillation_head") if config.distillation_token else ("head",)
        heads = [_head(model.get_layer(name)) for name in names]
        if reads_norm and not config.representation_size:
            heads = [_after_norm(norm, *head) for head in heads]
        # Side by side in the input, so that the product is the sum of the heads.
        kernel = np.concatenate([kernel for kernel, _ in heads]) / len(heads)
        folded |= _dense("head", kernel, np.sum([bias for _, bias in heads], axis=0) / len(heads))
    return folded


def _head(layer) -> tuple[np.ndarray, np.ndarray]:
    bias = _array(layer.bias) if layer.use_bias else np.zeros(layer.units)
    return _array(layer.kernel), bias


def _attention_pool(pool, norm, config: ViTConfig) -> dict[str, np.ndarray]:
    attention, mlp = pool.attention, pool.mlp
    query, key, value = attention.query_dense, attention.key_dense, attention.value_dense
    probe = np.einsum("d,dhe->he", _array(pool.probe)[0, 0], _array(query.kernel))
    probe = (probe + _array(query.bias)) * config.head_dim**-0.5  # (heads, head_dim)
    scores = np.einsum("dhe,he->dh", _array(key.kernel), probe)
    values = _array(value.kernel).reshape(config.width, -1), _array(value.bias).reshape(-1)
    hidden = _array(mlp.hidden.kernel), _array(mlp.hidden.bias)
    output = _array(mlp.output_projection.kernel), _array(mlp.output_projection.bias)
    return {
        **_dense("pool/scores", *_after_norm(norm, scores, np.zeros(config.num_heads))),
        **_dense("pool/values", *_after_norm(norm, *values)),
        **_dense("pool/attention_output", *_attention_output(attention)),
        **_dense("pool/mlp_hidden", *_after_norm(pool.mlp_norm, *hidden)),
        **_dense("pool/mlp_output", *output),
    }


def _scaled(
    dense: tuple[np.ndarray, np.ndarray], gamma: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """A dense layer whose output is multiplied by a number for each channel."""
    kernel, bias = dense
    return kernel * gamma, bias * gamma


def _rescaling(model: keras.Model) -> tuple[np.ndarray, np.ndarray]:
    layer, channels = model.get_layer("rescaling"), model.input.shape[-1]
    scale, offset = (np.asarray(value, "float64") for value in (layer.scale, layer.offset))
    return np.broadcast_to(scale, (channels,)), np.broadcast_to(offset, (channels,))


def _stem(model: keras.Model) -> dict[str, np.ndarray]:
    stem = model.get_layer("resnet_stem")
    scale, offset = _rescaling(model)
    folded = {"rescaling/scale": scale, "rescaling/offset": offset}
    folded |= _convolution("root", stem.root_conv, stem.root_norm)
    for unit in stem.units:
        steps = ["1", "2", "3", *(["_proj"] if unit.projected else [])]
        for step in steps:
            conv, norm = getattr(unit, f"conv{step}"), getattr(unit, f"norm{step}")
            folded |= _convolution(f"{unit.name}/{step}", conv, norm)
    return folded


def _convolution(name: str, conv, norm) -> dict[str, np.ndarray]:
    kernel = _array(conv.kernel)
    kernel = kernel - kernel.mean(axis=(0, 1, 2))
    variance = np.square(kernel).mean(axis=(0, 1, 2))
    epsilon = conv.kernel_epsilon
    deviation = (
        np.sqrt(variance + epsilon) if conv.epsilon_in_variance else np.sqrt(variance) + epsilon
    )
    gamma, beta = _affine(norm)
    return {f"{name}/kernel": kernel / deviation, f"{name}/gamma": gamma, f"{name}/beta": beta}
