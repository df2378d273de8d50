# SPDX-License-Identifier: MIT
"""A family of checkpoints that nobody published: all that has to be written to add one."""

import math

import numpy as np

from keras_vit.weights import Adapter
from keras_vit.weights.config_files import image_size, translated
from keras_vit.weights.infer import check_told, head, heads
from keras_vit.weights.resample import Resampling
from keras_vit.weights.table import (
    PATCHES_TORCH,
    Transform,
    row,
    torch_dense,
    torch_heads_in,
    torch_heads_out,
    torch_norm,
)

# Their MLP counts its channels from the last: (inputs, outputs) <-> (outputs backwards, inputs).
BACKWARDS = Transform(lambda x, c: x.T[::-1], lambda x, c: x[::-1].T)
BACKWARDS_BIAS = Transform(lambda x, c: x[::-1], lambda x, c: x[::-1])
ACTIVATIONS = {"erf": "gelu", "tanh": "gelu_tanh"}


class Toy(Adapter):
    """Tokens without a class token, averaged; heads and GELU are in `config.json`."""

    name = "toy"
    dialects = {  # noqa: RUF012 - never changed
        "toy": (
            row("patch_encoder/projection/kernel", "stem.weight", PATCHES_TORCH),
            row("patch_encoder/projection/bias", "stem.bias"),
            row("patch_encoder/position_embedding", "places"),
            *torch_norm("block_{block}/attention_norm", "layer{block1}.n1"),
            *torch_heads_in("block_{block}/attention", ("query",), "layer{block1}.q"),
            *torch_heads_in("block_{block}/attention", ("key", "value"), "layer{block1}.kv"),
            *torch_heads_out("block_{block}/attention", "layer{block1}.o"),
            *torch_norm("block_{block}/mlp_norm", "layer{block1}.n2"),
            row("block_{block}/mlp/hidden/kernel", "layer{block1}.up.weight", BACKWARDS),
            row("block_{block}/mlp/hidden/bias", "layer{block1}.up.bias", BACKWARDS_BIAS),
            *torch_dense("block_{block}/mlp/output_projection", "layer{block1}.down"),
            *torch_norm("encoder_norm", "last"),
            *torch_dense("head", "classes"),
        )
    }
    landmarks = ("stem.weight",)
    prefixes = ("", "net.")
    resampling = Resampling("bilinear")
    written_to = ("folder",)
    cannot = {  # noqa: RUF012
        "a class token": lambda c: c.class_token,
        "a pool other than the average": lambda c: c.pool != "average",
        "positions that are not learned": lambda c: c.position != "learned",
    }
    reference = "toy"

    def describes(self, config):
        return config.get("model_type") == "toy"

    def facts(self, config, file, architecture):
        if not config:
            return {}
        return {
            "named": "model_type toy",
            "num_heads": config["heads"],
            "activation": translated(ACTIVATIONS, config["activation"], "activation", str(file)),
            "image_size": image_size(config["image"], str(file)),
        }

    def unnamed(self, tensors, facts):
        check_told(tensors, facts, ("num_heads", "activation"))
        return {}

    def fields(self, tensors, facts):
        width, channels, *patch_size = tensors.shape("stem.weight", 4)
        return {
            "width": width,
            "channels": channels,
            "patch_size": tuple(patch_size),
            "depth": tensors.count(r"layer(\d+)\."),
            "mlp_dim": tensors.shape("layer1.up.weight", 2)[0],
            "num_heads": heads(width, None, facts, tensors.source),
            "class_token": False,
            "pool": "average",
            "position_rows": tensors.shape("places", 3)[1],
            "prefix_tokens": 0,
            **head(tensors, "classes.weight", "classes.bias", outputs_first=True),
        }

    def sidecars(self, config, view):
        words = {ours: theirs for theirs, ours in ACTIVATIONS.items()}
        told = {
            "model_type": "toy",
            "heads": config.num_heads,
            "activation": words[config.activation],
        }
        return {"config.json": {**told, "image": list(config.image_size)}}

    def run_reference(self, source, images):
        tensors = {name: source.checkpoint[name] for name in source.checkpoint}
        return forward(tensors, images, source.config.num_heads), {"toy": "1.0"}


def forward(w, images, num_heads):
    """The model of the family, in NumPy: what every layer computes of `(batch, H, W, C)`."""
    width, _, patch, _ = w["stem.weight"].shape
    batch, height, _, channels = images.shape
    side = height // patch
    x = images.reshape(batch, side, patch, side, patch, channels).transpose(0, 1, 3, 5, 2, 4)
    x = x.reshape(batch, side * side, -1)  # (batch, N, C * P * P)
    x = x @ w["stem.weight"].reshape(width, -1).T + w["stem.bias"] + w["places"]
    taps, block = {"patch_encoder": x}, 0
    while f"layer{block + 1}.q.weight" in w:
        part = f"layer{block + 1}"
        x = x + attention(w, part, norm(x, w, f"{part}.n1"), num_heads)
        y = linear(norm(x, w, f"{part}.n2"), w, f"{part}.up")[..., ::-1]
        x = x + linear(gelu(y), w, f"{part}.down")
        taps[f"block_{block:02d}"] = x
        block += 1
    x = norm(x, w, "last").mean(axis=1)  # (batch, D)
    return {**taps, "logits": linear(x, w, "classes")}


def attention(w, part, x, num_heads):
    def split(y):  # (batch, N, D) -> (batch, heads, N, d)
        return y.reshape(*y.shape[:2], num_heads, -1).transpose(0, 2, 1, 3)

    q = split(linear(x, w, f"{part}.q"))
    k, v = map(split, np.split(linear(x, w, f"{part}.kv"), 2, axis=-1))
    scores = np.exp(q @ k.transpose(0, 1, 3, 2) / math.sqrt(q.shape[-1]))
    mixed = scores / scores.sum(axis=-1, keepdims=True) @ v
    return linear(mixed.transpose(0, 2, 1, 3).reshape(x.shape), w, f"{part}.o")


def linear(x, w, name):
    return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]


def norm(x, w, name):
    y = x - x.mean(axis=-1, keepdims=True)
    y = y / np.sqrt((y * y).mean(axis=-1, keepdims=True) + 1e-6)
    return y * w[f"{name}.weight"] + w[f"{name}.bias"]


def gelu(x):
    return 0.5 * x * (1 + np.vectorize(math.erf)(x / math.sqrt(2))).astype(x.dtype)
