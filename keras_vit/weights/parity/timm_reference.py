# SPDX-License-Identifier: MIT
"""timm's own code, for a certificate: by the name of an architecture, or of a configuration."""

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_vit.config import ViTConfig
from keras_vit.weights.adapter import Taps
from keras_vit.weights.adapters.timm_tables import gate_apart, kind_of
from keras_vit.weights.adapters.timm_writing import arguments_of
from keras_vit.weights.config_files import config_file, read_json
from keras_vit.weights.parity import references

if TYPE_CHECKING:
    from keras_vit.weights.source import Source


def run(
    source: "Source", images: np.ndarray, state: dict[str, np.ndarray] | None = None
) -> tuple[Taps, dict[str, str]]:
    """Runs the tensors of a file of timm in timm.

    Args:
        source: an opened checkpoint.
        images: `(batch, height, width, channels)`, normalised.
        state: its tensors by the names in timm, where these are not those of the table.

    Returns:
        Outputs by layer, and versions.
    """
    timm = references.import_timm()
    told = read_json(config_file(source.path))
    model = _named(timm, told, source.config) if "architecture" in told else None
    model = timm_model(source.config) if model is None else model
    state = state or {
        source.adapter.written_name(name, source.config): source.checkpoint[name]
        for name in source.checkpoint
    }
    norm = model.norm_pre if source.config.embedding_norm else None
    taps = references.run_torch(model, source, images, model.blocks, state, embedding_norm=norm)
    return taps, {"timm": timm.__version__}


def _named(timm, told: dict[str, Any], config: ViTConfig):
    """What timm itself makes of a `config.json`."""
    arguments = {"num_classes": config.num_classes, **(told.get("model_args") or {})}
    if told.get("global_pool") is not None:
        arguments.setdefault("global_pool", told["global_pool"])
    return timm.create_model(told["architecture"].partition(".")[0], **arguments)


def timm_model(config: ViTConfig):
    """The timm model of a configuration, with random weights."""
    timm = references.import_timm()
    import torch
    from timm.layers import RmsNorm, SwiGLU, SwiGLUPacked

    kind = kind_of(config)
    norm = torch.nn.LayerNorm if config.norm == "layer" else RmsNorm
    arguments = {
        **arguments_of(config),
        "num_classes": config.num_classes,
        "norm_layer": partial(norm, eps=config.norm_epsilon),
    }
    if kind == "Eva":
        return timm.models.eva.Eva(**arguments)
    if kind == "Beit":
        return timm.models.beit.Beit(**arguments)
    after = config.norm_placement == "after"
    if kind == "VisionTransformerRelPos":
        module = timm.models.vision_transformer_relpos
        block = module.ResPostRelPosBlock if after else module.RelPosBlock
        return module.VisionTransformerRelPos(**arguments, block_fn=block)
    module = timm.models.vision_transformer
    if after:
        arguments["block_fn"] = module.ResPostBlock
    if config.patch_norm:
        arguments["embed_norm_layer"] = arguments["norm_layer"]
    if config.gated_mlp:
        arguments["mlp_layer"] = SwiGLU if gate_apart(config, kind) else SwiGLUPacked
    if config.resnet_stages is not None:
        arguments["embed_layer"] = partial(_hybrid_embed, config)
    distilled = timm.models.deit.VisionTransformerDistilled
    return (distilled if config.distillation_token else module.VisionTransformer)(**arguments)


def _hybrid_embed(config: ViTConfig, img_size, patch_size, in_chans, embed_dim, **kwargs):
    from timm.layers import StdConv2dSame
    from timm.models.resnetv2 import ResNetV2, create_resnetv2_stem
    from timm.models.vision_transformer_hybrid import HybridEmbed

    convolution = partial(StdConv2dSame, eps=1e-8)
    width = config.resnet_width
    if config.resnet_stages:
        stem = ResNetV2(
            layers=config.resnet_stages,
            channels=[4 * width * 2**stage for stage in range(len(config.resnet_stages))],
            stem_chs=width,
            in_chans=in_chans,
            num_classes=0,
            global_pool="",
            preact=False,
            stem_type="same",
            conv_layer=convolution,
        )
    else:
        stem = create_resnetv2_stem(
            in_chans, width, stem_type="same", preact=False, conv_layer=convolution
        )
    kwargs = {name: kwargs[name] for name in ("bias", "dynamic_img_pad") if name in kwargs}
    return HybridEmbed(stem, img_size, patch_size, in_chans=in_chans, embed_dim=embed_dim, **kwargs)
