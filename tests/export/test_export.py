# SPDX-License-Identifier: MIT
import json
import subprocess
import sys
import zipfile

import keras
import numpy as np
import pytest

from keras_vit import UserError, vit
from keras_vit.export import Metadata, compare, open_runner, operators, to_saved_model, to_tflite
from keras_vit.export.runner import format_of, keras_runner
from tests.contracts import randomize
from tests.models.test_vit import OPTIONS, tiny

METADATA = Metadata("tiny", ("cat", "dog", "bird"), (16, 24), 3, 0.9)


@pytest.fixture(scope="module")
def model():
    model = vit(tiny())
    randomize(model)
    return model


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(5).integers(0, 256, (7, 16, 24, 3), "uint8")


@pytest.fixture(scope="module")
def files(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("export")
    return {
        "saved_model": to_saved_model(model, folder / "saved_model", METADATA),
        "litert": to_tflite(model, folder / "model.tflite", METADATA),
    }


@pytest.mark.parametrize("format", ["saved_model", "litert"])
def test_an_export_gives_the_model_s_logits(files, model, images, format):
    assert format_of(files[format]) == format
    agreement = compare(keras_runner(model)(images), open_runner(files[format])(images))
    assert agreement.ok
    assert agreement.agreement == 1
    # float32 sums in another order, logits around 1.
    assert agreement.max_abs_diff < 1e-4
    assert Metadata.read(files[format]) == METADATA


def test_saved_model_needs_neither_keras_nor_this_package(files, model, images, tmp_path):
    np.savez(tmp_path / "x.npz", x=images, y=keras_runner(model)(images))
    code = """
import sys, numpy as np
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("keras", "keras_vit", "tf_keras"):
            raise ImportError(name + " is blocked")
import tensorflow as tf
for name in [n for n in sys.modules if n.split(".")[0] in ("keras", "keras_vit")]:
    del sys.modules[name]
sys.meta_path.insert(0, Blocked())
file = np.load(sys.argv[2])
model = tf.saved_model.load(sys.argv[1])
for name, dtype in (("serving_default", tf.float32), ("serving_uint8", tf.uint8)):
    for n in (1, 7):
        y = model.signatures[name](pixels=tf.constant(file["x"][:n], dtype))["logits"].numpy()
        print(np.abs(y - file["y"][:n]).max() < 1e-4)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, files["saved_model"], tmp_path / "x.npz"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.stdout.split() == ["True"] * 4, done.stderr


def test_litert_needs_no_tensorflow(files, images, tmp_path):
    np.save(tmp_path / "x.npy", images)
    code = (
        "import sys, numpy as np\nfrom keras_vit.export import open_runner\n"
        "print(open_runner(sys.argv[1])(np.load(sys.argv[2])).shape,"
        "[m for m in ('tensorflow', 'keras') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, files["litert"], tmp_path / "x.npy"],
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == "(7, 3) []", done.stderr


def test_litert_holds_built_in_operators_only(files):
    found = operators(files["litert"])
    assert {"FULLY_CONNECTED", "BATCH_MATMUL", "SOFTMAX", "GELU"} <= set(found)
    assert not [name for name in found if "CUSTOM" in name or "Flex" in name]


def test_labels_can_be_unzipped_from_the_litert_file(files):
    with zipfile.ZipFile(files["litert"]) as archive:
        assert archive.read("labels.txt").decode().split() == ["cat", "dog", "bird"]
        assert json.loads(archive.read("metadata.json"))["image_size"] == [16, 24]


@pytest.mark.parametrize(
    "name",
    [
        name if name in ("registers", "not square") else pytest.param(name, marks=pytest.mark.slow)
        for name in OPTIONS
        if name != "plain"
    ],
)
def test_every_option_exports(name, tmp_path):
    config = tiny(**OPTIONS[name])
    model = vit(config)
    randomize(model)
    images = np.random.default_rng(6).integers(0, 256, (2, 16, 24, config.channels), "uint8")
    path = to_tflite(model, tmp_path / "m.tflite")
    assert compare(keras_runner(model)(images), open_runner(path)(images)).max_abs_diff < 1e-4


def test_a_flex_operator_is_refused(tmp_path):
    class Flex(keras.layers.Layer):
        def call(self, x):
            import tensorflow as tf

            return tf.image.extract_patches(x, [1, 2, 2, 1], [1, 2, 2, 1], [1, 1, 1, 1], "VALID")

    inputs = keras.Input((4, 4, 3))
    model = keras.Model(inputs, Flex()(inputs))
    with pytest.raises(UserError, match=r"no operator of its own for .*ExtractImagePatches"):
        to_tflite(model, tmp_path / "flex.tflite")
    assert not list(tmp_path.iterdir())


def test_compare_says_where():
    reference = np.array([[1.0, 0], [0, 1], [0, 1.0001]])
    same = compare(reference, reference + 1e-4)
    assert same.ok and same.agreement == 1
    other = reference.copy()
    other[1] = [1, 0]
    found = compare(reference, other)
    assert not found.ok
    assert (found.worst, found.disagreeing) == (1, (1,))
    assert found.agreement == pytest.approx(2 / 3)
    broken = compare(reference, np.where(reference == 1.0001, np.nan, reference))
    assert not broken.ok and not broken.finite and broken.worst == 2


def test_a_swapped_tie_is_no_disagreement():
    found = compare(np.array([[0.5, 0.5 + 1e-5]]), np.array([[0.5 + 1e-5, 0.5]]))
    assert found.agreement == 0
    assert found.ok


def test_what_is_no_model_is_refused(tmp_path):
    (tmp_path / "text.txt").write_text("x")
    (tmp_path / "bad.tflite").write_bytes(b"not a flatbuffer" * 10)
    (tmp_path / "bad.keras").write_bytes(b"not a zip")
    with pytest.raises(UserError, match="no such file"):
        open_runner(tmp_path / "missing.tflite")
    with pytest.raises(UserError, match=r"expected a \.tflite file"):
        open_runner(tmp_path / "text.txt")
    for name in ("bad.tflite", "bad.keras"):
        with pytest.raises(UserError, match="cannot be opened"):
            open_runner(tmp_path / name)
    with pytest.raises(UserError, match=r"ends in \.tflite"):
        to_tflite(vit(tiny()), tmp_path / "model.lite")


@pytest.mark.parametrize("format", ["saved_model", "litert"])
def test_images_of_another_size_are_refused(files, format):
    with pytest.raises(UserError, match=r"expected images of shape \(16, 24, 3\)"):
        open_runner(files[format])(np.zeros((1, 16, 16, 3), "uint8"))


def test_answers_of_several_classes():
    reference = np.array([[1.0, -1.0], [2.0, 1e-5], [-1.0, -2.0]])
    near = reference - np.array([[0, 0], [0, 2e-5], [0, 0]])  # a tie: both are 0 but for rounding
    found = compare(reference, near, task="multi")
    assert found.ok and found.agreement == pytest.approx(2 / 3)
    other = reference.copy()
    other[2, 0] = 0.5
    found = compare(reference, other, tolerance=10, task="multi")
    assert found.disagreeing == () and found.agreement == pytest.approx(2 / 3)
    found = compare(reference, other, task="multi")
    assert found.disagreeing == (2,) and not found.ok
    meta = Metadata("m", ("cat", "dog"), (8, 8), 3, task="multi")
    assert meta.answer(reference[1]) == "'cat' and 'dog'" and meta.answer(reference[2]) == "nothing"
    assert Metadata.parse(meta.to_json(), "x") == meta
