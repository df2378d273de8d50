# SPDX-License-Identifier: MIT
"""What publishers' files say of the images that a model sees; the words of each library."""

import dataclasses
import json
import logging

import pytest

import keras_vit
from keras_vit import UserError
from keras_vit.config import ViTConfig
from keras_vit.preprocessing import FRAMINGS, INTERPOLATIONS, Preprocessing, View
from keras_vit.weights import LoadOptions, convert, open_source, save, views
from keras_vit.weights.catalog import catalog

TINY = ViTConfig(image_size=16, patch_size=8, width=16, depth=1, mlp_dim=24, num_heads=2)
CENTRE = View(0.875, "shorter_side", "bicubic")
SIDES = {"height": 224, "width": 224}
EVERY = [View(crop, f, i) for crop in (1.0, 0.5) for f in FRAMINGS for i in INTERPOLATIONS]


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"crop_pct": 0.875, "crop_mode": "center", "interpolation": "bicubic"}, CENTRE),
        ({"crop_pct": 1.0, "crop_mode": "squash"}, View(1.0, "squash", "bicubic")),
        # what timm's `resolve_data_config` takes for what is left out
        ({"interpolation": "bilinear"}, View(0.875, "shorter_side", "triangle")),
        ({"mean": [0.5]}, None),
    ],
)
def test_timm(told, expected):
    assert views.of_timm(told, "x") == expected


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"image_processor_type": "ViTImageProcessor", "size": SIDES}, View(1, "squash")),
        ({"feature_extractor_type": "ViTFeatureExtractor", "size": 224}, View(1, "squash")),
        (
            {"image_processor_type": "BitImageProcessor", "size": {"shortest_edge": 256}},
            View(0.875, "shortest_edge", "bicubic"),
        ),
        (
            {"image_processor_type": "CLIPImageProcessorFast", "size": 224, "crop_size": 224},
            View(1, "shortest_edge", "bicubic"),
        ),
        ({"image_processor_type": "DeiTImageProcessor"}, View(0.875, "squash", "bicubic")),
        ({"image_processor_type": "DINOv3ViTImageProcessorFast"}, View(1, "squash")),
        (
            {"image_processor_type": "SiglipImageProcessor", "resample": 1, "size": SIDES},
            View(1, "squash", "lanczos"),
        ),
        ({"size": {"shortest_edge": 256}, "crop_size": 224, "do_center_crop": True}, None),
        ({"image_mean": [0.5]}, None),
    ],
)
def test_transformers(told, expected):
    if "size" in told and expected is None:
        expected = View(0.875, "shortest_edge", "triangle")  # the filter of ViT's processor
    assert views.of_transformers(told, "x") == expected


@pytest.mark.parametrize(
    ("read", "told", "words"),
    [
        (views.of_timm, {"crop_mode": "border"}, "crop_mode is 'border'; 'shorter_side' is taken"),
        (views.of_timm, {"interpolation": "nearest"}, "interpolation is 'nearest'; 'bicubic'"),
        (views.of_open_clip, {"resize_mode": "longest"}, "resize_mode is 'longest'"),
        (views.of_transformers, {"resample": 0}, "resample is 0; 'bicubic' is taken"),
        (views.of_transformers, {"size": {"longest_edge": 9}}, "size is {'longest_edge': 9}"),
        (views.of_transformers, {"size": SIDES, "do_pad": True}, "pads images"),
        (views.of_transformers, {"size": SIDES, "do_resize": False}, "resizes no images"),
        (views.of_transformers, {"size": {"shortest_edge": 9}}, "keeps all of the longer side"),
        (
            views.of_transformers,
            {"size": SIDES, "do_center_crop": True, "crop_size": 256},
            "crop_size is larger than size",
        ),
        (
            views.of_transformers,
            {"size": SIDES, "do_center_crop": True, "crop_size": {"height": 224, "width": 112}},
            "other shares",
        ),
        (views.of_transformers, {"image_processor_type": "Siglip2ImageProcessor"}, "NaFlex"),
        (
            views.of_transformers,
            {"image_processor_type": "NewImageProcessor", "resample": 3},
            "its New is not known here",
        ),
    ],
)
def test_what_cannot_be_said_is_said(read, told, words, caplog):
    with caplog.at_level(logging.WARNING):
        assert isinstance(read(told, "the file"), View)
    assert f"the file: {words}" in caplog.text or words in caplog.text


def test_a_share_that_cannot_be():
    with pytest.raises(UserError, match=r"x: crop: expected a number from 0.01 to 1, received 2.0"):
        views.of_timm({"crop_pct": 2.0}, "x")
    for odd in ({"framing": "round"}, {"interpolation": "nearest"}, {"crop": 0}):
        with pytest.raises(UserError):
            LoadOptions(**odd)


@pytest.mark.parametrize("view", EVERY, ids=str)
def test_what_is_written_is_read_back(view):
    """But that other libraries cut a box out of the resized image."""
    near = view if view.framing == "squash" else dataclasses.replace(view, framing="shorter_side")
    assert views.of_timm(views.to_timm(view), "x") == near
    told = views.to_transformers(Preprocessing((224, 224), 3, view))
    edge = "squash" if view.framing == "squash" else "shortest_edge"
    assert views.of_transformers(told, "x") == dataclasses.replace(view, framing=edge)
    if view.crop == 1:
        assert views.of_open_clip(views.to_open_clip(view, "x"), "x") == near


def test_what_open_clip_has_no_word_for(caplog):
    views.to_open_clip(CENTRE, "x")
    assert "cannot say that 0.875 of the sides are seen" in caplog.text
    views.to_transformers(Preprocessing((16, 24), 3, CENTRE))
    assert "height and width are both covered" in caplog.text


def test_a_model_takes_it_everywhere(tmp_path):
    """Into and out of files of all kinds, of ours with nothing lost."""
    model = keras_vit.vit(TINY)
    model.view = dataclasses.replace(CENTRE, framing="box")
    model.save(tmp_path / "model.keras")
    save(model, tmp_path / "timm.safetensors", "timm")
    save(model, tmp_path / "folder", "hf")
    convert(tmp_path / "model.keras", tmp_path / "timm", "timm")
    for name in ("model.keras", "timm.safetensors", "folder", "timm"):
        assert open_source(tmp_path / name).view == model.view, name
        assert keras_vit.load_model(tmp_path / name).view == model.view, name
    assert open_source(tmp_path / "timm", interpolation="lanczos").view.interpolation == "lanczos"


@pytest.mark.parametrize("dialect", ["hf", "hf_clip", "open_clip", "timm"])
def test_files_of_others(tmp_path, dialect):
    """Without our header the JSON file next to the weights tells."""
    clip = {"embedding_norm": True, "patch_bias": False, "norm_epsilon": 1e-5, "head_bias": None}
    config = dataclasses.replace(TINY, **(clip if "clip" in dialect else {}))
    model = keras_vit.vit(config)
    model.view = View(1.0, "squash", "bicubic")
    save(model, tmp_path, dialect)
    _without_header(tmp_path / "model.safetensors")
    assert open_source(tmp_path).view == model.view


def _without_header(path):
    whole = path.read_bytes()
    size = int.from_bytes(whole[:8], "little")
    header = json.loads(whole[8 : 8 + size])
    del header["__metadata__"]
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + whole[8 + size :])


def test_the_catalog_says_it_where_no_file_does():
    for name, entry in catalog().items():
        if entry.at.startswith(("hf:", "package:")):
            assert entry.view == View(), name
        else:
            assert entry.view != View(), name
            told = LoadOptions.of(**entry.options).told_view()
            assert View(**told) == entry.view, name


def test_a_file_with_a_damaged_view():
    model = keras_vit.vit(TINY)
    with pytest.raises(UserError, match="view: unknown framing 'round'"):
        keras_vit.ViT(model.input, model.output, view={"framing": "round"})
    copy = keras_vit.ViT(model.input, model.output, view={"crop": 0.5})
    assert copy.view == View(0.5)
    assert copy.get_config()["view"]["crop"] == 0.5
