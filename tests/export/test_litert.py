# SPDX-License-Identifier: MIT
import json
import shutil
import subprocess
import sys
import zipfile
from collections import Counter

import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

from keras_vit import UserError, vit
from keras_vit.analysis import attention_maps
from keras_vit.config import ViTConfig
from keras_vit.export import Metadata, open_runner, operators, to_tflite
from keras_vit.export.lint import check_rules
from keras_vit.export.litert import convert
from tests.contracts import randomize, slow_but, to_numpy
from tests.export.test_forward import ALL, relative
from tests.models.test_vit import tiny

METADATA = Metadata("tiny", ("cat", "dog", "bird"), (16, 24), 3, 0.9)
IMAGES = np.random.default_rng(5).integers(0, 256, (7, 16, 24, 3), "uint8")


@pytest.fixture(scope="module")
def model():
    model = vit(tiny())
    randomize(model)
    return model


@pytest.fixture(scope="module")
def path(model, tmp_path_factory):
    return to_tflite(model, tmp_path_factory.mktemp("export") / "model.tflite", METADATA)


def graph(path):
    """Operators, and the partitions that XNNPACK takes them in."""
    interpreter = Interpreter(model_path=str(path))
    interpreter.allocate_tensors()
    count = Counter(step["op_name"] for step in interpreter._get_ops_details())
    partitions = count.pop("DELEGATE", 0)
    return sum(count.values()), partitions


def test_it_gives_the_model_s_logits(model, path):
    # Sums in another order.
    assert relative(open_runner(path)(IMAGES), to_numpy(model(IMAGES))) < 1e-5
    assert Metadata.read(path) == METADATA


def test_it_needs_no_tensorflow(path, tmp_path):
    np.save(tmp_path / "x.npy", IMAGES)
    code = (
        "import sys, numpy as np\nfrom keras_vit.export import open_runner\n"
        "print(open_runner(sys.argv[1])(np.load(sys.argv[2])).shape,"
        "[m for m in ('tensorflow', 'keras') if m in sys.modules])"
    )
    command = [sys.executable, "-c", code, path, tmp_path / "x.npy"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stdout.strip() == "(7, 3) []", done.stderr


def test_it_holds_built_in_operators_only(path):
    found = operators(path)
    assert {"FULLY_CONNECTED", "BATCH_MATMUL", "SOFTMAX", "GELU"} <= set(found)
    assert not [name for name in found if "CUSTOM" in name or "VAR" in name]


def test_labels_can_be_unzipped(path):
    with zipfile.ZipFile(path) as archive:
        assert archive.read("labels.txt").decode().split() == ["cat", "dog", "bird"]
        assert json.loads(archive.read("metadata.json"))["image_size"] == [16, 24]


@pytest.mark.skipif(shutil.which("unzip") is None, reason="the program unzip is not installed")
def test_unzip_lists_the_file(path):
    done = subprocess.run(["unzip", "-l", path], capture_output=True, text=True)
    assert "labels.txt" in done.stdout and "metadata.json" in done.stdout


def test_a_dynamic_batch(model, tmp_path):
    path = to_tflite(model, tmp_path / "m.tflite", batch=None)
    run, expected = open_runner(path), to_numpy(model(IMAGES))
    for n in (1, 7, 2):
        assert relative(run(IMAGES[:n]), expected[:n]) < 1e-5


def test_whole_numbers_in_and_attention_out(model, tmp_path):
    path = to_tflite(model, tmp_path / "m.tflite", input_dtype="uint8", attention=True)
    assert relative(open_runner(path)(IMAGES), to_numpy(model(IMAGES))) < 1e-5
    interpreter = Interpreter(model_path=str(path))
    found = interpreter.get_signature_runner("serving_default")(pixels=IMAGES[:1])
    maps = attention_maps(model, IMAGES[:1])[-1]
    np.testing.assert_allclose(found["attention"], maps, atol=1e-5)
    assert interpreter.get_input_details()[0]["dtype"] == np.uint8


_CORE = ("map", "EVA-02")


@pytest.mark.parametrize("name", slow_but(_CORE, ALL))
def test_every_option(name, tmp_path):
    config = tiny(**ALL[name])
    model = vit(config)
    randomize(model)
    images = np.random.default_rng(6).integers(0, 256, (2, 16, 24, config.channels), "uint8")
    path = to_tflite(model, tmp_path / "m.tflite")
    assert relative(open_runner(path)(images), to_numpy(model(images))) < 1e-5
    if config.resnet_stages is None:
        assert graph(path)[1] == 1


# Operators and partitions at most: a batch of any size takes a handful of operators more.
@pytest.mark.parametrize(
    ("batch", "most", "partitions"),
    [(1, 320, 1), (None, 325, 2)],
)
@pytest.mark.parametrize("options", [{}, {"pool": "average", "class_token": False}])
@pytest.mark.slow
def test_twelve_layers_are_one_partition(options, batch, most, partitions, tmp_path):
    """No shape arithmetic, nothing that XNNPACK leaves out."""
    model = vit(tiny(depth=12, **options))
    randomize(model)  # zeros and ones would be folded away
    found = graph(to_tflite(model, tmp_path / "m.tflite", batch=batch))
    assert found[0] <= most
    assert 1 <= found[1] <= partitions


def test_a_flex_operator_is_refused(tmp_path):
    @tf.function(input_signature=[tf.TensorSpec((1, 4, 4, 3))])
    def flex(x):
        return tf.image.extract_patches(x, [1, 2, 2, 1], [1, 2, 2, 1], [1, 1, 1, 1], "VALID")

    function, module = flex.get_concrete_function(), tf.Module()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function], module)
    with pytest.raises(UserError, match=r"x\.tflite: .*no operator of its own for .*ImagePatches"):
        convert(converter, "x.tflite")
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function], module)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.SELECT_TF_OPS]
    (tmp_path / "flex.tflite").write_bytes(converter.convert())
    with pytest.raises(UserError, match="outside LiteRT's own: CUSTOM:FlexExtractImagePatches"):
        check_rules(tmp_path / "flex.tflite", "flex.tflite")


def test_bad_arguments_are_refused_before_any_work(tmp_path):
    model = vit(ViTConfig.of("mu/16", image_size=32))
    with pytest.raises(UserError, match=r"ends in \.tflite"):
        to_tflite(model, tmp_path / "model.lite")
    with pytest.raises(UserError, match="Did you mean float16"):
        to_tflite(model, tmp_path / "m.tflite", quantize="float-16")
    with pytest.raises(UserError, match="Did you mean uint8"):
        to_tflite(model, tmp_path / "m.tflite", input_dtype="int8")
    with pytest.raises(UserError, match="needs real images"):
        to_tflite(model, tmp_path / "m.tflite", quantize="static_int8")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("quantize", slow_but(["dynamic_int8"], ["none", "dynamic_int8"]))
def test_equal_models_give_equal_files(model, path, tmp_path, quantize):
    first = to_tflite(model, tmp_path / "1.tflite", METADATA, quantize)
    other = quantize == "none" and path  # the same once before
    second = other or to_tflite(model, tmp_path / "2.tflite", METADATA, quantize)
    assert first.read_bytes() == second.read_bytes()
