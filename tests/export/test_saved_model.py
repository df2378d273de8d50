# SPDX-License-Identifier: MIT
import io
import re
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_vit import vit
from keras_vit.data import read_image
from keras_vit.data.pipeline.encoded import read_encoded
from keras_vit.export import Metadata, to_saved_model
from tests.contracts import randomize, to_numpy
from tests.models.test_vit import tiny

METADATA = Metadata(
    *("tiny", ("cat", "dog", "bird"), (16, 24), 3, 0.9),
    framing="shorter_side",
    interpolation="bicubic",
)


@pytest.fixture(scope="module")
def model():
    model = vit(tiny())
    randomize(model)
    return model


@pytest.fixture(scope="module")
def path(model, tmp_path_factory):
    return to_saved_model(model, tmp_path_factory.mktemp("export") / "m", METADATA, read_encoded)


@pytest.fixture(scope="module")
def loaded(path):
    return tf.saved_model.load(str(path))


def file(seed, format="PNG"):
    pixels = np.random.default_rng(seed).integers(0, 256, (30, 40, 3), "uint8")
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format)
    return buffer.getvalue()


def test_signatures_of_pixels(model, loaded):
    images = np.random.default_rng(0).integers(0, 256, (7, 16, 24, 3), "uint8")
    expected = to_numpy(model(images))
    for n in (1, 7):
        pixels = tf.constant(images[:n], tf.float32)
        for name in ("serving_default", "serve"):
            found = loaded.signatures[name](pixels=pixels)["logits"]
            np.testing.assert_allclose(found, expected[:n], atol=1e-5)  # another order of sums
        attention = loaded.signatures["attention"](pixels=pixels)["attention"]
        assert attention.shape == (n, 2, 25, 25)
        np.testing.assert_allclose(tf.reduce_sum(attention, -1), 1, atol=1e-5)
        assert loaded.signatures["features"](pixels=pixels)["features"].shape == (n, 16)
    np.testing.assert_allclose(loaded.serve(pixels)["logits"], expected, atol=1e-5)


def test_a_broken_file_leaves_its_neighbours_alone(model, loaded):
    good = [file(0, "JPEG"), file(1), file(2, "WEBP")]
    serve = loaded.signatures["serve_bytes"]
    alone = serve(image_bytes=tf.constant(good))
    mixed = [b"", good[0], b"<html>", good[1], good[0][:300], good[2], good[1][:40]]
    found = serve(image_bytes=tf.constant(mixed))
    places = [1, 3, 5]
    assert found["valid"].numpy().nonzero()[0].tolist() == places
    for name in ("classes", "indices", "valid"):
        np.testing.assert_array_equal(found[name].numpy()[places], alone[name])
    # A larger batch sums in another order.
    np.testing.assert_allclose(found["scores"].numpy()[places], alone["scores"], atol=1e-6)
    bad = [0, 2, 4, 6]
    assert (found["scores"].numpy()[bad] == 0).all()
    assert (found["classes"].numpy()[bad] == b"").all()
    assert (found["indices"].numpy()[bad] == -1).all()


def test_bytes_are_classified_like_pixels(model, loaded):
    good = [file(seed) for seed in range(4)]
    found = loaded.signatures["serve_bytes"](image_bytes=tf.constant(good))
    pixels = np.stack([read_image(io.BytesIO(f), METADATA.preprocessing) for f in good])
    expected = to_numpy(model(pixels))
    order = np.argsort(-expected, axis=1)
    assert (found["indices"].numpy() == order).all()
    labels = np.array([label.encode() for label in METADATA.labels])
    assert (found["classes"].numpy() == labels[order]).all()
    np.testing.assert_allclose(found["scores"].numpy().sum(axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("contents", [[], [b"x"], [b"x", b"y"]])
def test_batches_without_any_image(loaded, contents):
    found = loaded.signatures["serve_bytes"](image_bytes=tf.constant(contents, tf.string))
    assert found["classes"].shape == (len(contents), 3)
    assert not found["valid"].numpy().any()


@pytest.mark.slow
def test_saved_model_needs_neither_keras_nor_this_package(path, model, tmp_path):
    images = np.random.default_rng(5).integers(0, 256, (7, 16, 24, 3), "uint8")
    np.savez(tmp_path / "x.npz", x=images, y=to_numpy(model(images)))
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
        [sys.executable, "-c", code, path, tmp_path / "x.npz"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.stdout.split() == ["True"] * 4, done.stderr


def saved_model_cli(*arguments):
    command = [sys.executable, "-m", "tensorflow.python.tools.saved_model_cli", *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_saved_model_cli_shows_and_runs_it(model, path, tmp_path):
    shown = saved_model_cli("show", "--dir", path, "--all")
    names = {*re.findall(r"signature_def\['(\w+)'\]", shown)}
    wanted = {"serving_default", "serve", "serving_uint8", "serve_bytes", "features", "attention"}
    assert wanted <= names
    assert "shape: (-1, 16, 24, 3)" in shown and "DT_STRING" in shown

    images = np.random.default_rng(0).integers(0, 256, (2, 16, 24, 3)).astype("float32")
    np.save(tmp_path / "x.npy", images)
    saved_model_cli(
        *("run", "--dir", path, "--tag_set", "serve", "--signature_def", "serving_default"),
        *("--inputs", f"pixels={tmp_path / 'x.npy'}", "--outdir", tmp_path),
    )
    found = np.load(tmp_path / "logits.npy")
    np.testing.assert_allclose(found, to_numpy(model(images)), atol=1e-5)


@pytest.mark.slow
def test_five_hundred_mutated_files_do_no_harm(loaded):
    random = np.random.default_rng(0)
    seeds = [file(i, format) for i, format in enumerate(("JPEG", "PNG", "BMP", "GIF", "WEBP"))]
    serve = loaded.signatures["serve_bytes"]
    witness = file(9)
    expected = serve(image_bytes=tf.constant([witness]))
    broken = 0
    for start in range(0, 500, 20):
        batch = [mutated(seeds[i % len(seeds)], random) for i in range(start, start + 20)]
        batch.insert(int(random.integers(21)), witness)
        found = serve(image_bytes=tf.constant(batch))
        place = batch.index(witness)
        assert found["valid"].numpy()[place]
        np.testing.assert_array_equal(found["indices"][place], expected["indices"][0])
        # Other files in the batch change the shape of the matrices, not the numbers' rounding much.
        np.testing.assert_allclose(found["scores"][place], expected["scores"][0], atol=1e-6)
        scores = found["scores"].numpy()
        assert np.isfinite(scores).all()
        broken += int((~found["valid"].numpy()).sum())
    assert 50 < broken < 500  # some mutations break a file, some do not


def mutated(contents, random):
    data = bytearray(contents)
    for _ in range(random.integers(1, 20)):
        data[random.integers(len(data))] = random.integers(256)
    if random.random() < 0.3:
        del data[random.integers(len(data)) :]
    return bytes(data)


def test_a_full_disk_is_an_error_of_the_system(model, tmp_path, monkeypatch):
    """TensorFlow has a class of its own for it, and names a temporary file."""

    def full(*args, **kwargs):
        raise tf.errors.ResourceExhaustedError(None, None, "/tmp/x.tmp1; No space left on device")

    monkeypatch.setattr(tf.saved_model, "save", full)
    with pytest.raises(OSError, match=r"cannot be written \(No space left on device\): '.*/m'"):
        to_saved_model(model, tmp_path / "m", METADATA)
    assert not list(tmp_path.iterdir())


WRITE = """
import sys, keras
from pathlib import Path
from keras_vit import ViTConfig, vit
from keras_vit.data.pipeline.encoded import read_encoded
from keras_vit.export import Metadata
from keras_vit.export.saved_model import to_saved_model

keras.utils.set_random_seed(1)
sizes = {"width": 16, "depth": 2, "mlp_dim": 32, "num_heads": 2}
model = vit(ViTConfig.of("Ti/8", image_size=16, num_classes=2, **sizes))
metadata = Metadata("two", ("cat", "dog"), (16, 16), 3, 0.9)
to_saved_model(model, Path(sys.argv[1]), metadata, read_encoded)
"""


@pytest.mark.slow
def test_equal_runs_write_equal_files(tmp_path):
    """In one process TensorFlow counts its functions on; two runs are two processes."""
    written = []
    for name in ("first", "second"):
        subprocess.run([sys.executable, "-c", WRITE, tmp_path / name], check=True)
        files = [path for path in (tmp_path / name).rglob("*") if path.is_file()]
        written.append({str(p.relative_to(tmp_path / name)): p.read_bytes() for p in files})
    assert len(written[0]) == 6
    assert written[0] == written[1]
