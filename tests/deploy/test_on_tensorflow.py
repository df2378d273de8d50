# SPDX-License-Identifier: MIT
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from keras_vit import UserError
from keras_vit.deploy import on_tensorflow
from keras_vit.run_folder import RunFolder


def test_other_images_than_the_run_was_tested_on_are_refused(digits_run):
    """As those of a program's memory, where the recipe names the digits."""
    run = RunFolder.open(digits_run[0])
    _, _, split = run.split("test")
    other = on_tensorflow._digest(split.take(np.arange(len(split) - 1)))
    with pytest.raises(UserError, match="its records do not lead to the images"):
        on_tensorflow.main(json.dumps([str(run.path), other, ["litert"]]))


@pytest.mark.slow
def test_a_run_on_jax_has_the_same_exports(tmp_path):
    pytest.importorskip("jax", reason="the JAX backend is not installed")
    done = subprocess.run(
        [sys.executable, "-m", "keras_vit.apps", "train", "--debug", "--workdir", tmp_path / "run"],
        env={**os.environ, "KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    exports = RunFolder.open(tmp_path / "run").report["exports"]
    assert [(export["format"], export["ok"]) for export in exports] == [
        ("saved_model", True),
        ("litert", True),
    ]
    assert all((tmp_path / "run" / export["path"]).exists() for export in exports)
