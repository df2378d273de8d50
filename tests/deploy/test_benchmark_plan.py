# SPDX-License-Identifier: MIT
"""What is found to be timed. Nothing is opened, so that the files may be empty."""

import json

import pytest

from keras_vit import UserError, hardware, recipes
from keras_vit.deploy import plan_benchmark
from keras_vit.deploy.benchmark_plan import Form


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("benchmark") / "run"
    (folder / "export").mkdir(parents=True)
    text = json.dumps(recipes.to_dict(recipes.get("digits")))
    (folder / "recipe.json").write_text(text, encoding="utf-8")
    (folder / "model.keras").touch()
    (folder / "export" / "model.tflite").touch()
    return folder


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
        (["RUN/export/model.tflite"], {"runtimes": ["openvino"]}, "runs in litert, and --runtime"),
        (["RUN/export/model.tflite"], {"modes": ["none"]}, "quantize: files are timed as they are"),
        (["RUN/export/model.tflite"], {"merges": [0.3]}, "merge: files are timed as they are"),
        (["RUN"], {"merges": [0.3, 0.6]}, r"merge: expected a share above 0, at most 0\.5"),
        (["RUN"], {"merges": [0.3], "modes": ["int8_io"]}, "merge: does not go with quantize"),
        (["lost.tflite"], {}, r"lost\.tflite: no such file or folder"),
        (["S16"], {}, r"S16: no such file or folder, and unknown model 'S16'\. Did you mean S/16"),
        (["S/16"], {"image_size": 0}, "image_size: expected a whole number above 0"),
    ],
)
def test_what_cannot_be_timed_is_said_first(run, subjects, options, message):
    with pytest.raises(UserError, match=message):
        plan_benchmark([subject.replace("RUN", str(run)) for subject in subjects], **options)


def test_a_missing_package_is_named(run):
    def is_installed(module):
        return module not in ("onnxruntime", "openvino")

    with pytest.raises(UserError, match=r"needs the package openvino.*toolkit\[openvino\]"):
        plan_benchmark([str(run)], ["openvino"], is_installed=is_installed)
    with pytest.raises(UserError, match=r"onnx: needs the package onnxruntime.*toolkit\[onnx\]"):
        plan_benchmark([str(run)], ["onnx"], is_installed=is_installed)
    found = plan_benchmark([str(run)], is_installed=is_installed)
    assert found.runtimes == ("keras", "saved_model", "litert")


def test_each_is_timed_once(run):
    found = plan_benchmark([str(run)], ["litert"], ["none", "none"], (1, 1), (2, 1, 2))
    assert (found.threads, found.batches) == ((1,), (2, 1))
    assert found.files_of_a_model == [Form("litert")]


def test_what_merges_stands_next_to_what_does_not(run):
    runtimes, modes = ["keras", "litert"], ["none", "dynamic_int8"]
    found = plan_benchmark([str(run)], runtimes, modes, merges=[0.3, 0.3])
    assert [form.name for form in found.files_of_a_model] == [
        *("keras", "litert", "litert merge 0.3"),
        *("litert dynamic_int8", "litert dynamic_int8 merge 0.3"),
    ]
