# SPDX-License-Identifier: MIT
"""What speaks against a file, by runners that do what broken files do."""

import dataclasses
import shutil

import numpy as np
import pytest

from keras_vit import UserError
from keras_vit.deploy import ExportOptions, Runners
from keras_vit.deploy.checked_export import plan_exports
from keras_vit.deploy.checking import check
from keras_vit.deploy.exporting import write
from keras_vit.export import open_runner
from keras_vit.export.runner import keras_runner
from tests.deploy.originals import METADATA, PIXELS, here, images, original_in

OPTIONS = ExportOptions(quantize="dynamic_int8")


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    return original_in(tmp_path_factory.mktemp("original"))


@pytest.fixture(scope="module")
def written(original, tmp_path_factory):
    """A LiteRT file in int8 and one in float32."""
    planned = plan_exports(["litert"], OPTIONS, tmp_path_factory.mktemp("written"))
    return [write(export, original.folded, METADATA, OPTIONS, None) for export in planned]


def checked(original, written, labels=None, options=OPTIONS, **runners):
    """The int8 file and the float32 one."""
    return check(original, written, images(labels), options, here(**runners))[1]


def test_nothing_speaks_against_good_files(original, written):
    labels = keras_runner(original.model)(PIXELS).argmax(axis=1)
    small, float32 = checked(original, written, labels, dataclasses.replace(OPTIONS, max_drop=100))
    assert small.problem is None and float32.problem is None
    assert float32.scores == {"top1": 1.0, "top5": 1.0} and float32.drop == 0
    assert float32.agreement.agreement == 1 and float32.agreement.max_abs_diff < 1e-4
    assert small.bytes < float32.bytes and small.logit_sqnr < float32.logit_sqnr
    assert small.ms_per_image > 0


def test_without_labels_the_model_is_right(original, written):
    small, float32 = checked(original, written)
    assert float32.scores == small.scores == {"top1": None, "top5": None}
    assert float32.drop == 0 and small.drop == 100 * (1 - small.agreement.agreement)


def test_a_file_that_answers_otherwise(original, written):
    def rolled(path):
        return lambda x: np.roll(open_runner(path)(x), 1, axis=1)

    _, float32 = checked(original, written, open=rolled)
    assert "20 of 20 images get another class, first image 0: '" in float32.problem


def test_a_file_without_its_weights(original, written, tmp_path):
    path = tmp_path / "model.tflite"
    shutil.copy(written[1].path, path)

    def emptied(path):
        run = open_runner(path)
        path.unlink()  # what is open stays readable
        path.write_bytes(bytes(1000))
        return run

    lost = dataclasses.replace(written[1], path=path)
    open_again = here(open=lambda path: open_runner(written[1].path)).in_new_process
    (float32,) = checked(
        original,
        [lost],
        open=emptied,
        in_new_process=lambda path, pixels: open_again(written[1].path, pixels),
    )
    assert "1,000 bytes, expected" in float32.problem


def test_a_new_process_that_disagrees(original, written):
    answers = {"in_new_process": lambda path, pixels: np.full((8, 3), np.nan)}
    for export in checked(original, written, options=ExportOptions(max_drop=100), **answers):
        assert export.problem == "a new process gives other logits"
    for export in checked(
        original,
        written,
        options=ExportOptions(max_drop=100),
        formats_in_new_process=["onnx"],
        **answers,
    ):
        assert export.problem is None


def test_a_batch_that_disagrees(original, written):
    def broken(path):
        run = open_runner(path)
        return lambda x: run(x) + (len(x) == 7)

    _, float32 = checked(original, written, open=broken)
    assert float32.problem == "a batch of 7 gives other logits"


def test_a_file_that_does_not_open(original, written):
    def refuse(path):
        if "dynamic_int8" in path.parts:
            raise UserError("no such kernel")
        return open_runner(path)

    with pytest.raises(UserError, match="no such kernel"):
        checked(original, written, open=refuse)
    small, float32 = checked(original, written, options=ExportOptions("auto"), open=refuse)
    assert small.refused == "no such kernel" and not small.runs
    assert float32.runs and float32.problem is None


def test_a_model_of_nan_is_not_compared(tmp_path, written):
    broken = original_in(tmp_path)
    head = broken.model.get_layer("head").kernel
    head.assign(np.full(head.shape, np.nan))
    with pytest.raises(UserError, match="expected finite logits of the Keras model"):
        checked(broken, written)


def test_the_real_runners_start_a_process_and_look_for_a_gpu(original, written):
    _, exports = check(original, written, images(), ExportOptions(max_drop=100), Runners())
    for export in exports:
        assert export.problem is None and export.gpu
    assert [export.float16 is None for export in exports] == [True, False]
