# SPDX-License-Identifier: MIT
"""What is timed; how is tests/deploy/test_latency.py's."""

import json
import shutil

import keras
import pytest

from keras_vit import UserError, ViTConfig, hardware, recipes, vit
from keras_vit.deploy import benchmark
from keras_vit.deploy.benchmark import make_plan
from keras_vit.export import Metadata, to_onnx, to_saved_model, to_tflite
from keras_vit.export.runner import format_of, open_runner
from tests.models.test_vit import tiny

SHAPE = (16, 24, 3)
METADATA = Metadata("tiny", ("a", "b", "c"), SHAPE[:2], 3, flops=77)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run folder with a LiteRT file and no other export."""
    folder = tmp_path_factory.mktemp("benchmark") / "run"
    folder.mkdir()
    model = vit(tiny())
    model.save(folder / "model.keras")
    text = json.dumps(recipes.to_dict(recipes.get("digits")))
    (folder / "recipe.json").write_text(text, encoding="utf-8")
    to_tflite(model, folder / "export" / "model.tflite", METADATA)
    return folder


@pytest.fixture
def measured(monkeypatch):
    """Calls of `measure`; the files are gone when it has returned."""
    calls = []

    def measure(files, image_shape, threads, batches, seconds, flops, unsafe):
        calls.append((files, image_shape, flops))
        shapes = {path: open_runner(path).input_shape for path in files.values()}
        return [s for path, s in shapes.items() if format_of(path) in ("litert", "onnx")]

    monkeypatch.setattr(benchmark, "measure", measure)
    return calls


def test_a_run_is_timed_in_every_runtime(run, measured):
    benchmark.benchmark(make_plan([str(run)]))
    ((files, shape, flops),) = measured
    assert list(files) == ["keras", "saved_model", "litert", "onnx"]
    assert files["keras"] == run / "model.keras"
    assert files["litert"] == run / "export" / "model.tflite"  # what is there is used
    assert not files["onnx"].exists()  # what is not was made for the time being
    assert shape == SHAPE
    assert flops == dict.fromkeys(files, tiny().forward_flops())


def test_a_larger_batch_takes_files_of_any_batch(run, measured):
    (shape,) = benchmark.benchmark(make_plan([str(run)], ["litert"], batches=(1, 4)))
    assert shape == (None, *SHAPE)
    assert measured[0][0]["litert"] != run / "export" / "model.tflite"


@pytest.mark.slow
def test_modes_go_to_the_runtimes_that_have_them(run, measured):
    modes = ["none", "float16", "dynamic_int8"]
    benchmark.benchmark(make_plan([str(run)], ["saved_model", "litert", "onnx"], modes))
    assert list(measured[0][0]) == [
        *("saved_model", "litert", "litert float16", "litert dynamic_int8"),
        *("onnx", "onnx dynamic_int8"),
    ]


def test_a_name_is_a_model_with_random_weights(measured):
    benchmark.benchmark(make_plan(["mu/16", "mu/8"], ["litert"], image_size=32))
    ((files, shape, flops),) = measured
    assert list(files) == ["mu/16 litert", "mu/8 litert"]
    assert shape == (32, 32, 3)
    assert flops["mu/8 litert"] == ViTConfig.of("mu/8", image_size=32).forward_flops()


def test_files_are_timed_as_they_are(run, measured, tmp_path):
    tflite, saved_model = run / "export" / "model.tflite", tmp_path / "saved"
    to_saved_model(keras.saving.load_model(run / "model.keras"), saved_model, METADATA)
    subjects = [str(tflite), str(saved_model)]
    plan = make_plan(subjects)
    assert not plan.needs_keras
    benchmark.benchmark(plan)
    assert measured == [
        ({subjects[0]: tflite, subjects[1]: saved_model}, SHAPE, dict.fromkeys(subjects, 77))
    ]


def test_operations_of_a_file_without_metadata_are_unknown(measured, tmp_path):
    path = to_onnx(vit(tiny()), tmp_path / "model.onnx")
    benchmark.benchmark(make_plan([str(path)], batches=(3,)))
    assert measured == [({str(path): path}, SHAPE, {})]


@pytest.mark.parametrize(
    ("subjects", "options", "message"),
    [
        (["RUN"], {"runtimes": ["tflite"]}, r"unknown runtime 'tflite'\. Did you mean litert"),
        (["RUN"], {"modes": ["int8"]}, r"unknown quantize 'int8'"),
        (["RUN"], {"runtimes": ["onnx"], "modes": ["float16"]}, r"none of onnx has float16"),
        (["RUN"], {"threads": (99,)}, rf"threads: expected 1 to {hardware.usable_cores()} on"),
        (["RUN"], {"batches": (0,)}, "batch: expected 1 or more, received 0"),
        (["RUN"], {"image_size": 32}, "image_size: .* has its own"),
        (["RUN/export/model.tflite"], {"runtimes": ["onnx"]}, "runs in litert, and --runtime"),
        (["RUN/export/model.tflite"], {"modes": ["none"]}, "files are timed as they are"),
        (["lost.tflite"], {}, r"lost\.tflite: no such file or folder"),
        (["S16"], {}, r"S16: no such file or folder, and unknown model 'S16'\. Did you mean S/16"),
        (["S/16"], {"image_size": 0}, "image_size: expected a whole number above 0"),
    ],
)
def test_what_cannot_be_timed_is_said_first(run, subjects, options, message):
    with pytest.raises(UserError, match=message):
        make_plan([subject.replace("RUN", str(run)) for subject in subjects], **options)


def test_a_missing_package_is_named(run, monkeypatch):
    found = benchmark.importlib.util.find_spec
    monkeypatch.setattr(
        benchmark.importlib.util,
        "find_spec",
        lambda name: None if name == "onnxruntime" else found(name),
    )
    with pytest.raises(UserError, match=r"onnx: needs the package onnxruntime.*toolkit\[onnx\]"):
        make_plan([str(run)], ["onnx"])
    assert make_plan([str(run)]).runtimes == ("keras", "saved_model", "litert")


def test_files_that_do_not_fit_together(run, tmp_path, measured):
    tflite = run / "export" / "model.tflite"
    with pytest.raises(UserError, match=r"expected a batch of 1.*received 1, 8.*--batch dynamic"):
        benchmark.benchmark(make_plan([str(tflite)], batches=(1, 8)))
    other = to_onnx(vit(tiny(image_size=(8, 8))), tmp_path / "other.onnx")
    with pytest.raises(UserError, match=r"take the same images, received .*\(16, 24, 3\)"):
        benchmark.benchmark(make_plan([str(tflite), str(other)]))
    bare = tmp_path / "bare"
    to_saved_model(vit(tiny()), bare)
    with pytest.raises(UserError, match="bare: nothing says its input size"):
        benchmark.benchmark(make_plan([str(bare)]))
    shutil.copy(__file__, tmp_path / "broken.tflite")
    with pytest.raises(UserError, match=r"broken\.tflite: cannot be opened"):
        benchmark.benchmark(make_plan([str(tmp_path / "broken.tflite")]))
