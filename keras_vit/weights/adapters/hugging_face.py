# SPDX-License-Identifier: MIT
"""What all families of Hugging Face transformers share: folders whose `config.json` says what the
tensors do not."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypedDict

import numpy as np

from keras_vit.config import ViTConfig
from keras_vit.errors import UserError
from keras_vit.preprocessing import Preprocessing, View
from keras_vit.untrusted.schema import check
from keras_vit.weights.adapter import Adapter, Taps
from keras_vit.weights.config_files import (
    Facts,
    Side,
    config_file,
    each_channel,
    image_size,
    one_or_two,
    preprocessor_facts,
    read_json,
    translated,
)
from keras_vit.weights.infer import Tensors, check_told
from keras_vit.weights.resample import Resampling
from keras_vit.weights.table import (
    PATCHES_TORCH,
    Rule,
    row,
    torch_dense,
    torch_heads_in,
    torch_heads_out,
)
from keras_vit.weights.views import to_transformers

if TYPE_CHECKING:
    from keras_vit.weights.source import Source

Settings = dict[str, Any]  # what a config.json holds

# Their words for activations, and ours. Of several the first is the one that is written.
ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_python": "gelu",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_new": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "quick_gelu": "quick_gelu",
    "silu": "silu",
    "swish": "silu",
    "relu": "relu",
}


class _Config(TypedDict, total=False):
    model_type: str
    hidden_act: str | None
    image_size: Side | dict[str, Any]


def bert_attention(theirs: str) -> list[Rule]:
    """The attention of a block under the names that BERT gave it, which many families keep.

    Args:
        theirs: name of their block.
    """
    ours = "block_{block}/attention"
    return [
        *[
            rule
            for part in ("query", "key", "value")
            for rule in torch_heads_in(ours, (part,), f"{theirs}.attention.attention.{part}")
        ],
        *torch_heads_out(ours, f"{theirs}.attention.output.dense"),
    ]


def bert_mlp(theirs: str) -> list[Rule]:
    """The MLP of a block, likewise."""
    return [
        *torch_dense("block_{block}/mlp/hidden", f"{theirs}.intermediate.dense"),
        *torch_dense("block_{block}/mlp/output_projection", f"{theirs}.output.dense"),
    ]


def patch_projection(theirs: str) -> list[Rule]:
    """The convolution of PyTorch that makes tokens of patches."""
    return [
        row("patch_encoder/projection/kernel", f"{theirs}.weight", PATCHES_TORCH),
        row("patch_encoder/projection/bias", f"{theirs}.bias"),
    ]


def qkv_bias(tensors: Tensors, query: str, key: str, value: str) -> str:
    """Which of queries, keys and values have a bias.

    Args:
        tensors: of the file.
        query: name of the bias of the first block's queries.
        key: of its keys.
        value: of its values.

    Raises:
        UserError: for a combination that the model here has not.
    """
    has = tuple(name in tensors for name in (query, key, value))
    words = {(True,) * 3: "all", (True, False, True): "query_value", (False,) * 3: "none"}
    if has not in words:
        raise UserError(
            f"{tensors.source}: of queries, keys and values, {has.count(True)} have biases; the "
            "model here can have them for all, for queries and values, or for none."
        )
    return words[has]


class HuggingFace(Adapter):
    """A family of transformers.

    Attributes:
        kinds: what its config classes say where a `config.json` does not, by `model_type`.
        towers: of these `model_type`s, those that hold text as well; the images' own settings are
            under `vision_config`.
        embedding_norm: last part of the name of the norm before the blocks in its models.
    """

    kinds: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    towers: tuple[str, ...] = ()
    embedding_norm: str | None = None
    resampling = Resampling("bicubic")
    written_to = ("folder",)
    reference = "hf"

    def describes(self, config: Settings) -> bool:
        kind = config.get("model_type")
        return "architecture" not in config and isinstance(kind, str) and kind in self.kinds

    def check_described(self, config: Settings, source: str) -> None:
        self.described(config, source)

    def facts(self, config: Settings, file: Path, architecture: str | None) -> Facts:
        return (self.described(config, str(file)) if config else {}) | preprocessor_facts(file)

    def described(self, config: Settings, source: str) -> Facts:
        """What a `config.json` tells; its settings, completed by the usual ones, are `settings`.

        Raises:
            UserError: for a setting that the model here has not, by the name of the feature.
        """
        settings = self.settings(config, source)
        facts: Facts = {
            "named": f"model_type {config['model_type']}",
            "settings": settings,
            "num_heads": settings.get("num_attention_heads"),
            "norm_epsilon": settings.get("layer_norm_eps"),
            "width": settings.get("hidden_size"),
            "depth": settings.get("num_hidden_layers"),
            "mlp_dim": settings.get("intermediate_size"),
            "activation": translated(
                ACTIVATIONS, settings.get("hidden_act", "gelu"), "hidden_act", source
            ),
            "image_size": image_size(settings.get("image_size", 224), source),
        }
        return {name: value for name, value in facts.items() if value is not None}

    def settings(self, config: Settings, source: str) -> Settings:
        """The settings of the encoder of images, with those that are left out."""
        kind = config["model_type"]
        own = check(config, _Config, source)
        if kind in self.towers:
            own = check(config.get("vision_config") or {}, _Config, f"{source}: vision_config")
        return {**self.kinds[kind], **own, "model_type": kind}

    def unnamed(self, tensors: Tensors, facts: Facts) -> Facts:
        check_told(tensors, facts, ("num_heads", "activation", "norm_epsilon"))
        return {}

    def sidecars(self, config: ViTConfig, view: View) -> dict[str, Settings]:
        return {
            "config.json": self.config_json(config),
            "preprocessor_config.json": preprocessor_json(config, view),
        }

    def config_json(self, config: ViTConfig) -> Settings:
        """The `config.json` of a model; `architectures` names the class that computes it."""
        raise NotImplementedError

    def run_reference(self, source: "Source", images: np.ndarray) -> tuple[Taps, dict[str, str]]:
        from keras_vit.weights.parity import references

        settings = self.reference_json(source.config, read_json(config_file(source.path)))
        return references.run_transformers(
            source, settings, images, self.at_home, self.embedding_norm, self.forward
        )

    def reference_json(self, config: ViTConfig, own: Settings) -> Settings:
        """The `config.json` with which transformers computes what a model here does.

        Args:
            config: the model.
            own: what lies next to the checkpoint; `{}` without.
        """
        ours = self.config_json(config)
        same = own.get("model_type") == ours["model_type"]
        return {**ours, **own, "architectures": ours["architectures"]} if same else ours

    def forward(self, model: Any, images: Any) -> Any:
        """The outputs of their model.

        Args:
            model: of transformers.
            images: PyTorch's tensor `(batch, channels, height, width)`, normalised.
        """
        return model(images)

    def at_home(self, outputs: Any) -> Any:
        """What of the outputs of their model ours returns: the logits, or the representation."""
        if getattr(outputs, "logits", None) is not None:
            return outputs.logits
        pooled = getattr(outputs, "pooler_output", None)
        return outputs.last_hidden_state[:, 0] if pooled is None else pooled


def not_square(config: ViTConfig) -> bool:
    """Whether a model has a grid that is not square: several families of transformers take the root
    of the number of positions for its side."""
    return config.grid[0] != config.grid[1] or config.image_size[0] != config.image_size[1]


def refuse(settings: Settings, features: Mapping[str, str], source: str) -> None:
    """Refuses settings that are on, and mean what the model here has not.

    Args:
        settings: of the encoder.
        features: what each setting means, in words.
        source: what to call the file in messages.
    """
    for field, feature in features.items():
        if settings.get(field):
            raise UserError(f"{source}: {field}: the model has {feature}, the model here has not.")


def common_json(config: ViTConfig) -> Settings:
    """The settings that nearly every family has under the same names."""
    words = {ours: theirs for theirs, ours in reversed(ACTIVATIONS.items())}
    return {
        "hidden_size": config.width,
        "num_hidden_layers": config.depth,
        "num_attention_heads": config.num_heads,
        "intermediate_size": config.mlp_dim,
        "hidden_act": words[config.activation],
        "layer_norm_eps": config.norm_epsilon,
        "image_size": one_or_two(config.image_size),
        "patch_size": one_or_two(config.patch_size),
        "num_channels": config.channels,
        "hidden_dropout_prob": config.dropout,
        "attention_probs_dropout_prob": config.attention_dropout,
        **labels_json(config),
    }


def labels_json(config: ViTConfig) -> Settings:
    """Names of classes, which tell transformers how many there are."""
    labels = {str(i): f"LABEL_{i}" for i in range(config.num_classes)}
    return {"id2label": labels, "label2id": {label: int(i) for i, label in labels.items()}}


def preprocessor_json(config: ViTConfig, view: View) -> Settings:
    """The `preprocessor_config.json` of a model: what it sees, and the statistics of its pixels."""
    return {
        **to_transformers(Preprocessing(config.image_size, config.channels, view)),
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": each_channel(config.pixel_mean, config),
        "image_std": each_channel(config.pixel_std, config),
    }
