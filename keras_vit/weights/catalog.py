# SPDX-License-Identifier: MIT
"""Public checkpoints worth having: where they are, and what their publishers say of them.

Only facts that the publishers' pages state; an accuracy that none of them states for exactly that
file is None. Sizes and hashes are recorded when a file first arrives (see `download`).
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from keras_vit.errors import UserError, unknown

_GOOGLE = "https://storage.googleapis.com/vit_models"
_META = "https://dl.fbaipublicfiles.com"
_IMAGENET = {"pixel_mean": (0.485, 0.456, 0.406), "pixel_std": (0.229, 0.224, 0.225)}


class Entry(NamedTuple):
    """A public checkpoint.

    Attributes:
        model: name of its size, for `ViTConfig.of`.
        url: where it is.
        image_size: pixels that it was trained at.
        num_classes: outputs of its head, 0 for a backbone.
        licence: SPDX name of the licence that the publisher's repository gives.
        accuracy: published ImageNet-1k top-1 in per cent of this file at this size, or None.
            Of a backbone: of a linear classifier on it.
        source: the page that says so.
        options: arguments of `load_model` that the file does not tell.
    """

    model: str
    url: str
    image_size: int
    num_classes: int
    licence: str
    accuracy: float | None
    source: str
    options: dict[str, Any] = {}  # noqa: RUF012 - never changed


_VIT_PAGE = "github.com/google-research/vision_transformer README"


def _official() -> dict[str, Entry]:
    entries = {}
    for size in ("B_16", "B_32", "L_16", "L_32", "H_14"):
        name = size.replace("_", "/")
        entries[f"{name}-i21k"] = Entry(
            name, f"{_GOOGLE}/imagenet21k/ViT-{size}.npz", 224, 21843, "Apache-2.0", None, _VIT_PAGE
        )
    for size, accuracy in (("B_16", 81.2), ("L_16", 82.7)):
        name = size.replace("_", "/")
        entries[f"{name}-i21k-i1k-224"] = Entry(
            name,
            f"{_GOOGLE}/imagenet21k+imagenet2012/ViT-{size}-224.npz",
            224,
            1000,
            "Apache-2.0",
            accuracy,
            _VIT_PAGE,
        )
    return entries


def _augreg() -> dict[str, Entry]:
    """The best of the 50,000 models of arXiv 2106.10270, pre-trained and fine-tuned at 384."""
    rows = (
        ("L/16", "aug_strong1-wd_0.1-do_0.0-sd_0.0", "0.01", 85.59),
        ("B/16", "aug_medium1-wd_0.1-do_0.0-sd_0.0", "0.03", 85.49),
        ("S/16", "aug_light1-wd_0.03-do_0.0-sd_0.0", "0.03", 83.73),
        ("R50+L/32", "aug_medium1-wd_0.1-do_0.1-sd_0.1", "0.01", 85.99),
        ("R26+S/32", "aug_light1-wd_0.1-do_0.0-sd_0.0", "0.01", 83.85),
        ("Ti/16", "aug_none-wd_0.03-do_0.0-sd_0.0", "0.03", 78.22),
        ("B/32", "aug_light1-wd_0.1-do_0.0-sd_0.0", "0.01", 83.59),
        ("S/32", "aug_none-wd_0.1-do_0.0-sd_0.0", "0.01", 79.58),
        ("R+Ti/16", "aug_none-wd_0.03-do_0.0-sd_0.0", "0.03", 75.40),
    )
    entries = {}
    for name, how, rate, accuracy in rows:
        size = name.replace("/", "_").replace("+", "_")
        file = f"{_GOOGLE}/augreg/{size}-i21k-300ep-lr_0.001-{how}"
        tuned = f"{file}--imagenet2012-steps_20k-lr_{rate}-res_384"
        entries[f"{name}-augreg-i21k"] = Entry(
            name, f"{file}.npz", 224, 21843, "Apache-2.0", None, _VIT_PAGE
        )
        entries[f"{name}-augreg-i21k-i1k-384"] = Entry(
            name, f"{tuned}.npz", 384, 1000, "Apache-2.0", accuracy, _VIT_PAGE
        )
    return entries


def _deit() -> dict[str, Entry]:
    rows = (
        ("deit-Ti/16", "Ti/16", "deit_tiny_patch16_224-a1311bcf", 224, 72.2),
        ("deit-S/16", "S/16", "deit_small_patch16_224-cd65a155", 224, 79.9),
        ("deit-B/16", "B/16", "deit_base_patch16_224-b5f2ef4d", 224, 81.8),
        ("deit-B/16-384", "B/16", "deit_base_patch16_384-8de9b5d1", 384, 82.9),
        ("deit-Ti/16-distilled", "Ti/16", "deit_tiny_distilled_patch16_224-b40b3cf7", 224, 74.5),
        ("deit-S/16-distilled", "S/16", "deit_small_distilled_patch16_224-649709d9", 224, 81.2),
        ("deit-B/16-distilled", "B/16", "deit_base_distilled_patch16_224-df68dfff", 224, 83.4),
        ("deit-B/16-distilled-384", "B/16", "deit_base_distilled_patch16_384-d0272ac0", 384, 85.2),
    )
    page = "github.com/facebookresearch/deit README_deit"
    return {
        name: Entry(
            model, f"{_META}/deit/{file}.pth", size, 1000, "Apache-2.0", top_1, page, _told(model)
        )
        for name, model, file, size, top_1 in rows
    }


def _dino() -> dict[str, Entry]:
    rows = (
        ("dino-S/16", "S/16", "dino/dino_deitsmall16_pretrain/dino_deitsmall16", 224, 77.0),
        ("dino-S/8", "S/8", "dino/dino_deitsmall8_pretrain/dino_deitsmall8", 224, 79.7),
        ("dino-B/16", "B/16", "dino/dino_vitbase16_pretrain/dino_vitbase16", 224, 78.2),
        ("dino-B/8", "B/8", "dino/dino_vitbase8_pretrain/dino_vitbase8", 224, 80.1),
        ("dinov2-S/14", "S/14", "dinov2/dinov2_vits14/dinov2_vits14", 518, 81.1),
        ("dinov2-B/14", "B/14", "dinov2/dinov2_vitb14/dinov2_vitb14", 518, 84.5),
        ("dinov2-L/14", "L/14", "dinov2/dinov2_vitl14/dinov2_vitl14", 518, 86.3),
        ("dinov2-S/14-registers", "S/14", "dinov2/dinov2_vits14/dinov2_vits14_reg4", 518, 80.9),
        ("dinov2-B/14-registers", "B/14", "dinov2/dinov2_vitb14/dinov2_vitb14_reg4", 518, 84.6),
        ("dinov2-L/14-registers", "L/14", "dinov2/dinov2_vitl14/dinov2_vitl14_reg4", 518, 86.7),
    )
    return {
        name: Entry(
            model,
            f"{_META}/{file}_pretrain.pth",
            size,
            0,
            "Apache-2.0",
            linear,
            f"github.com/facebookresearch/{name.partition('-')[0]} README",
            _told(model),
        )
        for name, model, file, size, linear in rows
    }


def _told(model: str) -> dict[str, Any]:
    """What a bare PyTorch file does not tell."""
    heads = {"Ti": 3, "S": 6, "B": 12, "L": 16}[model.partition("/")[0]]
    return {**_IMAGENET, "num_heads": heads}


CATALOG: dict[str, Entry] = {**_official(), **_augreg(), **_deit(), **_dino()}


def check_named(weights: str, others: Iterable[str] = ()) -> None:
    """Raises the `UserError` of weights that no name of the catalog, address or path stands for.

    Nothing is opened or fetched: a slip of the finger is told before minutes of other work.

    Args:
        weights: what somebody wrote.
        others: names of other things that may have been meant.
    """
    if weights in CATALOG or weights.startswith(("http://", "https://", "hf:")):
        return
    path = Path(weights)
    if path.exists() or ".npz:" in weights:
        return
    if path.suffix in (".npz", ".safetensors", ".keras", ".bin", ".pth", ".pt"):
        raise UserError(f"{weights}: no such file. Expected a file of weights or a folder of one.")
    names = [*CATALOG, *others]
    raise unknown("weights", weights, names, "`keras-vit list weights`; or give a path or a URL")
