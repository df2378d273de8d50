# SPDX-License-Identifier: MIT
"""LiteRT files on the GPU. Without a Vulkan device the tests that need one are skipped by name;
`eval "$(.ci/swiftshader FOLDER)"` makes one in software."""

import subprocess

import numpy as np
import pytest

from keras_vit import UserError, vit
from keras_vit.export import gpu, open_runner, to_tflite
from keras_vit.export.quantization import signal_to_noise
from tests.contracts import randomize
from tests.export.test_forward import ALL, relative
from tests.models.test_vit import tiny

DEVICE = gpu.find_gpu()
on_a_gpu = pytest.mark.skipif(
    DEVICE is None, reason="no Vulkan device, and so no GPU for LiteRT: see .ci/swiftshader"
)
_QUICK = ("average", "map", "hybrid", "EVA-02")
SLOW = [n if n in _QUICK else pytest.param(n, marks=pytest.mark.slow) for n in ALL]


def images_for(config, count=3):
    shape = (count, *config.image_size, config.channels)
    return np.random.default_rng(8).integers(0, 256, shape).astype("float32")


def exported(tmp_path, options, **form):
    # Wide enough for the converter to quantise the matrices: it leaves 1,024 numbers alone.
    config = tiny(**{"width": 64, "mlp_dim": 96, **options})
    model = vit(config)
    randomize(model)
    images = images_for(config)
    path = to_tflite(model, tmp_path / "m.tflite", calibration=images, **form)
    return path, images


@on_a_gpu
@pytest.mark.parametrize("name", SLOW)
def test_every_option_is_the_same_on_a_gpu(name, tmp_path):
    path, images = exported(tmp_path, ALL[name])
    found = gpu.run_on_gpu(path, images)
    assert found.reason is None
    # Sums in another order, both times.
    assert relative(found.logits, open_runner(path)(images)) < 1e-5


FORMS = {
    "a batch of two": {"batch": 2},
    "attention": {"attention": True},
    "float16": {"quantize": "float16"},
    "whole numbers": {"input_dtype": "uint8"},
}


_FORMED = ("registers", "average", "map", "distillation", "hybrid", "EVA-02", "BEiT")


@on_a_gpu
@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", _FORMED)
def test_every_form_is_the_same_on_a_gpu(name, form, tmp_path):
    path, images = exported(tmp_path, ALL[name], **FORMS[form])
    if form == "a batch of two":  # the interpreter takes exactly two
        images = images[:2]
    found = gpu.run_on_gpu(path, images)
    assert found.reason is None
    expected = _on_the_cpu(path, images)
    assert relative(found.logits, expected) < 1e-5


def _on_the_cpu(path, images):
    from ai_edge_litert.interpreter import Interpreter

    run = Interpreter(model_path=str(path)).get_signature_runner("serving_default")
    (entry,) = run.get_input_details().values()
    size, images = entry["shape"][0], images.astype(entry["dtype"])
    batches = [images[i : i + size] for i in range(0, len(images), size)]
    return np.concatenate([run(pixels=batch)["logits"] for batch in batches])


@on_a_gpu
@pytest.mark.slow
@pytest.mark.parametrize("quantize", ["dynamic_int8", "static_int8", "int8_io"])
@pytest.mark.parametrize("name", ["plain", "average", "map", "hybrid", "EVA-02", "BEiT"])
def test_int8_on_a_gpu(name, quantize, tmp_path):
    path, images = exported(tmp_path, ALL[name], quantize=quantize)
    found = gpu.run_on_gpu(path, images)
    assert found.reason is None
    # A GPU rounds elsewhere; a wrong operator is at 0 dB or below.
    for logits in found.logits:
        assert signal_to_noise(open_runner(path)(images), logits) > 15


@on_a_gpu
def test_the_device_has_a_name():
    assert DEVICE and "arch=" not in DEVICE


@pytest.mark.parametrize(("code", "said"), [(-11, "signal 11"), (3, "exit code 3")])
def test_a_crash_of_the_driver_is_a_note(tmp_path, monkeypatch, code, said):
    done = subprocess.CompletedProcess([], code, stdout="", stderr="")
    monkeypatch.setattr(gpu, "_started", lambda *arguments: done)
    with pytest.raises(UserError, match=rf"m\.tflite: a run on the GPU ended with {said}"):
        gpu.run_on_gpu(tmp_path / "m.tflite", np.zeros((1, 4, 4, 3)))
