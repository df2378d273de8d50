# SPDX-License-Identifier: MIT
"""Encoders of images that OpenCLIP takes from timm: timm's names after `visual.trunk.`."""

from pathlib import Path
from typing import Any

from keras_vit.weights.adapters.clip import PIXEL_MEAN, PIXEL_STD
from keras_vit.weights.adapters.open_clip import BEFORE, BESIDE, CONFIG, Config
from keras_vit.weights.adapters.timm import Timm
from keras_vit.weights.adapters.timm_architectures import POOLS
from keras_vit.weights.config_files import Facts, image_size, read_json, translated
from keras_vit.weights.views import of_open_clip


class OpenClipTimm(Timm):
    """The architecture is named in `open_clip_config.json`; a projection after it is the head."""

    name = "open_clip_timm"
    dialects = {"open_clip_timm": Timm.dialects["timm"]}
    prefixes = tuple(f"{before}visual.trunk." for before in BEFORE)
    beside = (*Timm.beside, *BESIDE)
    older = (*Timm.older, (r"(?:module\.|model\.)?visual\.head\.proj\.(weight|bias)", r"head.\1"))
    written_to = ()
    reference = None  # a copy in timm's own dialect has one

    def describes(self, config: dict[str, Any]) -> bool:
        return False

    def facts(self, config: dict[str, Any], file: Path, architecture: str | None) -> Facts:
        file = file.with_name(CONFIG)
        told = read_json(file, Config)
        vision = (told.get("model_cfg") or {}).get("vision_cfg") or {}
        name = architecture or vision.get("timm_model_name")
        preprocess = told.get("preprocess_cfg") or {}
        statistics = {
            "pixel_mean": preprocess.get("mean") or PIXEL_MEAN,
            "pixel_std": preprocess.get("std") or PIXEL_STD,
        }
        found = super().facts({}, file, name) | statistics
        if (view := of_open_clip(preprocess, str(file))) is not None:
            found["view"] = view
        pool = vision.get("timm_pool", "avg" if vision else "")
        if pool:
            found["pool"] = translated(POOLS, pool, "timm_pool", str(file))
        if vision.get("image_size"):
            found.setdefault("image_size", image_size(vision["image_size"], str(file)))
        return found
