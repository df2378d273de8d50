# SPDX-License-Identifier: MIT
"""What is made of a run on a GPU; the runs themselves are in tests/export/test_gpu.py."""

from pathlib import Path

import numpy as np
import pytest

from keras_vit import UserError
from keras_vit.deploy import CheckedExport
from keras_vit.deploy.gpu_check import check_on_gpu
from keras_vit.export.gpu import GpuRun

LOGITS = np.ones((2, 3), "float32")
IMAGES = np.zeros((2, 4, 4, 3))
FILE = CheckedExport("litert", "none", Path("m.tflite"), logits=LOGITS)
OTHERS = [
    CheckedExport("onnx", "none", Path("m.onnx"), logits=LOGITS),
    CheckedExport("litert", "float16", Path("m.tflite"), refused="no such kernel"),
]


def checked(run, *exports):
    return check_on_gpu(exports or [FILE], IMAGES, run)


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
