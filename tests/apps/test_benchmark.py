# SPDX-License-Identifier: MIT
import json

import pytest

from keras_vit import UserError, vit
from keras_vit.data.pipeline.timing import Stage
from keras_vit.deploy import Latency
from keras_vit.export import Metadata, to_onnx, to_tflite
from keras_vit.reports import latency_table, pipeline_table
from keras_vit.reports.benchmark import recommended
from tests.models.test_vit import tiny

METADATA = Metadata("tiny", ("a", "b", "c"), (16, 24), 3, flops=1_000_000)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    model = vit(tiny(depth=1))
    to_tflite(model, folder / "model.tflite", METADATA)
    to_onnx(model, folder / "model.onnx", METADATA)
    return folder


def test_the_data_pipeline(in_process):
    flags = ("benchmark", "data", "digits", "--seconds", "0.02", "--format", "json")
    result = in_process(*flags)
    assert result.code == 0
    stages = json.loads(result.out)
    assert [stage["name"] for stage in stages] == ["crop, resize, batch", "mix", "cached"]
    assert all(stage["images_per_second"] > 0 for stage in stages)


def test_files_are_timed_without_tensorflow(files, without_keras):
    """Where importing Keras or TensorFlow is an error."""
    flags = ["--runtime", "litert,onnx", "--seconds", "0.25"]
    names = ["model.tflite", "model.onnx"]
    done = without_keras("benchmark", *names, *flags, "--format", "json", cwd=files)
    assert done.code == 0, done.err
    results = json.loads(done.out)
    assert [result["name"] for result in results] == names
    for result in results:
        # 10^6 operations an image: a thousandth of the images per second, in 10^9.
        assert result["gflops"] == pytest.approx(result["images_per_second"] / 1000)
    done = without_keras("benchmark", *names, *flags, "--format", "table", cwd=files)
    assert done.code == 0, done.err
    header, *rows = done.out.splitlines()
    assert header.startswith("model          threads   batch   median ms   p95 ms")
    assert [row.split()[0] for row in rows[:2]] == names


@pytest.mark.slow
def test_a_name_is_timed(in_process):
    flags = ("--image_size", 32, "--runtime", "litert", "--quantize", "none,dynamic_int8")
    result = in_process("benchmark", "mu/16", *flags, "--seconds", "0.25", "--format", "json")
    names = [row["name"] for row in json.loads(result.out)]
    assert names == ["litert", "litert dynamic_int8"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["data"], "data: expected one folder of images, tfds:NAME or digits after it, rec"),
        (["data", "digits", "--threads", "1"], "--threads: does not go with `benchmark` of data"),
        (["S/16", "--recipe", "digits"], "--recipe: does not go with `benchmark` of models"),
        (["S/16", "--runtime", "torch"], "unknown runtime 'torch'"),
    ],
)
def test_usage_errors(in_process, flags, message):
    with pytest.raises(UserError, match=message):
        in_process("benchmark", *flags)


def test_the_table_of_a_pipeline():
    stages = [Stage("read", 12345.6, 0.0811, 0.0811, 1.0), Stage("flip", 500.0, 2.0, 1.9189, 1.0)]
    assert pipeline_table(stages).splitlines() == [
        "up to   images/s   CPU ms/image   added    cores",
        "read    12,346     0.081          +0.081   1.00",
        "flip    500        2.000          +1.919   1.00",
    ]


def test_the_table_of_latencies():
    known = Latency("litert", 1, 8, 25.0, 30.5, 24.9, 320.0, 40, 22_900_000, 101.4, 32.04, 0.456)
    unknown = Latency("a.onnx", 2, 1, 1.0, 1.0, 1.9, 1000.0, 9, 5_000, 60.0, None, None)
    lines = [" ".join(line.split()) for line in latency_table([known, unknown]).splitlines()]
    assert lines[:3] == [
        "model threads batch median ms p95 ms CPU ms images/s GFLOP/s of peak size memory",
        "litert 1 8 25.00 30.50 24.90 320.0 32.0 46% 22.90 MB 101 MB",
        "a.onnx 2 1 1.00 1.00 1.90 1,000.0 - - 0.01 MB 60 MB",
    ]
    assert not recommended([known, unknown])  # they are no rivals


def test_what_to_take_on_this_machine():
    def timed(name, ms, threads=1):
        return Latency(name, threads, 1, ms, ms, ms, 1000 / ms, 9, 5_000, 60.0, None, None)

    rivals = [timed("litert", 10), timed("openvino", 8), timed("onnx", 9)]
    assert recommended([*rivals, timed("litert", 6, 2), timed("onnx", 6, 2)]) == [
        "fastest here (1 thread, batch 1): openvino, 0.89x the time of onnx",
        "fastest here (2 threads, batch 1): litert",
    ]
    assert recommended([*rivals, timed("litert dynamic_int8", 4)]) == [
        "fastest here (1 thread, batch 1): litert dynamic_int8, 0.50x the time of openvino; "
        "as exact as the model: openvino, 0.89x the time of onnx"
    ]
    assert recommended([*rivals, timed("openvino merge 0.3", 7)]) == [
        "fastest here (1 thread, batch 1): openvino merge 0.3, 0.88x the time of openvino; "
        "as exact as the model: openvino, 0.89x the time of onnx"
    ]


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        *(("seconds", value) for value in ("nan", "inf", "-1", "x")),
        *(("batch", value) for value in ("0", "9" * 30)),
        ("threads", "x"),
        ("merge", "0.3,x"),
    ],
)
def test_numbers_that_would_never_end(without_keras, flag, value):
    done = without_keras("benchmark", "Ti/16", f"--{flag}={value}")
    assert done.code == 2 and f"--{flag}" in done.err
