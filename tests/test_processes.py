# SPDX-License-Identifier: MIT
"""A folder of images may hold anything, a `numpy.py` too: nothing in it is ever run."""

import os
import subprocess
import sys

import pytest

from keras_vit.processes import python_command

NAMES = ("numpy", "json", "absl", "PIL", "ai_edge_litert", "sitecustomize", "usercustomize")


@pytest.fixture
def poisoned(tmp_path, monkeypatch):
    """The current folder, full of modules that leave a trace when they are run."""
    folder = tmp_path / "poisoned"
    folder.mkdir()
    for name in (*NAMES, "startup"):
        (folder / f"{name}.py").write_text(
            f"open({str(tmp_path / 'trace')!r}, 'a').write({name!r})"
        )
    monkeypatch.chdir(folder)
    yield folder
    assert not (tmp_path / "trace").exists(), (tmp_path / "trace").read_text()


def run(command, **environment):
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, **environment}
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_process_does_not_import_from_the_current_folder(poisoned):
    command = python_command("keras_vit.interpolation")  # imports NumPy
    run(command)
    # An empty entry of PYTHONPATH is the current folder, as many scripts have it by mistake.
    run(command, PYTHONPATH=f"{os.pathsep}{poisoned}", PYTHONSTARTUP=str(poisoned / "startup.py"))


def test_nor_does_one_whose_parent_did(poisoned, monkeypatch):
    monkeypatch.syspath_prepend("")
    monkeypatch.syspath_prepend(str(poisoned))
    run(python_command("keras_vit.interpolation"))


def test_nor_from_the_folder_of_a_script(poisoned, tmp_path):
    """What lies beside `python SCRIPT` is that script's own, and no concern of a worker."""
    script = poisoned / "script.py"
    script.write_text(
        "import sys; del sys.path[0]\n"  # so that this process itself finds NumPy
        "from keras_vit.processes import python_command\n"
        f"sys.path.insert(0, {str(poisoned)!r})\n"
        "import subprocess; subprocess.run(python_command('keras_vit.interpolation'), check=True)"
    )
    run([sys.executable, str(script)])


def test_the_commands_drop_the_current_folder(poisoned):
    assert "usage: keras-vit" in run([sys.executable, "-m", "keras_vit.apps", "--help"])


def test_arguments_and_the_packages_of_the_parent_arrive(poisoned, tmp_path, monkeypatch):
    library = tmp_path / "library"
    library.mkdir()
    (library / "told.py").write_text("import sys; print(__name__, sys.argv[1:])")
    monkeypatch.syspath_prepend(str(library))
    assert run(python_command("told", "a b", poisoned)) == f"__main__ {['a b', str(poisoned)]}\n"
