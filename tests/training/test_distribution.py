# SPDX-License-Identifier: MIT
"""A run on several devices is, but for rounding, that of one; the slow tests start processes."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from keras_vit import UserError, recipes
from keras_vit.recipes.distribution import Distribution
from keras_vit.training import RunOptions, dry_run
from keras_vit.training.cluster import Cluster
from keras_vit.training.distribution import check_engine, engines, make_engine
from keras_vit.training.engine import as_many, check_batch
from keras_vit.training.fit import _of_a_collective
from keras_vit.training.inputs import check_workdir
from tests.conftest import arrays_in
from tests.training.spread import STEPS, recipe

ROOT = Path(__file__).parents[2]
TOGETHER = Cluster(1, 2, "127.0.0.1:1", "KERAS_DISTRIBUTION_NUM_PROCESSES")


@pytest.mark.parametrize("kind", ["fsdp", "model"])
def test_what_keras_ignores_on_tensorflow_is_refused(kind):
    with pytest.raises(UserError, match=r"takes it and ignores it\. Set KERAS_BACKEND=jax"):
        check_engine(Distribution(kind), "tensorflow", Cluster())


def test_several_processes_on_tensorflow_are_refused(monkeypatch):
    with pytest.raises(UserError, match=r"20585; Ray's trainer .* Set KERAS_BACKEND=jax"):
        check_engine(Distribution("data"), "tensorflow", TOGETHER)
    monkeypatch.setenv("TF_CONFIG", "{}")
    with pytest.raises(UserError, match="MultiWorkerMirroredStrategy"):
        check_engine(Distribution("data"), "tensorflow", Cluster())


def test_what_has_an_engine():
    for kind in ("data", "fsdp", "model"):
        check_engine(Distribution(kind), "jax", TOGETHER)
    check_engine(Distribution("data"), "tensorflow", Cluster())
    with pytest.raises(UserError, match="not torch"):
        check_engine(Distribution("data"), "torch", Cluster())


def test_engines_are_told():
    told = engines("tensorflow", Cluster())
    assert told["distribution=data"] == "MirroredStrategy of TensorFlow"
    assert told["distribution=fsdp"].startswith("no: ")
    assert told["several processes"].startswith("no: ")
    told = engines("jax", Cluster())
    assert {told[f"distribution={kind}"] for kind in ("data", "fsdp", "model(shards=N)")} == {
        "keras.distribution on JAX"
    }


def test_counts_that_do_not_fit_are_refused():
    assert as_many(None, 3) == 3 and as_many(2, 3) == 2
    with pytest.raises(UserError, match="this process has 3"):
        as_many(4, 3)
    check_batch(12, 4, 1)
    with pytest.raises(UserError, match=r"a multiple of 8, .* it is 12 divided by accumulate=2"):
        check_batch(12, 8, 2)
    with pytest.raises(UserError, match="--devices 2: expected a distribution"):
        make_engine("none", 2)
    with pytest.raises(UserError, match="devices: expected a finite number above 0"):
        RunOptions(devices=0)


@pytest.mark.parametrize("change", ["accumulate=2", "jit_compile=true"])
def test_what_mirrored_replicas_cannot_do_is_refused(change):
    with pytest.raises(UserError, match=f"{change.partition('=')[0]}.* KERAS_BACKEND=jax, which"):
        make_engine("data").check(recipe(change), 32)


def test_processes_need_one_named_folder(monkeypatch):
    monkeypatch.setenv("KERAS_DISTRIBUTION_JOB_ADDRESSES", "127.0.0.1:1")
    monkeypatch.setenv("KERAS_DISTRIBUTION_NUM_PROCESSES", "2")
    monkeypatch.setenv("KERAS_DISTRIBUTION_PROCESS_ID", "1")
    check_workdir(recipe(), None)
    with pytest.raises(UserError, match="--workdir: 2 processes train together"):
        check_workdir(recipe("distribution=data"), None)
    check_workdir(recipe("distribution=data"), ROOT)  # process 0 has made it already


def test_a_dry_run_says_the_devices(untraced):
    shown = dry_run(recipes.override(recipes.debug(recipes.get("digits")), "distribution=data"))
    assert "1 devices (data, MirroredStrategy)" in shown.text


@pytest.mark.parametrize(
    ("error", "lost"),
    [
        (RuntimeError("INTERNAL: Gloo AllReduce failed: Connection closed by peer"), True),
        (ValueError("UNKNOWN: Gloo AllGather failed: Connection closed by peer"), True),
        (ValueError("UNKNOWN is no class of these images"), False),
        (KeyError("step"), False),
    ],
)
def test_errors_of_a_lost_process_are_known(error, lost):
    assert _of_a_collective(error) == lost


def environment(backend, **variables):
    return {**os.environ, "KERAS_BACKEND": backend, "KERAS_VIT_PROGRESS": "off", **variables}


def start(runs, backend, **variables):
    """Starts a process with runs, see `tests/training/spread.py`."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.training.spread", json.dumps(runs)],
        cwd=ROOT,
        env=environment(backend, **variables),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def together(folder, *options, address=None, backend="jax"):
    """Starts processes that train in one folder, each with options of its own."""
    address = address or f"127.0.0.1:{free_port()}"
    return [
        start(
            [[str(folder), ["distribution=data", *changes], option]],
            backend,
            KERAS_DISTRIBUTION_JOB_ADDRESSES=address,
            KERAS_DISTRIBUTION_NUM_PROCESSES=str(len(options)),
            KERAS_DISTRIBUTION_PROCESS_ID=str(i),
        )
        for i, (changes, option) in enumerate(map(_split, options))
    ]


def _split(option):
    """The changes of the recipe, and the rest of what a process is told."""
    rest = dict(option)
    return rest.pop("changes", []), rest


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait(process, seconds=600):
    """What a process said, and its exit code; one that hangs is ended."""
    try:
        _, said = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    return process.returncode, said


def finished(process):
    code, said = wait(process)
    assert code == 0, said[-3000:]


def measured(folder):
    return arrays_in(f"{folder}.npz")


def same(one, other):
    """The bounds that a run on several devices keeps.

    Sums are made in another order, and Adam divides small sums by small ones.
    """
    assert len(one["losses"]) == len(other["losses"]) == STEPS
    np.testing.assert_allclose(other["losses"], one["losses"], rtol=0, atol=1e-5)
    np.testing.assert_allclose(other["validation"], one["validation"], rtol=0, atol=1e-5)
    same_state(one, other)


def same_state(one, other, atol=1e-4):
    """Weights, moments and averages; running means count what fills a batch up."""
    for name in one:
        if name[0].isdigit() and not re.match(r"\d+ (loss|accuracy)/", name):
            np.testing.assert_allclose(other[name], one[name], rtol=0, atol=atol, err_msg=name)


@pytest.mark.slow
def test_devices_of_one_jax_process(tmp_path):
    """`model` and `fsdp` also hold at most 0.6 of the bytes of parameters and optimizer."""
    pytest.importorskip("jax", reason="the JAX backend is not installed")
    kinds = {"data": "data", "model": "model(shards=2)", "fsdp": "fsdp"}
    runs = [[str(tmp_path / k), [f"distribution={v}"], {}] for k, v in kinds.items()]
    runs.insert(0, [str(tmp_path / "one"), [], {}])
    for name, devices in (("exact", 2), ("fewer", 1)):
        again = {"again": str(tmp_path / "fsdp"), "devices": devices}
        runs.append([str(tmp_path / name), [], again])
    finished(start(runs, "jax", JAX_NUM_CPU_DEVICES="2"))
    one = measured(tmp_path / "one")
    for kind, largest in (("data", 1), ("model", 0.6), ("fsdp", 0.6)):
        several = measured(tmp_path / kind)
        same(one, several)
        assert several["largest"] <= largest
    same_state(measured(tmp_path / "fsdp"), measured(tmp_path / "exact"), atol=0)
    same_state(one, measured(tmp_path / "fewer"))


@pytest.mark.slow
def test_devices_of_tensorflow(tmp_path):
    two, one, dropping, exact = (tmp_path / name for name in ("two", "one", "dropping", "exact"))
    data = ["distribution=data"]
    runs = [
        [str(two), data, {"devices": 2}],
        [str(one), [], {}],
        [str(dropping), [*data, "model.dropout=0.2", "skip_bad_updates=true"], {"devices": 2}],
        [str(exact), [], {"again": str(dropping), "devices": 2}],
    ]
    finished(start(runs, "tensorflow"))
    same(measured(one), measured(two))
    straight, resumed = measured(dropping), measured(exact)
    same_state(straight, resumed, atol=0)
    np.testing.assert_array_equal(straight["seeds"], resumed["seeds"])
    assert (straight["seeds"][:, 0] != straight["seeds"][:, 1]).any(axis=-1).all()


@pytest.mark.slow
def test_two_jax_processes_one_of_which_is_killed(tmp_path):
    """The other ends within a minute, with what to do; the run goes on, also alone."""
    pytest.importorskip("jax", reason="the JAX backend is not installed")
    folder, port = tmp_path / "run", free_port()
    leader, other = together(folder, {"seconds": 0.5}, {}, address=f"127.0.0.1:{port}")
    with ended(leader, other):
        until(lambda: list(folder.glob("checkpoints/step_*07")), leader)
        other.send_signal(signal.SIGKILL)
        began = time.monotonic()
        code, said = wait(leader, 60)
        assert time.monotonic() - began < 60
        assert code != 0 and "ProcessLost: another process of this run is gone" in said
        assert "keras-vit train --resume" in said
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port))  # nobody listens any more
    for process in together(folder, {}, {}):
        finished(process)
    alone = tmp_path / "alone"
    finished(start([[str(alone), [], {}]], "jax"))
    resumed = measured(folder)
    assert len(resumed["losses"]) < STEPS
    same_state(measured(alone), resumed)


QUICK = [["signs_of_life", "EVERY", 0.3], ["signs_of_life", "SILENT_AFTER", 3.0]]
QUICK += [["signs_of_life", "LOST_AFTER", 9.0], ["signs_of_life", "SLOW_AFTER", 3.0]]


@contextlib.contextmanager
def ended(*processes):
    """Ends the processes with the block, and closes their pipes."""
    with contextlib.ExitStack() as stack:
        for process in processes:
            stack.enter_context(process)
            stack.callback(process.kill)
        yield


@pytest.mark.slow
def test_a_process_that_stands_still_is_told_and_then_ends_the_run(tmp_path):
    """It is waited for once, and lost the second time; the port is free afterwards."""
    pytest.importorskip("jax", reason="the JAX backend is not installed")
    folder, port = tmp_path / "run", free_port()
    options = {"seconds": 0.5, "patches": QUICK}
    leader, other = together(folder, options, options, address=f"127.0.0.1:{port}")
    with ended(leader, other):
        until(lambda: list(folder.glob("checkpoints/step_*07")), leader)
        other.send_signal(signal.SIGSTOP)
        time.sleep(6)  # said after 3 seconds, lost after 9
        other.send_signal(signal.SIGCONT)
        until(lambda: list(folder.glob("checkpoints/step_*14")), leader)
        other.send_signal(signal.SIGSTOP)
        began = time.monotonic()
        code, said = wait(leader, 60)
        assert time.monotonic() - began < 60
    assert code == 1
    for line in (
        "process 1 gives no sign of life: it was stopped",
        "process 1 is back",
        "error: process 1 has given no sign of life for",
        "Start all processes again with: keras-vit train --resume",
    ):
        assert line in said, said
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port))


@pytest.mark.slow
@pytest.mark.parametrize(
    "second, wanted",
    [
        (
            {"patches": [["agreement", "__version__", "0.0.9"]]},
            r"the version of keras_vit \(process 0: .*, process 1: 0\.0\.9\)",
        ),
        ({"changes": ["epochs=3"]}, r"the recipe's epochs \(process 0: 15, process 1: 3\)"),
    ],
    ids=["version", "recipe"],
)
def test_processes_that_differ_are_told_so_each(tmp_path, second, wanted):
    pytest.importorskip("jax", reason="the JAX backend is not installed")
    processes = together(tmp_path / "run", {}, second)
    with ended(*processes):
        for code, said in [wait(process, 300) for process in processes]:
            assert code == 1, said
            assert "waiting for the others at 127.0.0.1" in said
            assert re.search(f"UserError: distribution: the processes differ in {wanted}", said)


@pytest.mark.slow
def test_a_process_that_never_comes_is_told(tmp_path):
    pytest.importorskip("jax", reason="the JAX backend is not installed")
    late = {"patches": [["joining", "_LATE_AFTER", 3]]}
    leader, other = together(tmp_path / "run", late, late)
    with ended(leader, other):
        other.kill()
        code, said = wait(leader, 300)
    assert code == 2
    assert "error: distribution: not all 2 processes came at 127.0.0.1" in said


def until(found, process, seconds=600):
    end = time.monotonic() + seconds
    while not found():
        assert process.poll() is None, process.stderr.read()[-3000:]
        assert time.monotonic() < end
        time.sleep(0.1)
