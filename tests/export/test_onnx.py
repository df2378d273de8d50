# SPDX-License-Identifier: MIT
import subprocess
import sys

import keras
import numpy as np
import onnx
import pytest

from keras_vit import UserError, vit
from keras_vit.analysis import attention_maps
from keras_vit.export import Metadata, open_runner, to_onnx
from keras_vit.export.quantization import signal_to_noise
from keras_vit.export.runner import onnx_session
from tests.contracts import randomize, slow_but, to_numpy
from tests.export.test_forward import ALL, OFTEN, relative
from tests.models.test_vit import tiny

METADATA = Metadata("tiny", ("cat", "dög", "bird"), (16, 24), 3, 0.9)


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    model = vit(tiny())
    randomize(model)
    return model


@pytest.mark.parametrize("name", slow_but(OFTEN, ALL))
def test_every_option(name, tmp_path):
    config = tiny(**ALL[name])
    model = vit(config)
    randomize(model)
    path = to_onnx(model, tmp_path / "m.onnx")
    onnx.checker.check_model(str(path), full_check=True)
    assert {opset.domain for opset in onnx.load(path).opset_import} == {""}
    images = np.random.default_rng(0).integers(0, 256, (7, 16, 24, config.channels), "uint8")
    run, expected = open_runner(path), to_numpy(model(images))
    for n in (1, 7):
        assert relative(run(images[:n]), expected[:n]) < 1e-5  # sums in another order


def test_metadata_travels_in_the_file(model, tmp_path):
    path = to_onnx(model, tmp_path / "m.onnx", METADATA)
    assert Metadata.read(path) == METADATA
    stored = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    assert stored["labels.txt"].split() == ["cat", "dög", "bird"]
    assert Metadata.read(to_onnx(model, tmp_path / "n.onnx")) is None


def test_whole_numbers_in_and_attention_out(model, tmp_path):
    path = to_onnx(model, tmp_path / "m.onnx", input_dtype="uint8", attention=True)
    images = np.random.default_rng(0).integers(0, 256, (2, 16, 24, 3), "uint8")
    logits, attention = onnx_session(path).run(None, {"pixels": images})
    assert relative(logits, to_numpy(model(images))) < 1e-5
    np.testing.assert_allclose(attention, attention_maps(model, images)[-1], atol=1e-5)
    rounded = open_runner(path)(images + 0.3)  # a runner gives the nearest whole numbers
    np.testing.assert_array_equal(rounded, logits)


def test_int8(model, tmp_path):
    path = to_onnx(model, tmp_path / "m.onnx", METADATA, quantize="dynamic_int8")
    assert "MatMulInteger" in {node.op_type for node in onnx.load(path).graph.node}
    assert Metadata.read(path) == METADATA
    images = np.random.default_rng(0).integers(0, 256, (7, 16, 24, 3), "uint8")
    # Eight bits have about 48 dB; a dozen matrices behind each other lose some of them.
    assert signal_to_noise(to_numpy(model(images)), open_runner(path)(images)) > 20


def test_needs_no_tensorflow(model, tmp_path):
    path = to_onnx(model, tmp_path / "m.onnx", METADATA)
    code = (
        "import sys, numpy as np\nfrom keras_vit import Predictor\n"
        "predictor = Predictor.open(sys.argv[1])\n"
        "print(predictor.runner(np.zeros((2, 16, 24, 3))).shape, predictor.metadata.labels[0],"
        "[m for m in ('tensorflow', 'keras', 'onnx') if m in sys.modules])"
    )
    command = [sys.executable, "-c", code, path]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stdout.strip() == "(2, 3) cat []", done.stderr


def test_without_the_package(model, tmp_path, monkeypatch):
    for name in ("onnx", "onnxruntime"):
        path = to_onnx(model, tmp_path / f"{name}.onnx")
        monkeypatch.setitem(sys.modules, name, None)
        with pytest.raises(UserError, match=r"pip install 'keras-vit-toolkit\[onnx\]'"):
            to_onnx(model, tmp_path / "m.onnx") if name == "onnx" else open_runner(path)
        monkeypatch.undo()


def test_another_suffix_is_refused(model, tmp_path):
    with pytest.raises(UserError, match=r"ends in \.onnx"):
        to_onnx(model, tmp_path / "m.pb")
