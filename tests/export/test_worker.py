# SPDX-License-Identifier: MIT
"""Whatever a file does to the process that runs it, the caller gets logits or one line."""

import gc
import os
import signal
import sys

import numpy as np
import pytest

from keras_vit import UserError, vit
from keras_vit.export import Metadata, open_runner, to_onnx, to_tflite, worker
from keras_vit.export.worker import Worker
from tests.models.test_vit import tiny

SHAPE = (16, 24, 3)
IMAGES = np.random.default_rng(0).integers(0, 256, (5, *SHAPE)).astype("float32")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder, model = tmp_path_factory.mktemp("worker"), vit(tiny(depth=1))
    metadata = Metadata("tiny", ("a", "b", "c"), SHAPE[:2], 3)
    return {
        "litert": to_tflite(model, folder / "model.tflite", metadata),
        "onnx": to_onnx(model, folder / "model.onnx", metadata),
    }


@pytest.mark.parametrize("format", ["litert", "onnx"])
def test_it_gives_what_the_file_gives_here(files, format):
    here = open_runner(files[format])
    with Worker(files[format]) as there:
        assert there.input_shape == here.input_shape
        assert there.metadata == here.metadata
        for images in (IMAGES, IMAGES[:1], IMAGES.astype("uint8"), IMAGES[::2, :, ::-1]):
            # The same kernels in another process: float32 that was summed in the same order.
            np.testing.assert_array_equal(there(images), here(images))


def test_an_error_is_one_line_and_the_worker_goes_on(files):
    with Worker(files["litert"]) as there:
        for _ in range(2):
            with pytest.raises(UserError, match=r"expected images of shape \(16, 24, 3\)"):
                there(IMAGES[:, :8])
        assert there(IMAGES).shape == (5, 3)


def test_a_file_that_cannot_be_opened_says_so_each_time(tmp_path):
    path = tmp_path / "bad.tflite"
    path.write_bytes(b"not a flatbuffer" * 10)
    with Worker(path) as there:
        for _ in range(2):
            with pytest.raises(
                UserError, match=r"bad\.tflite: cannot be opened as a \.tflite file"
            ):
                there(IMAGES)


def script(tmp_path, body: str) -> list[str]:
    """The command of a process that does something else with the pixels."""
    path = tmp_path / "process.py"
    path.write_text(
        "import os, signal, sys, time\nimport numpy as np\n"
        "from keras_vit.export.worker_process import serve\n"
        f"def run(pixels):\n    {body}\n"
        "serve(lambda path, threads: run)\n"
    )
    return [sys.executable, str(path)]


@pytest.mark.parametrize(
    "name", ["SIGSEGV", "SIGKILL", pytest.param("SIGABRT", marks=pytest.mark.slow)]
)
def test_a_process_that_dies_is_one_line(files, tmp_path, name):
    command = script(tmp_path, f"os.kill(os.getpid(), signal.{name})")
    with Worker(files["litert"], command=command) as there:
        expected = "was killed" if name == "SIGKILL" else f"its process ended \\({name}\\)"
        for _ in range(2):
            with pytest.raises(UserError, match=rf"model\.tflite: .*{expected}"):
                there(IMAGES)


def test_a_process_that_hangs_is_ended(files, tmp_path, monkeypatch):
    monkeypatch.setattr(worker, "_CALL_SECONDS", -5)  # five images leave a second
    command = script(tmp_path, "signal.pause()")
    with (
        Worker(files["litert"], command=command) as there,
        pytest.raises(UserError, match="took longer than is given to it"),
    ):
        there(np.repeat(IMAGES, 2, 0)[:6])


def test_memory_is_bounded(files, tmp_path, monkeypatch):
    monkeypatch.setattr(worker, "_memory", lambda: 2**30)
    command = script(tmp_path, "return np.ones(2**28)[: 3 * len(pixels)].reshape(-1, 3)")
    with (
        Worker(files["litert"], command=command) as there,
        pytest.raises(UserError, match=r"its process ended \(exit code 1: .*Unable to allocate"),
    ):
        there(IMAGES)


def test_nothing_large_is_written(files, tmp_path):
    command = script(tmp_path, f"open({str(tmp_path / 'big')!r}, 'wb').write(bytes(2 * 10**6))")
    with (
        Worker(files["litert"], command=command) as there,
        pytest.raises(UserError, match="File too large"),
    ):
        there(IMAGES)


def test_the_process_ends_with_its_object(files):
    there = Worker(files["litert"])
    there(IMAGES)
    number = there._process.pid
    del there
    gc.collect()
    with pytest.raises(ProcessLookupError):
        os.kill(number, signal.SIGCONT)
