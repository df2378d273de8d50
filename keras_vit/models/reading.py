# SPDX-License-Identifier: MIT
"""Reads the configuration of a model off its layers, and finds where layers contradict one."""

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

import keras

from keras_vit.config import ViTConfig
from keras_vit.errors import UserError
from keras_vit.layers import (
    AttentionPool,
    PatchEncoder,
    Patches,
    ResNetStem,
    RMSNorm,
    TokenPool,
    TransformerBlock,
)
from keras_vit.models.graph import forward, make_layers

_FIELDS = {field.name for field in dataclasses.fields(ViTConfig)}
# What a graph cannot do without, and what its configuration is read from.
_NEEDED = {
    "rescaling": keras.layers.Rescaling,
    "patches": Patches,
    "patch_encoder": PatchEncoder,
    "block_00": TransformerBlock,
    "pool": (TokenPool, AttentionPool),
}
_NORM = (keras.layers.LayerNormalization, RMSNorm)
_OPTIONAL = {
    "embedding_norm": _NORM,
    "encoder_norm": _NORM,
    "resnet_stem": ResNetStem,
    "pre_logits": keras.layers.Dense,
    "head": keras.layers.Dense,
}
# What does not decide a layer's output: how it computes and trains, and where it started from.
_FREE = {
    *("name", "dtype", "trainable", "seed"),
    *("quantized", "quantization_config", "lora_rank", "lora_alpha"),
}
_FREE_ENDINGS = ("_initializer", "_regularizer", "_constraint")
_OUTPUT = "the output"  # among what reads layers


def read_config(model: keras.Model, graph: dict[str, Any]) -> ViTConfig:
    """Reads what a functional model is off its layers.

    Args:
        model: a model whose layers have the names and classes of those that `vit` makes.
        graph: what Keras writes of the model (`get_config`).

    Raises:
        UserError: for any other model.
    """
    layers = {layer.name: layer for layer in model.layers}
    _check_classes(model, layers)
    blocks = [layer for name, layer in layers.items() if name.startswith("block_")]
    values: dict[str, Any] = {}
    for layer in (layers["patch_encoder"], layers["block_00"]):  # they name them as ViTConfig does
        values |= {name: v for name, v in layer.get_config().items() if name in _FIELDS}
    values |= _front(layers) | _block(layers["block_00"]) | _end(layers)
    values |= {
        "image_size": tuple(model.input_shape[1:3]),
        "channels": model.input_shape[-1],
        "depth": len(blocks),
        "stochastic_depth": getattr(blocks[-1], "stochastic_depth", 0.0),
        "embedding_norm": "embedding_norm" in layers,
        "final_norm": "encoder_norm" in layers,
        "norm_after_pool": _wires(graph).get("encoder_norm") == ["pool"],
    }
    config = ViTConfig(**values)
    check_graph(config, model, graph)
    return config


def check_graph(config: ViTConfig, model: keras.Model, graph: dict[str, Any]) -> None:
    """Checks that a functional model is the one that `vit` makes of a configuration.

    Compared are the layers, what decides their outputs, and what they read; not precision,
    quantisation, LoRA, freezing and first values of variables, which a model has for itself.

    Args:
        config: the configuration.
        model: the model.
        graph: what Keras writes of the model (`get_config`).

    Raises:
        UserError: names the first difference.
    """
    _check_classes(model, {layer.name: layer for layer in model.layers})
    difference = next(_differences(config, model, graph), None)
    if difference:
        raise UserError(
            f"{model.name}: is not what keras_vit.vit makes of its configuration: {difference}. "
            "Keras runs, trains and saves it all the same; exports and files for other libraries "
            "need a model as keras_vit.vit makes it."
        )


def _check_classes(model: keras.Model, layers: dict[str, keras.layers.Layer]) -> None:
    wrong = [name for name, kind in _NEEDED.items() if not isinstance(layers.get(name), kind)]
    wrong += [
        name
        for name, kind in _OPTIONAL.items()
        if name in layers and not isinstance(layers[name], kind)
    ]
    if wrong:
        raise UserError(
            f"expected a model built by keras_vit.vit, received {model.name!r} without its "
            f"layers {', '.join(sorted(wrong))}."
        )
    if not hasattr(model.input, "shape"):
        raise UserError(
            f"{model.name}: expected the pixels as its only input, received a "
            f"{type(model.input).__name__} of {len(model.inputs)}."
        )


def _front(layers: dict[str, keras.layers.Layer]) -> dict[str, Any]:
    """The fields that decide what comes before the blocks."""
    scale, offset = layers["rescaling"].scale, layers["rescaling"].offset
    scale, offset = (v if isinstance(v, list | tuple) else (v,) for v in (scale, offset))
    stem = layers.get("resnet_stem")
    values = {
        "patch_size": layers["patches"].patch_size,
        # Rescaling holds 1 / (255 std) and -mean / std; ten digits undo the division's rounding.
        "pixel_mean": tuple(round(-o / (255 * s), 10) for s, o in zip(scale, offset, strict=True)),
        "pixel_std": tuple(round(1 / (255 * s), 10) for s in scale),
    }
    if stem:
        values |= {
            "resnet_stages": stem.stages,
            "resnet_width": stem.width,
            "resnet_form": stem.form,
        }
    return values


def _block(block: TransformerBlock) -> dict[str, Any]:
    """The fields that a block hands on to its attention and its MLP."""
    attention, mlp = block.attention.get_config(), block.mlp.get_config()
    rotary = attention["rotary"]
    values = {
        "qk_norm": attention["qk_norm"],
        "qkv_bias": attention["qkv_bias"],
        "dense_bias": attention["output_bias"],
        "attention_inner_norm": attention["inner_norm"],
        "relative_position_bias": attention["relative_position_bias"] is not None,
        "gated_mlp": mlp["gated"],
        "mlp_inner_norm": mlp["inner_norm"],
    }
    if rotary:
        values |= {
            "rotary": rotary["kind"],
            "rotary_temperature": rotary["temperature"],
            "rotary_reference_grid": rotary["reference_grid"],
            "rotary_offset": rotary["offset"],
        }
    return values


def _end(layers: dict[str, keras.layers.Layer]) -> dict[str, Any]:
    """The fields that decide what comes after the blocks."""
    pool, representation, head = layers["pool"], layers.get("pre_logits"), layers.get("head")
    values = {
        "pool": pool.kind if isinstance(pool, TokenPool) else "map",
        # Of a model without such tokens the configuration says False by itself.
        "pool_includes_prefix": not pool.num_prefix_tokens,
        "representation_size": representation.units if representation else 0,
        "num_classes": head.units if head else 0,
    }
    if isinstance(pool, AttentionPool):
        values |= {"pool_heads": pool.num_heads, "pool_mlp_dim": pool.mlp_dim}
    if head:
        start = head.bias_initializer.get_config().get("value", 0.0) if head.use_bias else None
        values["head_bias"] = start
    return values


def _differences(config: ViTConfig, model: keras.Model, graph: dict[str, Any]) -> Iterator[str]:
    """What is otherwise than `vit(config)` has it, in the words of a message."""
    expected, found = make_layers(config), {layer.name: layer for layer in model.layers}
    if "patch_dropout" in found:  # belongs to a run, see `vit`
        expected["patch_dropout"] = found["patch_dropout"]
    shape = (*config.image_size, config.channels)
    if model.input_shape[1:] != shape:
        yield f"it reads {model.input_shape[1:]}, expected {shape}"
    for name in sorted(set(expected) ^ set(found) - {"pixels"}):
        yield f"{name} is {'missing' if name in expected else 'none of its layers'}"
    for name, layer in expected.items():
        if type(found[name]) is not type(layer):
            yield f"{name} is a {type(found[name]).__name__}, expected {type(layer).__name__}"
        received = found[name].get_config()
        for key, value in layer.get_config().items():
            if _decides(key) and not _equal(value, received.get(key)):
                yield f"{name} has {key}={received.get(key)}, expected {value}"
    yield from _rewired(_expected_wires(config, expected), _wires(graph))


def _rewired(expected: dict[str, list[str]], found: dict[str, list[str]]) -> Iterator[str]:
    for name, sources in expected.items():
        if found[name] != sources:
            yield f"{name} reads {' and '.join(found[name])}, expected {' and '.join(sources)}"


def _expected_wires(
    config: ViTConfig, layers: dict[str, keras.layers.Layer]
) -> dict[str, list[str]]:
    """The layers that each layer reads: the forward pass, done with names instead of tensors."""
    wires: dict[str, list[str]] = {"pixels": []}

    def passing(name: str):
        def layer(source: str | list[str]) -> str:
            wires[name] = source if isinstance(source, list) else [source]
            return name

        return layer

    wires[_OUTPUT] = [forward(config, {name: passing(name) for name in layers}, "pixels")]
    return wires


def _wires(graph: dict[str, Any]) -> dict[str, list[str]]:
    """The same of a model. A flag among the arguments counts as something that is read."""
    wires = {layer["name"]: list(_sources(layer["inbound_nodes"])) for layer in graph["layers"]}
    outputs = graph["output_layers"]
    outputs = [outputs] if isinstance(outputs[0], str) else outputs
    return {**wires, _OUTPUT: [output[0] for output in outputs]}


def _sources(node: Any) -> Iterator[str]:
    if isinstance(node, list | tuple):
        for item in node:
            yield from _sources(item)
    elif isinstance(node, dict) and "keras_history" in node.get("config", {}):
        yield node["config"]["keras_history"][0]
    elif isinstance(node, dict):
        yield from _sources(list(node.values()))
    elif node is True:  # as `training=True`, which changes what is computed
        yield "a flag"


def _decides(key: str) -> bool:
    """Whether an argument of a layer decides its output."""
    return key not in _FREE and not key.endswith(_FREE_ENDINGS)


def _equal(one: Any, other: Any) -> bool:
    """Whether two values of layers are the same but for a float's last digits."""
    if isinstance(other, list) and len(other) == 1 and isinstance(one, int):
        other = other[0]  # LayerNormalization makes a list of its axis when it is built
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(_equal, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_equal(one[key], other[key]) for key in one)
    if isinstance(one, float) and isinstance(other, int | float):
        return math.isclose(one, other, rel_tol=1e-9)
    return one == other
