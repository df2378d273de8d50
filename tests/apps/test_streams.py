# SPDX-License-Identifier: MIT
"""What goes wrong with standard streams, folders and memory is one line, and no traceback."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = f"{sys.executable} -m keras_vit.apps list recipes"


def shell(line, cwd):
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, cwd=cwd)
    assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr
    return done.returncode, done.stdout, done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a disk that is full")
def test_a_full_disk_behind_standard_output(tmp_path):
    for arguments in ("", "--format json"):
        code, _, said = shell(f"{COMMAND} {arguments} > /dev/full", tmp_path)
        assert code == 2 and said.startswith("keras-vit: error: standard output, or a file")
        assert said.endswith(": No space left on device.\n")
    for arguments in ("--help", "train --help"):  # the second fills more than one buffer
        line = f"{sys.executable} -m keras_vit.apps {arguments} > /dev/full"
        assert shell(line, tmp_path)[0] == 2


def test_closed_streams(tmp_path):
    code, _, said = shell(f"{COMMAND} >&-", tmp_path)
    assert code == 2 and "standard output is closed" in said
    code, table, _ = shell(f"{COMMAND} <&- 2>&-", tmp_path)
    assert code == 0 and "digits" in table
    assert shell(f"{COMMAND} | head -1; exit ${{PIPESTATUS[0]}}", tmp_path)[0] in (0, 141)


def test_a_folder_that_cannot_be_written(tmp_path, monkeypatch, capsys):
    """Whatever a command raises of the system's errors; here, a run below a file."""
    from keras_vit.apps import cli
    from keras_vit.apps import list as command

    (tmp_path / "file").write_text("x")

    def main(args):
        (tmp_path / "file" / "run").mkdir()

    monkeypatch.setattr(command, "main", main)
    with pytest.raises(SystemExit) as ended:
        cli._run(["keras-vit", "list", "recipes"])
    assert ended.value.code == 2
    expected = f"keras-vit: error: {tmp_path}{os.sep}file{os.sep}run: Not a directory.\n"
    assert capsys.readouterr().err == expected
