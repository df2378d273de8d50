# SPDX-License-Identifier: MIT
"""What is made of a run on a GPU, and of float16; what runs is in tests/export/test_gpu.py and
test_half.py."""

from pathlib import Path

import numpy as np
import pytest

from keras_vit import UserError
from keras_vit.deploy import CheckedExport
from keras_vit.deploy.gpu_check import check_on_gpu, in_half
from keras_vit.export import fold
from keras_vit.export.gpu import GpuRun
from keras_vit.export.residual import residual_scale
from keras_vit.models import blocks
from tests.contracts import slow_but, to_numpy
from tests.export.test_forward import ALL
from tests.export.test_half import IMAGES, model_of, undivided, with_outliers

LOGITS = np.ones((2, 3), "float32")
PIXELS = np.zeros((2, 4, 4, 3))
FILE = CheckedExport("litert", "none", Path("m.tflite"), logits=LOGITS)
OTHERS = [
    CheckedExport("onnx", "none", Path("m.onnx"), logits=LOGITS),
    CheckedExport("litert", "float16", Path("m.tflite"), refused="no such kernel"),
]


def checked(run, *exports):
    return check_on_gpu(exports or [FILE], PIXELS, run)


def test_without_a_device_there_is_a_note_and_no_problem(capsys):
    tried = []

    def run(path, images):
        tried.append(path)
        return GpuRun(None)

    found = checked(run, FILE, *OTHERS, FILE)
    assert [export.gpu for export in found] == [
        "not run: no Vulkan device here",
        None,
        None,
        "not run: no Vulkan device here",
    ]
    assert not any(export.problem for export in found)
    assert len(tried) == 1  # nor is there one for the next file
    assert capsys.readouterr().err.count("no Vulkan device") == 1


@pytest.mark.parametrize(
    ("found", "gpu", "problem"),
    [
        (GpuRun("a GPU", np.stack([LOGITS, LOGITS])), "same logits on a GPU", None),
        # Right the first time only.
        (
            GpuRun("a GPU", np.stack([LOGITS, LOGITS + 1])),
            "other logits on a GPU",
            "other logits on the GPU (a GPU)",
        ),
        (
            GpuRun("a GPU", reason="Failed to modify graph"),
            "refused by a GPU: Failed to modify graph",
            None,
        ),
    ],
)
def test_what_a_gpu_says(found, gpu, problem):
    (export,) = checked(lambda path, images: found)
    assert (export.gpu, export.problem) == (gpu, problem)


def test_a_crash_is_no_problem_of_the_file():
    def crash(path, images):
        raise UserError("a run on the GPU ended with signal 11.")

    (export,) = checked(crash)
    assert export.problem is None
    assert export.gpu == "not run: a run on the GPU ended with signal 11."


def test_what_float16_does_is_told():
    model = with_outliers(1000.0)
    folded, expected = fold(model), to_numpy(model(IMAGES))
    said = in_half(folded, IMAGES, expected)
    assert said.startswith("finite, 100% the same class, max |d logit| ")
    assert said.endswith(f", residual stream divided by {1 / folded.residual_scale:.0f}")
    said = in_half(undivided(folded), IMAGES, expected)
    assert said == "overflows: a number of the graph is above 65,504"


@pytest.mark.parametrize("name", ["plain", "average", "layer scale and QK-norm"])
@pytest.mark.parametrize("size", slow_but([100.0, 5000.0], [100.0, 1000.0, 5000.0]))
def test_the_class_is_the_same_with_large_channels(name, size):
    model = with_outliers(size, **ALL[name])
    said = in_half(fold(model), IMAGES, to_numpy(model(IMAGES)))
    assert said.startswith("finite, 100% the same class")
    assert said.endswith(f"residual stream divided by {1 / residual_scale(model):.0f}")


def test_an_overflow_of_scores_is_told():
    """Scores of attention are no part of the stream that is divided."""
    model = model_of()
    for layer in ("query_dense", "key_dense"):
        kernel = getattr(blocks(model)[0].attention, layer).kernel
        kernel.assign(1000.0 * kernel)
    said = in_half(fold(model), IMAGES, np.zeros((2, 3)))
    assert said == "overflows: a number of the graph is above 65,504"


def test_a_weight_that_float16_does_not_have_is_told():
    folded = fold(model_of())
    folded.weights["head/kernel"][0, 0] = 70_000
    said = in_half(folded, IMAGES, np.zeros((2, 3)))
    assert said == "overflows: a weight is above 65,504"


def test_a_hybrid_is_not_simulated():
    assert in_half(fold(model_of(**ALL["hybrid"])), IMAGES, None) == "not simulated for a hybrid"
