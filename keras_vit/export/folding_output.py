# SPDX-License-Identifier: MIT
"""The exact transform of all that comes after the blocks; see `keras_vit.export.folding`."""

import numpy as np

from keras_vit.config import ViTConfig
from keras_vit.export.dense import Affine, Dense, Variables
from keras_vit.export.folding_block import folded_mlp

Arrays = dict[str, np.ndarray]


def folded_output(variables: Variables, config: ViTConfig) -> Arrays:
    """Pool, representation and heads, with the scale and offset of the final norm in them."""
    norm = variables.norm("encoder_norm") if config.final_norm else None
    folded: Arrays = {}
    if config.pool == "map":
        folded |= _attention_pool(variables, config, norm)
        norm = None  # the next dense layer reads the pool
    elif norm is not None and config.pool == "token_and_average":
        norm = _twice(norm)  # a mean of normalised tokens has the same scale and offset
    if config.representation_size:
        folded |= variables.dense("pre_logits").after(norm).named("pre_logits")
        norm = None
    elif norm is not None:
        folded |= norm.named("features")
    if config.num_classes:
        names = ("head", "distillation_head") if config.distillation_token else ("head",)
        heads = [variables.dense(name).after(norm) for name in names]
        folded |= _mean_of(heads).named("head")
    return folded


def _twice(norm: Affine) -> Affine:
    beta = None if norm.beta is None else np.tile(norm.beta, 2)
    return Affine(np.tile(norm.gamma, 2), beta)


def _mean_of(heads: list[Dense]) -> Dense:
    """One layer whose input is that of all heads side by side: its product is their mean."""
    kernel = np.concatenate([head.kernel for head in heads]) / len(heads)
    biases = [head.bias for head in heads if head.bias is not None]
    return Dense(kernel, np.sum(biases, axis=0) / len(heads) if biases else None)


def _attention_pool(variables: Variables, config: ViTConfig, norm: Affine | None) -> Arrays:
    """The query is a constant, so that it is multiplied into the keys, whose bias softmax does not
    see."""
    heads = config.pool_heads or config.num_heads
    query = variables.dense("pool/attention/query", config.width)
    probe = (variables("pool/probe")[0, 0] @ query.kernel + query.bias).reshape(heads, -1)
    probe = probe * probe.shape[1] ** -0.5  # (heads, head_dim)
    scores = np.einsum("dhe,he->dh", variables("pool/attention/key/kernel"), probe)
    values = variables.dense("pool/attention/value", config.width)
    output = variables.dense("pool/attention/attention_output", config.width)
    mlp, mlp_output = folded_mlp(
        variables, config, "pool/mlp", "pool/mlp", variables.norm("pool/mlp_norm")
    )
    return {
        **Dense(scores, np.zeros(heads)).after(norm).named("pool/scores"),
        **values.after(norm).named("pool/values"),
        **output.named("pool/attention_output"),
        "pool/epsilon": np.asarray(config.norm_epsilon, "float64"),
        **mlp,
        **mlp_output.named("pool/mlp_output"),
    }
