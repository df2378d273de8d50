# SPDX-License-Identifier: MIT
"""Breaks 50 files of a copy of a folder of images, and shows that exactly those are found.

    python benchmarks/broken_folder.py photos/

Copies the folder to a temporary place, breaks files by a seed, and runs `keras-vit audit`, then
`keras-vit train --debug` on all files and the same with `--on_bad skip`, each as a user does and on
an empty cache. Prints what was found, exit codes, and seconds of wall clock and of CPU. Exit code
1: a broken file was not found, or a whole one was said to be broken.
"""

import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

from keras_vit.processes import python_command
from keras_vit.run_folder import RunFolder

_BROKEN = 50
# A small model of small images, and of all files: --debug alone opens a few.
_SMALL = ("--recipe", "cifar10_seed", "--debug", "--set", "data.limit=none")
_SUFFIXES = (".jpg", ".jpeg", ".png")


def main() -> None:
    if len(sys.argv) != 2 or not Path(sys.argv[1]).is_dir():
        sys.exit(__doc__)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "photos"
        shutil.copytree(sys.argv[1], folder)
        os.environ["KERAS_VIT_CACHE"] = str(Path(scratch) / "cache")
        files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES)
        broken = random.Random(0).sample(files, _BROKEN)
        for i, path in enumerate(broken):
            _WAYS[i % len(_WAYS)](path)
        print(f"{len(files):,} files, of which {_BROKEN} were broken in {len(_WAYS)} ways")

        ok = _audit("audit", folder, broken)
        ok &= _audit("audit again", folder, broken)
        shutil.rmtree(os.environ["KERAS_VIT_CACHE"])
        stopped = _command("train", folder, *_SMALL, "--workdir", f"{scratch}/run")
        said = sum(str(path) in stopped.stderr for path in broken)
        says_all = f"{_BROKEN} files cannot be used" in stopped.stderr
        started = Path(f"{scratch}/run").exists()
        print(f"  exit code {stopped.returncode}, says {_BROKEN}: {says_all}, shows {said}")
        print(f"  began to train: {started}")
        ok &= stopped.returncode == 2 and says_all and not started
        skip = (*_SMALL, "--on_bad", "skip", "--set", "epochs=1", "--workdir", f"{scratch}/run")
        trained = _command("train", folder, *skip)
        record = RunFolder(Path(scratch) / "run").left_out_file
        listed = record.read_text().splitlines()
        right = _names(listed) == {str(path) for path in broken}
        print(f"  exit code {trained.returncode}, {record.name} has exactly those: {right}")
        if trained.returncode:
            print(trained.stderr)
        ok &= trained.returncode == 0 and right
    sys.exit(0 if ok else 1)


def _audit(title: str, folder: Path, broken: list[Path]) -> bool:
    done = _command("audit", folder, "--format", "json", title=title)
    findings = json.loads(done.stdout)["findings"]
    items = next((f["items"] for f in findings if f["kind"] == "unreadable"), [])
    found, expected = _names(items), {str(path) for path in broken}
    print(
        f"  exit code {done.returncode}, found {len(found & expected)} of {len(expected)}, "
        f"{len(found - expected)} others"
    )
    return done.returncode == 1 and found == expected


def _names(problems: list[str]) -> set[str]:
    return {problem.partition(": ")[0] for problem in problems}


def _command(command: str, *arguments, title: str = "") -> subprocess.CompletedProcess:
    line = python_command("keras_vit.apps", command, *map(str, arguments))
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(line, capture_output=True, text=True)
    after, seconds = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - start
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"{title or command}: {seconds:.1f} s, {cpu:.1f} CPU-s, imports included")
    return done


def _truncate(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])


def _cut_end(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def _html(path: Path) -> None:
    path.write_text("<html><body>404 Not Found</body></html>")


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _bomb(path: Path) -> None:
    Image.new("1", (20_000, 20_000)).save(path, "PNG")  # 49 kB that unfold to 1.2 GB of RGB


_WAYS = (_truncate, _html, _empty, _cut_end, _bomb)

if __name__ == "__main__":
    main()
