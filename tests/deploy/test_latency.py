# SPDX-License-Identifier: MIT
import sys

import numpy as np
import pytest

from keras_vit import UserError, hardware, vit
from keras_vit.deploy.latency import median_milliseconds, time_files
from keras_vit.export import Metadata, to_tflite
from tests.models.test_vit import tiny

SHAPE = (16, 24, 3)


@pytest.fixture(scope="module")
def tflite(tmp_path_factory):
    path = tmp_path_factory.mktemp("latency") / "model.tflite"
    return to_tflite(vit(tiny(depth=1)), path, Metadata("tiny", ("a", "b", "c"), SHAPE[:2], 3, 1.0))


@pytest.mark.slow
def test_every_combination_is_timed(tflite):
    files = {"first": tflite, "again": tflite}
    results = time_files(
        files, SHAPE, (1,), (1, 3), seconds=0.25, flops={"first": 1e6, "again": 1e6}
    )
    assert [(r.name, r.batch) for r in results] == [
        *(("first", 1), ("first", 3)),
        *(("again", 1), ("again", 3)),
    ]
    for result in results:
        assert 0 < result.median_ms <= result.p95_ms
        assert result.cpu_ms > 0
        assert result.images_per_second == pytest.approx(1000 * result.batch / result.median_ms)
        # 10^6 operations an image: a thousandth of the images per second, in 10^9.
        assert result.gflops == pytest.approx(result.images_per_second / 1000)
        assert result.share_of_peak > 0  # how much, on a shared machine, is not sure
        assert result.calls >= 1
        assert result.bytes == tflite.stat().st_size
        # Python, NumPy and the interpreter; TensorFlow alone holds three times as much.
        assert 10 < result.peak_mb < 250


@pytest.mark.slow
def test_without_operations_there_is_no_share(tflite):
    (result,) = time_files({"litert": tflite}, SHAPE, seconds=0.25)
    assert result.gflops is None
    assert result.share_of_peak is None


def test_a_worker_of_ones_own(tflite, tmp_path):
    """What keras_vit cannot open is measured by a script that knows how, and may write files."""
    script, compiled = tmp_path / "worker.py", tmp_path / "compiled"
    script.write_text(
        "import pathlib, time\n"
        "from keras_vit.export.worker_process import serve\n"
        "def opened(path, threads):\n"
        f"    pathlib.Path({str(compiled)!r}).write_bytes(bytes(2_000_000))\n"
        "    return lambda pixels: time.sleep(0.02 * len(pixels))\n"
        "serve(opened, writes=True)\n",
        encoding="utf-8",
    )
    workers = {"sleeper": [sys.executable, str(script)]}
    files = {"sleeper": tflite, "litert": tflite}
    sleeper, litert = time_files(files, SHAPE, seconds=0.25, workers=workers)
    assert compiled.stat().st_size == 2_000_000
    assert sleeper.median_ms >= 20  # a sleep is never shorter than asked for
    assert sleeper.cpu_ms < 5  # and takes no CPU, but for the call itself
    assert litert.median_ms < sleeper.median_ms  # microseconds of work


def test_what_cannot_run_is_named(tflite, tmp_path):
    broken = tmp_path / "broken.tflite"
    broken.write_bytes(b"no flatbuffer")
    with pytest.raises(UserError, match=r"broken\.tflite: cannot be opened"):
        time_files({"litert": broken}, SHAPE, seconds=0.25)
    with pytest.raises(UserError, match=r"expected images of shape \(16, 24, 3\)"):
        time_files({"litert": tflite}, (8, 8, 3), seconds=0.25)
    with pytest.raises(UserError, match=rf"expected 1 to {hardware.usable_cores()} on this"):
        time_files({"litert": tflite}, SHAPE, (hardware.usable_cores() + 1,))
    with pytest.raises(UserError, match="batch: expected 1 or more, received 0"):
        time_files({"litert": tflite}, SHAPE, batches=(0,))


def test_times_are_medians_of_each_runner():
    calls = {"a": 0, "b": 0}

    def runner(name):
        def run(image):
            assert image.shape == (1, 2, 2, 3)
            calls[name] += 1

        return run

    runners = {name: runner(name) for name in calls}
    times = median_milliseconds(runners, np.zeros((3, 2, 2, 3)), rounds=4)
    assert calls == {"a": 9, "b": 9}  # five to warm up
    assert all(value >= 0 for value in times.values())
