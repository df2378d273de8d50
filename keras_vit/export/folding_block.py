# SPDX-License-Identifier: MIT
"""The exact transform of a Transformer block; see `keras_vit.export.folding`."""

import numpy as np

from keras_vit.config import ViTConfig
from keras_vit.export.dense import Affine, Dense, Variables, beside, centred
from keras_vit.export.residual import loses_mean
from keras_vit.layers.relative_position import relative_position_index
from keras_vit.layers.rotary import axial_angles, coordinates

Arrays = dict[str, np.ndarray]
_QUICK = 1.702  # quick GELU is x * sigmoid(1.702 x)


def folded_block(variables: Variables, config: ViTConfig, name: str) -> Arrays:
    """The arrays of one block, in the order in which the graph multiplies by them."""
    before = config.norm_placement == "before"
    norms = [variables.norm(f"{name}/{branch}_norm") for branch in ("attention", "mlp")]
    entry = norms if before else [None, None]
    folded = _attention(variables, config, name, entry[0])
    out = variables.dense(f"{name}/attention/attention_output", config.width)
    if config.attention_inner_norm:
        out = out.after(variables.norm(f"{name}/attention/inner_norm"))
        folded[f"{name}/attention_inner/epsilon"] = np.asarray(config.norm_epsilon, "float64")
    folded |= _branch_end(variables, config, f"{name}/attention", out, norms[0])
    mlp, output = folded_mlp(variables, config, f"{name}/mlp", f"{name}/mlp", entry[1])
    return folded | mlp | _branch_end(variables, config, f"{name}/mlp", output, norms[1])


def folded_mlp(
    variables: Variables, config: ViTConfig, path: str, name: str, norm: Affine | None
) -> tuple[Arrays, Dense]:
    """An MLP: the arrays up to its last layer, and that one.

    With y = 1.702 x, quick GELU is y * sigmoid(y) / 1.702: the operators of SiLU, and two factors
    that go into the layers around it. A norm of the hidden layer does not see such a factor if its
    epsilon has the square of it.

    Args:
        variables: those of the model.
        config: its configuration.
        path: of the MLP in the model.
        name: what the names of the arrays begin with.
        norm: what is done to the channels of its input.
    """
    quick = _QUICK if config.activation == "quick_gelu" else 1.0
    hidden = variables.dense(f"{path}/hidden").after(norm)
    output = variables.dense(f"{path}/output_projection")
    folded: Arrays = {}
    if f"{path}/gate/kernel" in variables:
        folded |= variables.dense(f"{path}/gate").after(norm).times(quick).named(f"{name}_gate")
        hidden, quick = hidden.times(1 / quick), 1.0
    folded |= hidden.times(quick).named(f"{name}_hidden")
    if f"{path}/inner_norm/gamma" not in variables:
        return folded, output.divided(quick)
    folded[f"{name}_inner/epsilon"] = np.asarray(config.norm_epsilon * quick**2, "float64")
    return folded, output.after(variables.norm(f"{path}/inner_norm"))


def rotary_tables(config: ViTConfig, frequencies: np.ndarray | None = None) -> Arrays:
    """Cosine and sine of the angles that queries and keys are turned by.

    Of rank four, `(1, 1 or heads, tokens, head_dim / 2)`, as the graph multiplies by them
    (`keras_vit.export.lint`). A token before the patches is turned by nothing.

    Args:
        config: the model's configuration.
        frequencies: `(2, heads, head_dim / 2)` of "mixed" positions.
    """
    places = coordinates(
        config.rotary, config.grid, config.rotary_reference_grid, config.rotary_offset
    )
    if frequencies is None:
        angles = axial_angles(places, config.head_dim, config.rotary_temperature)[None]
    else:
        angles = np.einsum("na,ahf->hnf", places, frequencies)
    angles = np.pad(angles, ((0, 0), (config.num_prefix_tokens, 0), (0, 0)))[None]
    return {"rotary/cos": np.cos(angles), "rotary/sin": np.sin(angles)}


def _attention(variables: Variables, config: ViTConfig, name: str, norm: Affine | None) -> Arrays:
    """Everything up to the joined heads."""
    parts = [
        variables.dense(f"{name}/attention/{part}", config.width)
        for part in ("query", "key", "value")
    ]
    if not config.qk_norm:  # which would undo the scale: there it goes into the norm of the queries
        parts[0] = parts[0].times(config.head_dim**-0.5)
    qkv = beside([part.after(norm) for part in parts])
    folded: Arrays = {}
    if config.qk_norm:
        qkv = _centred_heads(qkv, config) if config.norm == "layer" else qkv
        for kind, scale in (("query", config.head_dim**-0.5), ("key", 1.0)):
            affine = variables.norm(f"{name}/attention/{kind}_norm")
            folded |= affine.times(scale).named(f"{name}/{kind}_norm")
    if config.rotary == "mixed":
        tables = rotary_tables(config, variables(f"{name}/attention/rotary/frequencies"))
        folded |= {f"{name}/{kind}": table for kind, table in tables.items()}
    if config.relative_position_bias:
        table = variables(f"{name}/attention/relative_position_bias/table")
        index = relative_position_index(config.grid, config.class_token)
        # Of rank four, and added to the scores as it is: (1, heads, tokens, tokens).
        folded[f"{name}/relative_position_bias"] = table[index].transpose(2, 0, 1)[None]
    return qkv.named(f"{name}/qkv") | folded


def _centred_heads(qkv: Dense, config: ViTConfig) -> Dense:
    """Queries and keys without the mean of each head, which their LayerNorm removes."""

    def one(array: np.ndarray) -> np.ndarray:
        split = array.reshape(-1, 3, config.num_heads, config.head_dim).copy()
        split[:, :2] = centred(split[:, :2])
        return split.reshape(array.shape)

    return Dense(one(qkv.kernel), None if qkv.bias is None else one(qkv.bias))


def _branch_end(
    variables: Variables, config: ViTConfig, name: str, output: Dense, norm: Affine
) -> Arrays:
    """The last dense layer of a branch, and what is done to its output before the sum."""
    scale = variables(f"{name}_scale/gamma") if config.layer_scale is not None else 1.0
    if config.norm_placement == "before":
        output = output.times(scale)
        return (output.centred() if loses_mean(config) else output).named(f"{name}_output")
    # A LayerNorm of the branch is all that reads this layer; its own scale is added to the stream.
    output = output.centred() if config.norm == "layer" else output
    epsilon = {f"{name}_norm/epsilon": np.asarray(config.norm_epsilon, "float64")}
    return output.named(f"{name}_output") | epsilon | norm.times(scale).named(f"{name}_norm")
