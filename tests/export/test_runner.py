# SPDX-License-Identifier: MIT
import numpy as np
import pytest

from keras_vit import UserError, vit
from keras_vit.export import Metadata, open_runner, to_onnx, to_saved_model, to_tflite
from keras_vit.export.runner import dequantized, format_of, quantized
from keras_vit.export.worker import Worker, run_in_new_process
from tests.models.test_vit import tiny

METADATA = Metadata("tiny", ("a", "b", "c"), (16, 24), 3)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder, model = tmp_path_factory.mktemp("export"), vit(tiny(depth=1))
    return {
        "saved_model": to_saved_model(model, folder / "saved_model"),
        "litert": to_tflite(model, folder / "model.tflite"),
        "onnx": to_onnx(model, folder / "model.onnx"),
    }


def test_what_is_no_model_is_refused(tmp_path):
    (tmp_path / "text.txt").write_text("x")
    (tmp_path / "bad.tflite").write_bytes(b"not a flatbuffer" * 10)
    (tmp_path / "bad.onnx").write_bytes(b"not a protobuf" * 10)
    (tmp_path / "bad.keras").write_bytes(b"not a zip")
    with pytest.raises(UserError, match="no such file"):
        open_runner(tmp_path / "missing.tflite")
    with pytest.raises(UserError, match=r"expected a \.tflite file"):
        open_runner(tmp_path / "text.txt")
    for name in ("bad.tflite", "bad.onnx"):
        with pytest.raises(UserError, match="cannot be opened"):
            open_runner(tmp_path / name)
    with pytest.raises(UserError, match=r"bad\.keras: is not a .keras file"):
        open_runner(tmp_path / "bad.keras")


@pytest.mark.parametrize("format", ["saved_model", "litert", "onnx"])
def test_images_of_another_size_are_refused(files, format):
    with pytest.raises(UserError, match=r"expected images of shape \(16, 24, 3\)"):
        open_runner(files[format])(np.zeros((1, 16, 16, 3), "uint8"))


def test_openvino_runs_onnx_files(files, tmp_path):
    """The metadata of the file come with it; logits are those of ONNX Runtime but for rounding."""
    images = np.random.default_rng(0).integers(0, 256, (3, 16, 24, 3)).astype("uint8")
    path = to_onnx(vit(tiny(depth=1)), tmp_path / "told.onnx", METADATA, input_dtype="uint8")
    for file, said in ((files["onnx"], None), (path, METADATA)):
        expected = open_runner(file)(images)
        with Worker(file, runtime="openvino") as found:  # which forks, and JAX warns of that
            assert found.input_shape == (None, 16, 24, 3)
            np.testing.assert_allclose(found(images), expected, rtol=1e-5, atol=1e-5)
            np.testing.assert_allclose(found(images[:1]), expected[:1], rtol=1e-5, atol=1e-5)
            assert Metadata.read(file, found.metadata) == said
    with pytest.raises(UserError, match=r"model\.tflite: openvino runs \.onnx files"):
        open_runner(files["litert"], runtime="openvino")
    with pytest.raises(UserError, match=r"unknown runtime 'openvin'\. Did you mean openvino"):
        open_runner(files["onnx"], runtime="openvin")
    (tmp_path / "bad.onnx").write_bytes(b"not a protobuf" * 10)
    with (
        Worker(tmp_path / "bad.onnx", runtime="openvino") as bad,
        pytest.raises(UserError, match="cannot be opened"),
    ):
        _ = bad.input_shape


@pytest.mark.parametrize("format", ["saved_model", "litert", "onnx"])
def test_the_format_is_read_off_the_path(files, format):
    assert format_of(files[format]) == format


def test_the_images_that_a_file_takes(files, tmp_path):
    assert open_runner(files["litert"]).input_shape == (1, 16, 24, 3)
    assert open_runner(files["onnx"]).input_shape == (None, 16, 24, 3)
    path = to_tflite(vit(tiny(depth=1)), tmp_path / "any.tflite", batch=None)
    assert open_runner(path).input_shape == (None, 16, 24, 3)


def test_integers_are_the_nearest_and_clipped():
    plain = {"dtype": np.uint8, "quantization": (0.0, 0)}
    images = np.array([-3.0, 0.4, 0.6, 254.6, 300.0], "float32")
    np.testing.assert_array_equal(quantized(images, plain), [0, 0, 1, 255, 255])
    scaled = {"dtype": np.int8, "quantization": (1.0, -128)}
    np.testing.assert_array_equal(quantized(images, scaled), [-128, -128, -127, 127, 127])
    back = dequantized(quantized(images, scaled), scaled)
    np.testing.assert_array_equal(back, [0, 0, 1, 255, 255])
    assert quantized(images, {"dtype": np.float32, "quantization": (0.0, 0)}).dtype == "float32"


def test_a_new_process_gives_the_same(files):
    images = np.random.default_rng(0).integers(0, 256, (7, 16, 24, 3), "uint8")
    for path in (files["litert"], files["onnx"]):
        found, expected = run_in_new_process(path, images), open_runner(path)(images)
        assert found.shape == (8, 3)
        np.testing.assert_allclose(found[1:], expected, atol=1e-6)
        np.testing.assert_allclose(found[0], expected[0], atol=1e-6)
