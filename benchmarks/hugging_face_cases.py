# SPDX-License-Identifier: MIT
"""A tiny model of transformers for each encoder of images and each of its options, for
`coverage.py`.

What is compared are the logits, or the representation: what the library's model gives as pooled,
else what the library's own head reads of its tokens, else the class token.
"""

from collections.abc import Callable, Iterator
from typing import Any

TINY = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "image_size": 32,
    "patch_size": 8,
}
CLASSES = {
    "ViT": ["ViTModel", "ViTForImageClassification"],
    "DeiT": ["DeiTModel", "DeiTForImageClassification", "DeiTForImageClassificationWithTeacher"],
    "ViTMAE": ["ViTMAEModel", "ViTMAEForPreTraining"],
    "ViTMSN": ["ViTMSNModel", "ViTMSNForImageClassification"],
    "Dinov2": ["Dinov2Model", "Dinov2ForImageClassification"],
    "Dinov2WithRegisters": [
        "Dinov2WithRegistersModel",
        "Dinov2WithRegistersForImageClassification",
    ],
    "DINOv3ViT": ["DINOv3ViTModel"],
    "CLIPVision": ["CLIPVisionModel", "CLIPVisionModelWithProjection"],
    "MetaClip2Vision": ["MetaClip2VisionModel", "MetaClip2VisionModelWithProjection"],
    "ChineseCLIPVision": ["ChineseCLIPVisionModel"],
    "SiglipVision": ["SiglipVisionModel"],
    "Siglip2Vision": ["Siglip2VisionModel"],
    "Beit": ["BeitModel", "BeitForImageClassification"],
    "Data2VecVision": ["Data2VecVisionModel", "Data2VecVisionForImageClassification"],
    "IJepa": ["IJepaModel", "IJepaForImageClassification"],
    "Aimv2Vision": ["Aimv2VisionModel"],
    "Tipsv2Vision": ["Tipsv2VisionModel"],
    "Pixio": ["PixioModel"],
    "InternVLVision": ["InternVLVisionModel"],
    "Radio": ["RadioModel"],
    # With an encoder of texts, or settings of one.
    "CLIP": ["CLIPModel", "CLIPForImageClassification"],
    "MetaClip2": ["MetaClip2Model", "MetaClip2ForImageClassification"],
    "ChineseCLIP": ["ChineseCLIPModel"],
    "Siglip": ["SiglipModel", "SiglipForImageClassification"],
    "Siglip2": ["Siglip2Model", "Siglip2ForImageClassification"],
    "Aimv2": ["Aimv2Model"],
    "Tipsv2": ["Tipsv2Model"],
}
WITH_TEXT = ("CLIP", "MetaClip2", "ChineseCLIP", "Siglip", "Siglip2", "Aimv2", "Tipsv2")
TEXT = {
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "vocab_size": 64,
    "max_position_embeddings": 8,
    "eos_token_id": 2,
}
PLAIN = {"plain": {}}
# For the families that are ViT under its own names.
VARIANTS = {
    "plain": {},
    "tanh": {"hidden_act": "gelu_pytorch_tanh"},
    "quick": {"hidden_act": "quick_gelu"},
    "epsilon": {"layer_norm_eps": 1e-3},
    "no_qkv_bias": {"qkv_bias": False},
}
_ABSOLUTE = {"use_absolute_position_embeddings": True}
_FLAT = {"layer_scale_init_value": 0.0}
_SWIGLU = {"swiglu": {"use_swiglu_ffn": True}}
MORE: dict[str, dict[str, dict[str, Any]]] = {
    "Beit": {
        "absolute": {**_ABSOLUTE, "use_mean_pooling": False},
        "absolute_flat": {**_ABSOLUTE, **_FLAT, "use_mean_pooling": False},
        "absolute_flat_mean": {**_ABSOLUTE, **_FLAT},
        "relative": {"use_relative_position_bias": True},
        "shared": {"use_shared_relative_position_bias": True},
    },
    "Data2VecVision": {"relative": {"use_relative_position_bias": True}},
    "Dinov2": _SWIGLU,
    "Dinov2WithRegisters": _SWIGLU,
    "Tipsv2Vision": _SWIGLU,
    "DINOv3ViT": {
        "gated": {"use_gated_mlp": True, "hidden_act": "silu"},
        "registers": {"num_register_tokens": 4, "rope_theta": 50.0},
        "no_biases": {
            **{f"{part}_bias": False for part in ("query", "value", "proj", "mlp")},
        },
    },
    "Aimv2Vision": {
        "headless": {"use_head": False},
        "biases": {"use_head": False, "qkv_bias": True, "mlp_bias": True},
        "native": {"use_head": False, "is_native": True},
    },
    "Pixio": {"one_token": {"n_cls_tokens": 1}},
    "IJepa": {"quick": {"hidden_act": "quick_gelu"}},
    "CLIPVision": {
        "gelu": {"hidden_act": "gelu", "layer_norm_eps": 1e-3},
        "relu": {"hidden_act": "relu"},
    },
    "SiglipVision": {
        "gelu": {"hidden_act": "gelu", "layer_norm_eps": 1e-3},
        "headless": {"vision_use_head": False},
    },
}
_DECODER = {
    "decoder_hidden_size": 32,
    "decoder_num_attention_heads": 2,
    "decoder_num_hidden_layers": 1,
    "decoder_intermediate_size": 64,
}


def cases() -> Iterator[tuple[str, Callable, Callable]]:
    """(label, maker of a tiny model, its forward pass) for each model and option."""
    import transformers as hf

    for family, names in CLASSES.items():
        config_class = getattr(hf, f"{family}Config", None)
        variants = VARIANTS if family in ("ViT", "DeiT", "ViTMSN", "ViTMAE") else PLAIN
        for variant, change in {**variants, **MORE.get(family, {})}.items():
            for name in names:
                if config_class is not None and hasattr(hf, name):
                    values = _values(family, name, change)
                    yield f"{name}-{variant}", _maker(name, config_class, values), _forward(name)


def _values(family: str, name: str, change: dict[str, Any]) -> dict[str, Any]:
    """The settings of a tiny model."""
    labels: dict[str, Any] = {"num_labels": 7} if "Classif" in name else {}
    images = {**TINY, **change}
    if family.startswith("Siglip2"):
        del images["image_size"]
        images["num_patches"] = 16
    if family == "Aimv2":
        images["use_head"] = False
    if family == "ViTMAE":  # it hides patches in evaluation too
        images |= {"mask_ratio": 0.0, **_DECODER}
    if family in WITH_TEXT:
        projection = {} if family in ("Siglip", "Siglip2", "Tipsv2") else {"projection_dim": 24}
        return {"text_config": TEXT, "vision_config": images, **projection, **labels}
    return {**images, **labels}


def _maker(name: str, config_class: type, values: dict[str, Any]) -> Callable:
    import transformers as hf

    return lambda: getattr(hf, name)(config_class(**values))


def _forward(name: str) -> Callable:
    if name == "ViTMAEModel":
        return _unmasked
    if name == "ViTMAEForPreTraining":
        return lambda model, images: _unmasked(model.vit, images)
    if name in ("IJepaModel", "Aimv2VisionModel"):
        return lambda model, images: _pooled(model(pixel_values=images), first=0)
    if name == "Data2VecVisionModel":
        return lambda model, images: _pooled(model(pixel_values=images), first=1)
    if name in ("CLIPModel", "MetaClip2Model", "ChineseCLIPModel"):
        return lambda model, images: _features(model.get_image_features(pixel_values=images))
    if name == "Aimv2Model":
        return lambda model, images: _pooled(model.vision_model(pixel_values=images), first=0)
    if name in ("SiglipModel", "Tipsv2Model"):
        return lambda model, images: _pooled(model.vision_model(pixel_values=images))
    if name == "Siglip2Model":
        return lambda model, images: _pooled(model.vision_model(**_packed(images)))
    if name.startswith("Siglip2"):
        return lambda model, images: _pooled(model(**_packed(images)))
    return lambda model, images: _pooled(model(pixel_values=images))


def _pooled(found, first: int | None = None):
    """Logits, or the pooled tokens; where nothing pools, the average from `first` on, or the class
    token."""
    for name in ("logits", "image_embeds", "pooler_output"):
        if getattr(found, name, None) is not None:
            return getattr(found, name)
    hidden = found.last_hidden_state
    return hidden[:, 0] if first is None else hidden[:, first:].mean(1)


def _features(found):
    return getattr(found, "pooler_output", found)


def _packed(images) -> dict[str, Any]:
    """Images as SigLIP 2 takes them: a row for each patch, rows of the grid after one another."""
    import torch

    side = TINY["patch_size"]
    batch, channels, height, width = images.shape
    rows, columns = height // side, width // side
    cells = images.reshape(batch, channels, rows, side, columns, side)
    patches = cells.permute(0, 2, 4, 3, 5, 1).reshape(batch, rows * columns, -1)
    return {
        "pixel_values": patches,
        "pixel_attention_mask": torch.ones(batch, rows * columns, dtype=torch.int32),
        "spatial_shapes": torch.tensor([[rows, columns]] * batch),
    }


def _unmasked(model, images):
    """The class token of an encoder that hides patches at random, and is told to hide none."""
    import torch

    side = (images.shape[-1] // model.config.patch_size) ** 2
    order = torch.arange(side).float().expand(len(images), -1)
    return model(pixel_values=images, noise=order).last_hidden_state[:, 0]
