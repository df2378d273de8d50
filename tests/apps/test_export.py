# SPDX-License-Identifier: MIT
"""`keras-vit export` of a model that stands in no run; of runs, see test_end_to_end.py."""

import subprocess
import sys

import pytest

from keras_vit import Predictor, UserError, vit
from tests.models.test_vit import tiny


@pytest.fixture(scope="module")
def lone(tmp_path_factory):
    path = tmp_path_factory.mktemp("lone") / "lone.keras"
    vit(tiny(num_classes=2)).save(path)
    return path


@pytest.mark.slow
def test_a_model_alone_is_exported_without_training(lone, tmp_path):
    """Where importing the room of training is an error."""
    code = (
        "import sys; sys.modules['keras_vit.training'] = None\n"
        "from keras_vit.apps.cli import main\nmain()\n"
    )
    flags = ("--format", "onnx", "--out", str(tmp_path / "out"))
    done = subprocess.run(
        [sys.executable, "-c", code, "export", str(lone), *flags], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[2].split()[:3] == ["onnx", "-", "100"]
    assert "its classes are numbered" in done.stderr and "noise is used" in done.stderr
    assert Predictor.open(tmp_path / "out" / "model.onnx").metadata.labels == ("0", "1")


def test_what_needs_real_images_is_refused(lone, tmp_path, in_process):
    flags = ("--format", "litert", "--quantize", "static_int8", "--out", tmp_path / "out")
    with pytest.raises(UserError, match=r"static_int8'? needs real images"):
        in_process("export", lone, *flags)
