# SPDX-License-Identifier: MIT
import signal
import subprocess
import sys

import pytest

from keras_vit import files
from keras_vit.errors import UserError


def test_a_file_is_replaced_whole(tmp_path):
    path = tmp_path / "deep" / "a.txt"
    files.write_text(path, "one")
    files.write_text(path, "two")
    assert path.read_text() == "two"
    assert [p.name for p in path.parent.iterdir()] == ["a.txt"]


def test_an_error_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    files.write_text(path, "old")
    with pytest.raises(RuntimeError), files.replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_a_kill_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    files.write_text(path, "old")
    code = (
        "import os, signal, sys\nfrom keras_vit.files import replacing\n"
        "with replacing(sys.argv[1]) as t:\n    t.write_text('half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, path])
    assert done.returncode == -signal.SIGKILL
    assert path.read_text() == "old"


def test_a_folder_takes_the_place_of_nothing_only(tmp_path):
    with files.replacing(tmp_path / "made") as temporary:
        temporary.mkdir()
        (temporary / "a").write_text("1")
    assert files.size_in_bytes(tmp_path / "made") == 1
    with pytest.raises(OSError), files.replacing(tmp_path / "made") as temporary:
        temporary.mkdir()
        (temporary / "b").write_text("2")
    assert [p.name for p in (tmp_path / "made").iterdir()] == ["a"]


def test_run_folders_are_numbered(tmp_path):
    (tmp_path / "x-3").mkdir()
    (tmp_path / "x-y-9").mkdir()
    assert files.next_run_folder(tmp_path, "x").name == "x-4"
    assert files.next_run_folder(tmp_path, "x").name == "x-5"
    assert files.next_run_folder(tmp_path, "z").name == "z-1"


def test_a_folder_in_use_is_refused(tmp_path):
    files.check_free(tmp_path / "new", "--workdir")
    files.check_free(tmp_path, "--workdir")
    (tmp_path / "a").write_text("")
    with pytest.raises(UserError, match=r"--workdir: .* already holds files"):
        files.check_free(tmp_path, "--workdir")
    with pytest.raises(UserError, match="is a file"):
        files.check_free(tmp_path / "a", "--workdir")


@pytest.mark.skipif(sys.platform == "win32", reason="needs limits of POSIX")
def test_a_full_disk_names_the_file(tmp_path):
    """By a limit that the system sets to the size of a file; a full disk raises in the same way."""
    code = (
        "import resource, signal, sys\nfrom keras_vit import files\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))\n"
        "files.write_text(sys.argv[1], 'x' * 50_000)\n"
    )
    path = tmp_path / "a.txt"
    path.write_text("old")
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True)
    assert f"File too large: '{path}'" in done.stderr
    assert path.read_text() == "old" and len(list(tmp_path.iterdir())) == 1


def test_what_a_link_leads_to_is_not_removed(tmp_path):
    (tmp_path / "folder").mkdir()
    for name in ("folder", "nowhere"):
        (tmp_path / "link").symlink_to(tmp_path / name)
        with pytest.raises(UserError, match="link: expected a folder of the run itself"):
            files.check_own(tmp_path / "link")
        files.remove(tmp_path / "link")
    files.check_own(tmp_path / "folder")
    files.remove(tmp_path / "missing")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
    files.remove(tmp_path / "folder")
    assert not list(tmp_path.iterdir())
