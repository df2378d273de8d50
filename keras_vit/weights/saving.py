# SPDX-License-Identifier: MIT
"""Variables under our paths -> a checkpoint in any dialect. NumPy alone, but for `save`."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from keras_vit.config import HYBRIDS, ViTConfig
from keras_vit.errors import UserError, unknown
from keras_vit.files import write_text
from keras_vit.weights.dialects import WRITTEN, family
from keras_vit.weights.facts import to_metadata
from keras_vit.weights.formats import write_npz, write_safetensors
from keras_vit.weights.forms import in_form
from keras_vit.weights.naming import bind, write

if TYPE_CHECKING:
    import keras


def save(
    model: "keras.Model",
    path: str | os.PathLike,
    dialect: str,
    *,
    accept: str | Sequence[str] = (),
) -> None:
    """Writes a model's weights under the names of another library.

    Args:
        model: a model that `keras_vit.vit` built.
        path: a `.npz` file for "flax" and "big_vision"; a `.safetensors` file or a folder (with
            `config.json`) for "timm"; a folder for "hf".
        dialect: "flax", "big_vision", "timm" or "hf"; or a spelling of them: "flax_published" (as
            the official files), "big_vision_scan" (blocks stacked), "hf_v5".
        accept: fields of the configuration that the dialect cannot say and that may be lost, e.g.
            `("gelu",)`. Without, such a loss is an error.

    Raises:
        UserError: when the dialect cannot express the model, with every reason.
    """
    from keras_vit.models import config_of

    save_arrays(config_of(model), _Variables(model), path, dialect, accept=accept)


def save_arrays(
    config: ViTConfig,
    arrays: Mapping[str, np.ndarray],
    path: str | os.PathLike,
    dialect: str,
    *,
    accept: str | Sequence[str] = (),
) -> None:
    """`save` for a configuration and its variables by path, without a model.

    Args:
        config: what the model is.
        arrays: every variable by our path; read one at a time.
        path: as in `save`.
        dialect: as in `save`.
        accept: as in `save`.
    """
    if dialect not in WRITTEN:
        raise unknown("dialect", dialect, WRITTEN)
    path = Path(path)
    home = family(dialect)
    _check_path(path, home)
    accept = (accept,) if isinstance(accept, str) else tuple(accept)
    config, arrays = in_form(config, arrays, dialect, accept)
    # Configurations are made first: one that cannot be made leaves no half of a checkpoint.
    sidecars = _sidecars(config, home) if path.suffix != ".safetensors" else {}
    tensors = write(bind(dialect, config, _root(config, home)), arrays, config)
    if home in ("flax", "big_vision"):
        prefix = "params/" if home == "big_vision" else ""
        write_npz(path, ((prefix + name, shape, make) for name, shape, make in tensors))
        return
    file = path if path.suffix == ".safetensors" else path / "model.safetensors"
    write_safetensors(file, tensors, to_metadata(config))
    for name, values in sidecars.items():
        write_text(path / name, json.dumps(values, indent=2) + "\n")


class _Variables(Mapping[str, np.ndarray]):
    """The variables of a model as arrays, copied one at a time."""

    def __init__(self, model: "keras.Model"):
        from keras_vit.weights.model_variables import variables_of

        self._variables = variables_of(model)

    def __getitem__(self, path: str) -> np.ndarray:
        import keras

        return keras.ops.convert_to_numpy(self._variables[path])

    def __iter__(self) -> Iterator[str]:
        return iter(self._variables)

    def __len__(self) -> int:
        return len(self._variables)


def _check_path(path: Path, home: str) -> None:
    expected = {
        "flax": "a .npz file",
        "big_vision": "a .npz file",
        "timm": "a .safetensors file or a folder",
        "hf": "a folder",
    }[home]
    kinds = {".npz": "a .npz file", ".safetensors": "a .safetensors file"}
    received = kinds.get(path.suffix, "a folder" if not path.is_file() else "a file")
    if received not in expected:
        raise UserError(f"{path}: the {home} dialect is written to {expected}.")


def _root(config: ViTConfig, home: str) -> str:
    """What transformers puts before all names but those of the head; a bare ViTModel has none."""
    if home != "hf" or not config.num_classes:
        return ""
    return "deit." if _is_deit(config) else "vit."


def _is_deit(config: ViTConfig) -> bool:
    return config.distillation_token or config.register_tokens > 0


def _sidecars(config: ViTConfig, home: str) -> dict[str, dict]:
    if home == "hf":
        return {
            "config.json": hf_config(config),
            "preprocessor_config.json": _hf_preprocessor(config),
        }
    return {"config.json": _timm_config(config)} if home == "timm" else {}


def hf_config(config: ViTConfig) -> dict:
    """transformers' `config.json` of a configuration."""
    kind = "DeiT" if _is_deit(config) else "ViT"
    if not config.num_classes:
        architecture = f"{kind}Model"
    else:
        with_teacher = "WithTeacher" if config.distillation_token else ""
        architecture = f"{kind}ForImageClassification{with_teacher}"
    labels = {str(i): f"LABEL_{i}" for i in range(config.num_classes)}
    pooler = {}
    if config.representation_size:
        pooler = {"pooler_act": "tanh", "pooler_output_size": config.representation_size}
    return {
        "architectures": [architecture],
        "model_type": kind.lower(),
        "hidden_size": config.width,
        "num_hidden_layers": config.depth,
        "num_attention_heads": config.num_heads,
        "intermediate_size": config.mlp_dim,
        "hidden_act": "gelu" if config.gelu == "exact" else "gelu_pytorch_tanh",
        "layer_norm_eps": config.norm_epsilon,
        "image_size": _one_or_two(config.image_size),
        "patch_size": _one_or_two(config.patch_size),
        "num_channels": config.channels,
        "qkv_bias": True,
        "hidden_dropout_prob": config.dropout,
        "attention_probs_dropout_prob": config.attention_dropout,
        **pooler,
        "id2label": labels,
        "label2id": {label: int(i) for i, label in labels.items()},
    }


def _hf_preprocessor(config: ViTConfig) -> dict:
    height, width = config.image_size
    return {
        "image_processor_type": "ViTImageProcessor",
        "do_resize": True,
        "size": {"height": height, "width": width},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": _each_channel(config.pixel_mean, config),
        "image_std": _each_channel(config.pixel_std, config),
    }


# timm builds the ResNet of a hybrid by the name of the architecture alone.
_TIMM_HYBRIDS = {
    "R+Ti/16": "vit_tiny_r_s16_p8_224",
    "R26+S/32": "vit_small_r26_s32_224",
    "R26+B/32": "vit_base_r26_s32_224",
    "R50+B/16": "vit_base_r50_s16_224",
    "R50+L/32": "vit_large_r50_s32_224",
}


def _timm_config(config: ViTConfig) -> dict:
    architecture = "vit_base_patch16_224"
    if config.distillation_token:
        architecture = "deit_base_distilled_patch16_224"
    arguments = {
        "img_size": list(config.image_size),
        "patch_size": _one_or_two(config.patch_size),
        "in_chans": config.channels,
        "embed_dim": config.width,
        "depth": config.depth,
        "num_heads": config.num_heads,
        "mlp_ratio": (config.mlp_dim + 0.5) / config.width,  # timm rounds down
        "class_token": config.class_token,
        "global_pool": {"token": "token", "average": "avg", "map": "map"}[config.pool],
        "pool_include_prefix": config.pool_includes_prefix,
        "fc_norm": config.norm_after_pool,
        "reg_tokens": config.register_tokens,
        "no_embed_class": config.num_prefix_positions == 0,
        "pos_embed": "none" if config.position == "none" else "learn",
        "init_values": config.layer_scale,
        "qk_norm": config.qk_norm,
        "act_layer": "gelu" if config.gelu == "exact" else "gelu_tanh",
    }
    if config.norm_epsilon != 1e-6:
        raise UserError(
            f"timm's config.json cannot say norm_epsilon={config.norm_epsilon}. Write a bare "
            ".safetensors file, and make the model in timm with "
            f"norm_layer=partial(LayerNorm, eps={config.norm_epsilon})."
        )
    if config.resnet_stages is not None:
        architecture = _timm_hybrid(config)
        arguments = {k: v for k, v in arguments.items() if k not in ("patch_size", "in_chans")}
    return {
        "architecture": architecture,
        "num_classes": config.num_classes,
        "num_features": config.width,
        "global_pool": arguments["global_pool"],
        "model_args": arguments,
        "pretrained_cfg": {
            "input_size": [config.channels, *config.image_size],
            "mean": _each_channel(config.pixel_mean, config),
            "std": _each_channel(config.pixel_std, config),
            "num_classes": config.num_classes,
        },
    }


def _timm_hybrid(config: ViTConfig) -> str:
    stem = (config.resnet_stages, config.resnet_width, config.patch_size)
    for name, (_, stages, patch) in HYBRIDS.items():
        if stem == (stages, 64, (patch, patch)):
            return _TIMM_HYBRIDS[name]
    raise UserError(
        "timm has no architecture with this ResNet stem, so that a config.json cannot name it. "
        "Write a bare .safetensors file."
    )


def _one_or_two(pair: tuple[int, int]) -> int | list[int]:
    return pair[0] if pair[0] == pair[1] else list(pair)


def _each_channel(values: tuple[float, ...], config: ViTConfig) -> list[float]:
    return list(values * (config.channels // len(values)))
