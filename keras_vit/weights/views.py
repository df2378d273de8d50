# SPDX-License-Identifier: MIT
"""What publishers' files say of the images that a model sees: which part, resized by which filter.

Three libraries write it in three ways; each is read into a `View` here, and written back. What a
`View` cannot say is said on the log, with what is done instead: the weights are good all the same.
"""

import logging
from collections.abc import Mapping
from typing import Any, TypedDict

from keras_vit.errors import UserError
from keras_vit.preprocessing import Preprocessing, View

_log = logging.getLogger(__name__)

_TIMM_FILTERS = {"bilinear": "triangle", "bicubic": "bicubic", "lanczos": "lanczos"}
_PILLOW_FILTERS = {1: "lanczos", 2: "triangle", 3: "bicubic"}  # `PIL.Image.Resampling`
_TIMM_MODES = {"center": "shorter_side", "squash": "squash"}
_OPEN_CLIP_MODES = {"shortest": "shorter_side", "squash": "squash"}


class Processor(TypedDict, total=False):
    """What is read of the resizing in a `preprocessor_config.json` of transformers."""

    image_processor_type: str | None
    feature_extractor_type: str | None
    do_resize: bool | None
    do_center_crop: bool | None
    do_pad: bool | None
    size: int | dict[str, int | None] | list[int] | None
    crop_size: int | dict[str, int | None] | list[int] | None
    resample: int | None


# What transformers' processors do where a file does not say, by the first part of their names.
_SQUARE, _SHORT = {"height": 224, "width": 224}, {"shortest_edge": 224}
_CENTRE = {"size": _SHORT, "resample": 3, "do_center_crop": True, "crop_size": _SQUARE}
_USUAL: dict[str, dict[str, Any]] = {
    "ViT": {"size": _SQUARE, "resample": 2},
    "DINOv3ViT": {"size": _SQUARE, "resample": 2},
    "Beit": {"size": _SQUARE, "resample": 3, "crop_size": _SQUARE},
    "Siglip": {"size": _SQUARE, "resample": 3},
    "DeiT": {**_CENTRE, "size": {"height": 256, "width": 256}},
    "CLIP": _CENTRE,
    "ChineseCLIP": _CENTRE,
    "Bit": _CENTRE,
}
_WHOLE = ("ViT", "DINOv3ViT", "Beit", "DeiT")  # whose `size`, if it is one number, is of a square


def of_timm(told: Mapping[str, Any], source: str) -> View | None:
    """The view of a `pretrained_cfg`; None where it says nothing of it."""
    if all(told.get(name) is None for name in ("crop_pct", "crop_mode", "interpolation")):
        return None
    mode, word = told.get("crop_mode") or "center", told.get("interpolation") or "bicubic"
    return _view(
        source,
        told.get("crop_pct") or 0.875,
        _known(_TIMM_MODES, mode, "crop_mode", "shorter_side", source),
        _known(_TIMM_FILTERS, word, "interpolation", "bicubic", source),
    )


def to_timm(view: View) -> dict[str, Any]:
    """The fields of a `pretrained_cfg`."""
    return {
        "crop_pct": view.crop,
        "crop_mode": "squash" if view.framing == "squash" else "center",
        "interpolation": _word(_TIMM_FILTERS, view),
    }


def of_open_clip(told: Mapping[str, Any], source: str) -> View | None:
    """The view of a `preprocess_cfg`; None where it says nothing of it."""
    if all(told.get(name) is None for name in ("resize_mode", "interpolation")):
        return None
    mode, word = told.get("resize_mode") or "shortest", told.get("interpolation") or "bicubic"
    return _view(
        source,
        1.0,
        _known(_OPEN_CLIP_MODES, mode, "resize_mode", "shorter_side", source),
        _known(_TIMM_FILTERS, word, "interpolation", "bicubic", source),
    )


def to_open_clip(view: View, source: str) -> dict[str, Any]:
    """The fields of a `preprocess_cfg`, which has no word for a share of the sides."""
    if view.crop != 1:
        _log.warning(
            "%s: an open_clip_config.json cannot say that %.4g of the sides are seen.",
            source,
            view.crop,
        )
    return {
        "interpolation": _word(_TIMM_FILTERS, view),
        "resize_mode": "squash" if view.framing == "squash" else "shortest",
    }


def of_transformers(told: Mapping[str, Any], source: str) -> View | None:
    """The view of a `preprocessor_config.json`; None where it says nothing of it."""
    kind = told.get("image_processor_type") or told.get("feature_extractor_type") or ""
    kind = kind.partition("ImageProcessor")[0].partition("FeatureExtractor")[0]
    if kind == "Siglip2":
        _say(source, "keeps the aspect ratio (NaFlex)", "images are squashed to the fixed grid")
        told = {"image_processor_type": "ViTImageProcessor", "resample": told.get("resample", 2)}
        kind = "ViT"
    own = {name: value for name, value in told.items() if name in _USUAL["DeiT"]}
    own = {name: value for name, value in own.items() if value is not None}
    if kind not in _USUAL and not own:
        return None
    if kind and kind not in _USUAL and not {"size", "resample"} <= set(own):
        _say(source, f"its {kind} is not known here", "what it leaves out is taken as ViT's")
    if told.get("do_resize") is False:
        _say(source, "resizes no images (do_resize)", "they are resized here")
    if told.get("do_pad"):
        _say(source, "pads images (do_pad)", "nothing is padded here")
    whole = {**_USUAL.get(kind, _USUAL["ViT"]), **own}
    code = whole["resample"]
    name = _known(_PILLOW_FILTERS, code, "resample", "bicubic", source)
    framing, size = _framed(whole["size"], kind, source)
    return _view(source, _share_of(whole, framing, size, source), framing, name)


def to_transformers(preprocessing: Preprocessing) -> dict[str, Any]:
    """The fields of a `preprocessor_config.json`."""
    (height, width), view = preprocessing.image_size, preprocessing.view
    code = {ours: code for code, ours in _PILLOW_FILTERS.items()}[view.interpolation]
    to = preprocessing.resized_to
    size = {"height": to[0], "width": to[1]}
    found: dict[str, Any] = {"image_processor_type": "ViTImageProcessor", "size": size}
    if view.framing != "squash":
        if height != width:
            _say("preprocessor_config.json", "cannot say how", "height and width are both covered")
        found = {"image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": min(to)}}
    elif view.crop != 1:
        found["image_processor_type"] = "DeiTImageProcessor"
    if "CLIP" in found["image_processor_type"] or view.crop != 1:
        found |= {"do_center_crop": True, "crop_size": {"height": height, "width": width}}
    return {**found, "do_resize": True, "resample": code}


def _framed(size: Any, kind: str, source: str) -> tuple[str, tuple[Any, Any]]:
    """How a `size` frames an image, and the height and width that it resizes to."""
    if isinstance(size, int):
        size = {"height": size, "width": size} if kind in _WHOLE else {"shortest_edge": size}
    if isinstance(size, list) and len(size) == 2:
        size = {"height": size[0], "width": size[1]}
    if isinstance(size, dict):
        short, height, width = map(size.get, ("shortest_edge", "height", "width"))
        if short and not size.get("longest_edge"):
            return "shortest_edge", (short, short)
        if height and width:
            return "squash", (height, width)
    _say(source, f"size is {str(size)[:60]}", "the centre of the shorter side is taken here")
    return "shortest_edge", (0, 0)


def _share_of(whole: dict[str, Any], framing: str, size: tuple[int, int], source: str) -> float:
    """The share of the resized sides that a processor cuts out."""
    if not whole.get("do_center_crop"):
        if framing == "shortest_edge":
            _say(source, "keeps all of the longer side", "its centre is cut out here")
        return 1.0
    cut = whole.get("crop_size")
    cut = (cut, cut) if isinstance(cut, int) else tuple(cut) if isinstance(cut, list) else cut
    if isinstance(cut, dict):
        cut = (cut.get("height"), cut.get("width"))
    if not all(size) or not cut or len(cut) != 2 or not all(cut):
        _say(source, f"crop_size is {str(cut)[:60]}", "nothing is cut off here")
        return 1.0
    shares = [c / s for c, s in zip(cut, size, strict=True)]
    if framing == "shortest_edge":
        shares = [max(shares)] if cut[0] != cut[1] else shares
    if max(shares) > 1:
        _say(source, "pads images (crop_size is larger than size)", "nothing is padded here")
    if abs(shares[0] - shares[-1]) > 1e-6:
        _say(source, "cuts other shares of height and width", "the larger is kept of both")
    return min(1.0, max(shares))


def _view(source: str, crop: Any, framing: str, interpolation: str) -> View:
    try:
        return View(float(crop), framing, interpolation)
    except UserError as error:
        raise UserError(f"{source}: {error}") from None


def _known(table: Mapping[Any, str], word: Any, field: str, instead: str, source: str) -> str:
    """Our word for one of theirs; of one that is not known, says so."""
    if isinstance(word, str | int) and word in table:
        return table[word]
    _say(source, f"{field} is {word!r}", f"{instead!r} is taken here")
    return instead


def _word(table: Mapping[str, str], view: View) -> str:
    return {ours: theirs for theirs, ours in table.items()}[view.interpolation]


def _say(source: str, theirs: str, ours: str) -> None:
    _log.warning("%s: %s; %s.", source, theirs, ours)
