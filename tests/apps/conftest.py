# SPDX-License-Identifier: MIT
"""Commands where importing Keras or TensorFlow is an error."""

import json
import subprocess
import sys

import pytest

from tests.conftest import Result

# Answers one command line after another: a Python of its own for each would take most of the time.
_ANSWERS = """
import contextlib, io, json, os, sys, traceback
sys.modules["keras"] = sys.modules["tensorflow"] = None
from keras_vit.apps.cli import main
answers = os.fdopen(os.dup(1), "w")
for line in sys.stdin:
    folder, *sys.argv = json.loads(line)
    os.chdir(folder)
    code, out, err = 0, io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
        except BaseException:
            code = 1
            traceback.print_exc()
    print(json.dumps([code, out.getvalue(), err.getvalue()]), file=answers, flush=True)
"""


@pytest.fixture(scope="session")
def _answering():
    command = [sys.executable, "-c", _ANSWERS]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as process:
        yield process
        process.stdin.close()


@pytest.fixture
def without_keras(_answering, tmp_path):
    """Runs `keras-vit ...` as a user does, but where importing Keras or TensorFlow is an error."""

    def run(*arguments, cwd=tmp_path) -> Result:
        line = [cwd, "keras-vit", *arguments]
        print(json.dumps(list(map(str, line))), file=_answering.stdin, flush=True)
        return Result(*json.loads(_answering.stdout.readline()))

    return run
