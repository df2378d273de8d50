# SPDX-License-Identifier: MIT
"""SIGKILL at any moment, twenty times and more, costs nothing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

KILL_LOOP = Path(__file__).parents[2] / "benchmarks" / "kill_loop.py"


@pytest.mark.slow
@pytest.mark.parametrize(("backend", "kills", "epochs"), [("tensorflow", 20, 20), ("jax", 4, 6)])
def test_a_run_survives_being_killed(backend, kills, epochs):
    if backend == "jax":
        pytest.importorskip("jax", reason="the JAX backend is not installed")
    done = subprocess.run(
        [sys.executable, KILL_LOOP, "--kills", str(kills), "--epochs", str(epochs)],
        env={**os.environ, "KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [line for line in done.stdout.splitlines() if line.endswith("| yes | yes |")]
    assert len(rows) == kills + 1
