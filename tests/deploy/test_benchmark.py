# SPDX-License-Identifier: MIT
"""Which files are timed; how is tests/deploy/test_latency.py's."""

import dataclasses
import json
import shutil

import keras
import pytest

from keras_vit import UserError, ViTConfig, recipes, vit
from keras_vit.deploy import plan_benchmark, run_benchmark
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
    model = vit(tiny(depth=1))
    model.save(folder / "model.keras")
    text = json.dumps(recipes.to_dict(recipes.get("digits")))
    (folder / "recipe.json").write_text(text, encoding="utf-8")
    to_tflite(model, folder / "export" / "model.tflite", METADATA)
    return folder


@dataclasses.dataclass
class Timed:
    """What was to be timed; the files are gone afterwards."""

    files: dict
    image_shape: tuple
    flops: dict
    input_shapes: dict
    runtimes: dict


def benchmarked(*subjects, **options):
    """Runs a benchmark up to where it would time its files."""

    def time(files, image_shape, threads, batches, seconds, flops, unsafe, runtimes):
        runs = {name: p for name, p in files.items() if format_of(p) in ("litert", "onnx")}
        shapes = {name: open_runner(path).input_shape for name, path in runs.items()}
        return Timed(files, image_shape, flops, shapes, runtimes)

    return run_benchmark(plan_benchmark(list(map(str, subjects)), **options), time)


def test_a_run_is_timed_in_every_runtime(run):
    timed = benchmarked(run)
    names = ["keras", "saved_model", "litert", "onnx", "openvino"]
    assert list(timed.files) == names
    assert timed.runtimes == dict(zip(names, names, strict=True))
    assert timed.files["keras"] == run / "model.keras"
    assert timed.files["litert"] == run / "export" / "model.tflite"  # what is there is used
    assert not timed.files["onnx"].exists()  # what is not was made for the time being
    assert timed.files["openvino"] == timed.files["onnx"]
    assert timed.image_shape == SHAPE
    assert timed.flops == dict.fromkeys(timed.files, tiny(depth=1).forward_flops())


def test_a_larger_batch_takes_files_of_any_batch(run):
    timed = benchmarked(run, runtimes=["litert"], batches=(1, 4))
    assert timed.input_shapes == {"litert": (None, *SHAPE)}
    assert timed.files["litert"] != run / "export" / "model.tflite"


def test_merging_files_are_written(run, monkeypatch):
    def write(planned, folded, metadata, options, calibration):
        shares.append(planned.merge)
        to_onnx(folded, planned.path, metadata)
        return planned

    shares: list[float] = []
    monkeypatch.setattr("keras_vit.deploy.exporting.write", write)
    timed = benchmarked(run, runtimes=["onnx"], merges=[0.3])
    assert list(timed.files) == ["onnx", "onnx merge 0.3"]
    assert shares == [0.0, 0.3] and len(set(timed.files.values())) == 2


@pytest.mark.slow
def test_modes_go_to_the_runtimes_that_have_them(run):
    modes = ["none", "float16", "dynamic_int8"]
    timed = benchmarked(run, runtimes=["saved_model", "litert", "onnx"], modes=modes)
    assert list(timed.files) == [
        *("saved_model", "litert", "litert float16", "litert dynamic_int8"),
        *("onnx", "onnx dynamic_int8"),
    ]


def test_a_name_is_a_model_with_random_weights():
    timed = benchmarked("mu/16", "mu/8", runtimes=["litert"], image_size=32)
    assert list(timed.files) == ["mu/16 litert", "mu/8 litert"]
    assert timed.image_shape == (32, 32, 3)
    assert timed.flops["mu/8 litert"] == ViTConfig.of("mu/8", image_size=32).forward_flops()


def test_files_are_timed_as_they_are(run, tmp_path):
    tflite, saved_model = run / "export" / "model.tflite", tmp_path / "saved"
    to_saved_model(keras.saving.load_model(run / "model.keras"), saved_model, METADATA)
    subjects = [str(tflite), str(saved_model)]
    assert not plan_benchmark(subjects).needs_keras
    timed = benchmarked(*subjects)
    assert timed.files == {subjects[0]: tflite, subjects[1]: saved_model}
    assert (timed.image_shape, timed.flops) == (SHAPE, dict.fromkeys(subjects, 77))


def test_operations_of_a_file_without_metadata_are_unknown(tmp_path):
    path = to_onnx(vit(tiny(depth=1)), tmp_path / "model.onnx")
    timed = benchmarked(path, batches=(3,))
    assert set(timed.files.values()) == {path}
    assert timed.runtimes == {f"{path} {runtime}": runtime for runtime in ("onnx", "openvino")}
    assert (timed.image_shape, timed.flops) == (SHAPE, {})


def test_files_that_do_not_fit_together(run, tmp_path):
    tflite = run / "export" / "model.tflite"
    with pytest.raises(UserError, match=r"expected a batch of 1.*received 1, 8.*--batch dynamic"):
        benchmarked(tflite, batches=(1, 8))
    other = to_onnx(vit(tiny(depth=1, image_size=(8, 8))), tmp_path / "other.onnx")
    with pytest.raises(UserError, match=r"take the same images, received .*\(16, 24, 3\)"):
        benchmarked(tflite, other)
    bare = tmp_path / "bare"
    to_saved_model(vit(tiny(depth=1)), bare)
    with pytest.raises(UserError, match="bare: nothing says its input size"):
        benchmarked(bare)
    shutil.copy(__file__, tmp_path / "broken.tflite")
    with pytest.raises(UserError, match=r"broken\.tflite: cannot be opened"):
        benchmarked(tmp_path / "broken.tflite")
