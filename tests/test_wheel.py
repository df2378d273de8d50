# SPDX-License-Identifier: MIT
"""The wheel, installed in another place, runs from another folder."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.slow
def test_wheel(tmp_path):
    run = {"capture_output": True, "text": True, "check": True}
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    # Neither isolation nor dependencies: what the tests run with is there already, and no network.
    flags = ["--no-build-isolation", "--no-deps", "--no-cache-dir", "--quiet"]
    sources = tmp_path / "sources"
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for folder in ("keras_vit", "apps"):
        shutil.copytree(ROOT / folder, sources / folder, ignore=ignored)
    for file in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, sources)
    subprocess.run([*pip, "wheel", *flags, "-w", tmp_path, sources], **run)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        inside = set(archive.namelist())
    for name in (
        "py.typed",
        "apps/train.py",
        "data/sources/bundled/digits.npz",
        "reports/page/page.css",
    ):
        assert f"keras_vit/{name}" in inside
    assert "keras_vit/weights/bundled/drawn-mini.safetensors" in inside
    assert wheel.stat().st_size < 4_000_000  # 3 MB of weights, and the code
    assert not [name for name in inside if name.startswith(("tests", "apps/", "benchmarks"))]

    site = tmp_path / "site"
    subprocess.run([*pip, "install", *flags, "--target", site, wheel], **run)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(site)}
    command = [site / "bin" / "keras-vit", "train", "--debug"]
    done = subprocess.run(command, cwd=elsewhere, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (elsewhere / "runs" / "digits-1" / "export" / "model.tflite").exists()
    code = "import keras_vit; print(keras_vit.__file__)"
    done = subprocess.run([sys.executable, "-c", code], cwd=elsewhere, env=environment, **run)
    assert Path(done.stdout.strip()).is_relative_to(site)
