# SPDX-License-Identifier: MIT
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["KERAS_VIT_PROGRESS"] = "off"

import contextlib
import dataclasses
import fcntl
import functools
import gc
import io
import json
import random
import subprocess
import sys
import zlib

import hypothesis
import numpy as np
import pytest

# The same examples in every run, and no folder of its own; "explore" looks at others each time.
hypothesis.settings.register_profile("repeatable", derandomize=True, deadline=None, database=None)
hypothesis.settings.register_profile("explore", deadline=None, database=None, print_blob=True)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """What a test draws without a seed, initial weights among it, is the same in every run.

    Fixtures come after this, and draw as the first test does that asks for them. Keras takes the
    seeds of its layers from Python. Its own function for this has TensorFlow forget every kernel,
    and the tests take a tenth longer.
    """
    seed = zlib.crc32(item.nodeid.encode())
    random.seed(seed)
    np.random.seed(seed)


def pytest_collection_finish(session):
    """Garbage is looked for again and again, by Keras too: never among what the imports made, and
    by Python less often, as a graph of TensorFlow is ten thousands of objects."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


@pytest.fixture(scope="module", autouse=True)
def frozen():
    """What earlier files left behind for good is not looked through either."""
    gc.collect()
    gc.freeze()


def arrays_in(path) -> dict[str, np.ndarray]:
    """All arrays of a `.npz` file, which is closed again."""
    with np.load(path) as file:
        return dict(file)


@dataclasses.dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory):
    """Keeps the user's cache out of the tests, and the tests out of it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERAS_VIT_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def keras_vit_command():
    """Runs `keras-vit ...` as a user does, in a process of its own."""

    def run(*arguments, cwd=None, stdin=None, timeout=300) -> Result:
        done = subprocess.run(
            [sys.executable, "-m", "keras_vit.apps", *map(str, arguments)],
            cwd=cwd,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture(scope="session")
def in_process():
    """Runs `keras-vit ...` in this process, which has imported Keras already: seconds faster.

    What the user is to mend is raised here as `UserError`, not printed with an exit code of 2.
    """
    from keras_vit.apps import cli

    def run(command, *arguments) -> Result:
        line = ["keras-vit", command, *map(str, arguments)]
        out, err = io.StringIO(), io.StringIO()
        with contextlib.ExitStack() as stack:
            stack.enter_context(pytest.MonkeyPatch.context()).setattr(sys, "argv", line)
            stack.enter_context(contextlib.redirect_stdout(out))
            stack.enter_context(contextlib.redirect_stderr(err))
            args = cli.make_parser(command).parse_args(line[2:])
            code = args.command_main(args)
        return Result(code, out.getvalue(), err.getvalue())

    return run


@contextlib.contextmanager
def unexported_runs():
    """Runs end without exports, which have tests of their own; the model itself is timed once."""
    from keras_vit.training.objectives import labelled

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(labelled, "formats", tuple)
        patch.setattr(labelled, "Runners", functools.partial(labelled.Runners, rounds=1))
        yield


@pytest.fixture
def no_exports():
    with unexported_runs():
        yield


@contextlib.contextmanager
def untraced_runs():
    """Trains operation by operation: to trace a graph takes seconds, and a run of few steps less.

    `digits_run` and test_resume.py's `test_stopped_and_resumed_in_graphs` are those of graphs. Nor
    are curves drawn.
    """
    import keras

    from keras_vit.training import history

    def compile(model, *args, **kwargs):
        return traced(model, *args, **{**kwargs, "run_eagerly": True, "jit_compile": False})

    traced = keras.Model.compile
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keras.Model, "compile", compile)
        patch.setattr(history, "draw_curves", lambda path, rows: None)
        yield


@pytest.fixture
def untraced():
    with untraced_runs():
        yield


@pytest.fixture(scope="session")
def digits_run(tmp_path_factory, in_process, worker_id):
    """The run folder of `keras-vit train --debug`: the whole main job, small. To be read alone.

    Made once: of two workers of pytest-xdist, the second waits for the first.
    """
    folder = tmp_path_factory.getbasetemp()
    folder = (folder if worker_id == "master" else folder.parent) / "digits"
    folder.mkdir(exist_ok=True)
    answer = folder / "answer.json"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not answer.exists():
            flags = ("--debug", "--set", "epochs=3", "--workdir", folder / "run")
            answer.write_text(json.dumps(dataclasses.astuple(in_process("train", *flags))))
    result = Result(*json.loads(answer.read_text()))
    assert result.code == 0, result.err
    return folder / "run", result


@pytest.fixture(scope="session")
def photos(tmp_path_factory):
    """A folder of two classes of twelve small PNG files, easy to tell apart."""
    from PIL import Image

    root = tmp_path_factory.mktemp("photos")
    random = np.random.default_rng(0)
    for label, base in {"dark": 40, "light": 200}.items():
        (root / label).mkdir()
        for i in range(12):
            pixels = base + random.integers(-30, 30, (14, 18, 3))
            Image.fromarray(pixels.astype("uint8")).save(root / label / f"{i:02d}.png")
    return root
