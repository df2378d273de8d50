# SPDX-License-Identifier: MIT
"""Every objective and feature of a recipe on two devices is, but for rounding, that on one.

One process for each backend makes all runs, of six steps or more each.
"""

import re

import numpy as np
import pytest

from tests.training.test_distribution import finished, measured, start

# The mean over a batch of 16 in another order: float32 keeps 24 bits, of losses around 1.
ROUNDING = 1e-5
# bfloat16 keeps 8 bits of what each half of a batch computes, and Adam's first steps are as long
# for a small gradient as for a large one: 2**-8 of a loss around 1, twice.
HALF = 2**-7
FEATURES = {
    "class weights, frozen attention, image sizes, mixup, the head first": [
        *("init=TEACHER", "objective.class_weights=(1,2.5)", "optimizer.freeze=block_00/attention"),
        *("model.image_size=16", "progressive=((0.5,8),)"),
        *("augmentation.mixup=0.5", "schedule.head_first=2 steps"),
    ],
    "one question for each class": ["objective.loss=bce", "objective.label_smoothing=0.1"],
    "teacher": [
        *("objective.kind=distill", "objective.teacher=TEACHER", "objective.hard=false"),
        "model.distillation_token=true",
    ],
    "masks": [
        *("objective.kind=reconstruct", "objective.mask=0.5", "objective.decoder_width=16"),
        *("objective.decoder_depth=1", "objective.decoder_num_heads=2"),
    ],
    "adapters": ["init=TEACHER", "lora=2", "optimizer.learning_rate_factors=()"],
    "parts of a batch": ["accumulate=2"],
    "bfloat16": ["precision=mixed_bfloat16"],
}
NOT_ON_TENSORFLOW = {"parts of a batch"}  # refused, see test_distribution.py


@pytest.fixture(scope="module", params=["jax", "tensorflow"])
def runs(request, tmp_path_factory):
    """The folder of all runs, and the backend."""
    backend, folder = request.param, tmp_path_factory.mktemp(request.param)
    if backend == "jax":
        pytest.importorskip("jax", reason="the JAX backend is not installed")
    two = {"devices": 2, "same_masks": True}
    # First of all on two devices: TensorFlow makes its devices once.
    asked = [[str(folder / "teacher"), ["epochs=1", "distribution=data"], two]]
    for number, (name, changes) in enumerate(FEATURES.items()):
        if backend == "tensorflow" and name in NOT_ON_TENSORFLOW:
            continue
        told = [change.replace("TEACHER", str(folder / "teacher")) for change in changes]
        for count, spread in ((1, []), (2, ["distribution=data"])):
            told = ["epochs=3", "schedule.warmup=0 steps", *told, *spread]
            options = two if spread else {"same_masks": True}
            asked.append([str(folder / f"{number}-{count}"), told, options])
    finished(start(asked, backend, JAX_NUM_CPU_DEVICES="2"))
    return folder, backend


@pytest.mark.slow
@pytest.mark.parametrize("feature", FEATURES)
def test_two_devices_train_as_one(runs, feature):
    folder, backend = runs
    if backend == "tensorflow" and feature in NOT_ON_TENSORFLOW:
        pytest.skip("refused on TensorFlow")
    number = list(FEATURES).index(feature)
    one, two = (measured(folder / f"{number}-{count}") for count in (1, 2))
    bound = HALF if feature == "bfloat16" else ROUNDING
    assert len(one["losses"]) == len(two["losses"]) >= 6
    np.testing.assert_allclose(two["losses"], one["losses"], rtol=0, atol=bound)
    np.testing.assert_allclose(two["validation"], one["validation"], rtol=0, atol=bound)
    if feature == "bfloat16":
        return
    assert one.keys() == two.keys()
    for name in one:
        if name[0].isdigit() and not re.match(r"\d+ (loss|accuracy)/", name):
            np.testing.assert_allclose(two[name], one[name], rtol=0, atol=1e-4, err_msg=name)
