# SPDX-License-Identifier: MIT
"""What a certificate compares, and whom it asks."""

import numpy as np
import pytest

from keras_vit import UserError, ViTConfig, vit
from keras_vit.weights import certify
from keras_vit.weights.adapters.timm import Timm
from tests.weights.fixtures import FLAX, HF


def test_one_reference_is_asked():
    for both in ({}, {"reference": "hf", "stored": HF / "io.npz"}):
        with pytest.raises(UserError, match="either a reference library or a file of stored"):
            certify(HF, **both)


def test_a_reference_reads_its_own_dialects_alone():
    with pytest.raises(UserError, match=r"timm cannot read .* the hf dialect.*--reference hf"):
        certify(HF, reference="timm")
    with pytest.raises(UserError, match="unknown reference 'tim'"):
        certify(FLAX, reference="tim")


def test_stored_outputs_need_images_and_logits(tmp_path):
    np.savez(tmp_path / "x.npz", images=np.ones((1, 16, 16, 3), np.float32))
    with pytest.raises(UserError, match="expected images and logits, received"):
        certify(HF, stored=tmp_path / "x.npz")


def test_what_a_layer_computes_has_the_shape_of_the_reference(tmp_path):
    with np.load(HF / "io.npz") as stored:
        np.savez(tmp_path / "x.npz", images=stored["images"], logits=stored["logits"][:, :2])
    with pytest.raises(UserError, match=r"logits: expected the shape"):
        certify(HF, stored=tmp_path / "x.npz")


def test_not_a_number_does_not_pass(tmp_path):
    with np.load(HF / "io.npz") as stored:
        np.savez(tmp_path / "x.npz", images=stored["images"], logits=stored["logits"] * np.nan)
    assert not certify(HF, stored=tmp_path / "x.npz").passed


def test_a_library_that_is_missing(monkeypatch):
    def run(adapter, source, images):
        raise ImportError("No module named 'torch'")

    from keras_vit.weights.adapters.transformers import Transformers

    monkeypatch.setattr(Transformers, "run_reference", run)
    with pytest.raises(
        UserError, match=r"the reference hf \(No module named 'torch'\).*\[parity\]"
    ):
        certify(HF, reference="hf")


def test_a_file_of_ours_is_taken_to_the_reference(tmp_path, monkeypatch):
    """Written in the dialect of the reference, which is asked as for a published file."""

    def asked(adapter, source, images):
        raise UserError(f"{adapter.name} was asked, with {images.shape}")

    monkeypatch.setattr(Timm, "run_reference", asked)
    path = tmp_path / "model.keras"
    vit(ViTConfig.of("mu/16", image_size=32, num_classes=3, depth=1)).save(path)
    with pytest.raises(UserError, match=r"timm was asked, with \(2, 32, 32, 3\)"):
        certify(path, reference="timm")
