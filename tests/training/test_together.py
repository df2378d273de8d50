# SPDX-License-Identifier: MIT
"""Several processes answer what one would: each its part, and process 0 shows all."""

import json
import subprocess
import sys

import numpy as np
import pytest

from keras_vit import UserError
from keras_vit.training import together
from keras_vit.training.cluster import Cluster
from keras_vit.training.together import Together
from tests.training.test_distribution import environment, free_port


def of(index, count):
    processes = Together.__new__(Together)
    processes.cluster = Cluster(index, count, "127.0.0.1:1", "KERAS_DISTRIBUTION_NUM_PROCESSES")
    return processes


@pytest.mark.parametrize(("items", "count"), [(0, 2), (1, 3), (7, 3), (8, 2), (100, 7)])
def test_parts_are_all_in_order(items, count):
    parts = [of(index, count)._part(items) for index in range(count)]
    assert [i for part in parts for i in part] == list(range(items))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_what_several_processes_cannot_do(monkeypatch):
    with pytest.raises(UserError, match=r"--probe: expected one process, .*_PROCESSES names 2"):
        of(1, 2).check_alone("--probe")
    of(0, 1).check_alone("--probe")
    monkeypatch.setattr(together, "cluster_of", lambda: Cluster(0, 2, "127.0.0.1:1", "SLURM_TASKS"))
    monkeypatch.setattr(together.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="SLURM_TASKS: 2 processes find each other by JAX"):
        Together()


def test_an_error_of_one_process_is_that_of_all(digits_run, monkeypatch):
    from keras_vit import Predictor
    from keras_vit.model_file import ModelFile

    file = ModelFile.find(digits_run[0])
    predictor, (_, _, split) = Predictor.open(file), file.test_split(None, None)
    processes = of(0, 2)
    monkeypatch.setattr(processes, "_exchanged", lambda told: [told, told])
    half = processes.logits(predictor, split)
    assert half.shape == (2 * (len(split) // 2), 10)
    np.testing.assert_array_equal(half[: len(half) // 2], half[len(half) // 2 :])
    monkeypatch.setattr(processes, "_exchanged", lambda told: [told, b"-model: NaN for 3 images"])
    with pytest.raises(UserError, match="model: NaN for 3 images"):
        processes.logits(predictor, split)


def start(count, *command, backend="tensorflow"):
    """Starts as many processes of a command, which know of each other."""
    address = f"127.0.0.1:{free_port()}"
    return [
        subprocess.Popen(
            [sys.executable, "-m", "keras_vit.apps", *map(str, command)],
            env=environment(
                backend,
                KERAS_DISTRIBUTION_JOB_ADDRESSES=address,
                KERAS_DISTRIBUTION_NUM_PROCESSES=str(count),
                KERAS_DISTRIBUTION_PROCESS_ID=str(i),
            ),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for i in range(count)
    ]


def shown(processes):
    """What each prints, of processes that end well."""
    told = [process.communicate(timeout=300) for process in processes]
    assert all(process.returncode == 0 for process in processes), [err[-2000:] for _, err in told]
    return [out for out, _ in told]


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "tensorflow"])
def test_two_processes_measure_as_one(digits_run, in_process, backend):
    pytest.importorskip("jax", reason="the JAX backend is not installed")
    command = ("evaluate", digits_run[0], "--format", "json")
    alone = json.loads(in_process(*command).out)
    first, second = shown(start(2, *command, backend=backend))
    assert second == ""
    measured = json.loads(first)
    assert measured.keys() == alone.keys()
    for name in ("data", "images", "top1", "top1_interval", "top5", "confusion_matrix"):
        assert measured[name] == alone[name], name


@pytest.mark.slow
def test_two_processes_predict_as_one(digits_run, in_process, photos, tmp_path):
    pytest.importorskip("jax", reason="the JAX backend is not installed")
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    model = digits_run[0] / "export" / "model.tflite"
    command = ("predict", model, photos, tmp_path, "--format", "jsonl")
    alone = in_process(*command)
    processes = start(2, *command)
    told = [process.communicate(timeout=300) for process in processes]
    assert told[0][0] == alone.out and told[1][0] == ""
    assert [process.returncode for process in processes] == [1, 0]
    assert "1 of " in told[0][1] and "broken.jpg" in told[0][1]
