# SPDX-License-Identifier: MIT
"""Kills a run with SIGKILL again and again, resumes it, and compares it with an undisturbed one.

    python benchmarks/kill_loop.py                  24 kills on TensorFlow
    KERAS_BACKEND=jax python benchmarks/kill_loop.py --kills 6 --epochs 10
    python benchmarks/kill_loop.py --set model.depth=4       another recipe

The run is `keras-vit train` on the digits with dropout, stochastic depth, mixup, clipping and an
average of the weights, and writes a checkpoint after each step. The kills come while a checkpoint
is being written, while a file of an epoch's end is, or a random time after a step, as the seed
draws. After each kill every checkpoint and model file is read back, and the newest checkpoint is
compared, variable by variable, with that of the undisturbed run after the same step.
Exit code 1: something was unreadable or different.
"""

import argparse
import os
import random
import signal
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from keras_vit.apps import cli

from keras_vit.run_folder import RunFolder
from keras_vit.training import checkpoints as disk
from keras_vit.training.history import read_history

FLAGS = (
    *("--debug", "--checkpoint_steps", "1"),
    *("--set", "batch_size=256", "--set", "model.depth=2"),
    *("--set", "model.dropout=0.1", "--set", "model.stochastic_depth=0.2"),
    *("--set", "optimizer.ema=0.9", "--set", "jit_compile=false", "--set", "precision=float32"),
)
PHASES = {  # what is seen on the disk in each
    "checkpoint": f"{RunFolder.checkpoints_folder.name}/.step_*.tmp",
    "epoch end": ".*.tmp",
    "step": None,
}
TIMES = ("seconds", "images_per_second")  # what may differ between two histories


def main() -> int:
    flags = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    flags.add_argument("--kills", type=int, default=24)
    flags.add_argument("--epochs", type=int, default=20)
    flags.add_argument("--seed", type=int, default=0)
    flags.add_argument("--set", action="append", default=[], help="as of keras-vit train")
    flags = flags.parse_args()
    changes = (f"epochs={flags.epochs}", *flags.set)
    recipe = (*FLAGS, *(word for change in changes for word in ("--set", change)))
    draw, good = random.Random(flags.seed), True
    with tempfile.TemporaryDirectory() as folder:
        straight, killed = Path(folder) / "straight", Path(folder) / "killed"
        finish(start("--workdir", straight, *recipe, keep_all=True))
        expected = {path.name: disk.read(path) for path in steps(straight)}
        print("| kill | phase | newest checkpoint | readable | bit-identical |")
        print("|---|---|---|---|---|", flush=True)
        for number in range(1, flags.kills + 1):
            phase = draw.choice(list(PHASES))
            begun = RunFolder(killed).exists
            arguments = ("--resume", killed) if begun else ("--workdir", killed, *recipe)
            kill(start(*arguments, "--checkpoint_steps", "1"), killed, phase, draw)
            newest, readable, same = examine(killed, expected)
            good &= readable and same
            print(
                f"| {number} | {phase} | {newest} | {_word(readable)} | {_word(same)} |", flush=True
            )
        finish(start("--resume", killed))
        newest, readable, same = examine(killed, expected)
        same &= histories(straight) == histories(killed)
        print(f"| then left alone | - | {newest} | {_word(readable)} | {_word(same)} |")
    return 0 if good and readable and same else 1


def start(*arguments: object, keep_all: bool = False) -> int:
    """Runs `keras-vit train` in a new process and returns its number.

    The process is forked after the imports, which take longer than the run, and before anything was
    computed.
    """
    process = os.fork()
    if process:
        return process
    os.setsid()
    for stream in (1, 2):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
    if keep_all:
        disk.Checkpoints.prune = lambda self, keep: None
    try:
        args = cli.make_parser("train").parse_args(list(map(str, arguments)))
        os._exit(args.command_main(args))
    finally:
        os._exit(70)


def finish(process: int) -> None:
    """Waits for a run that has to succeed."""
    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    if code:
        raise SystemExit(f"the run ended with {code}")


def kill(process: int, folder: Path, phase: str, draw: random.Random) -> None:
    """Waits until a run has made up to 3 steps and is in a phase, and kills it."""
    first, wanted = newest_step(folder), draw.randint(1, 3)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        seen = PHASES[phase] is None or any(folder.glob(PHASES[phase]))
        if seen and newest_step(folder) >= first + wanted:
            break
        time.sleep(0.0005)
        if os.waitpid(process, os.WNOHANG)[0]:
            raise SystemExit("the run ended before it could be killed: fewer --kills")
    if PHASES[phase] is None:
        time.sleep(draw.uniform(0, 0.05))
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)


def newest_step(folder: Path) -> int:
    """The step of the newest checkpoint; 0 without one."""
    return max((int(path.name[5:13]) for path in steps(folder)), default=0)


def steps(folder: Path) -> list[Path]:
    """The folders of a run's checkpoints."""
    return list(RunFolder(folder).checkpoints_folder.glob("step_*"))


def examine(folder: Path, expected: dict[str, disk.Checkpoint]) -> tuple[str, bool, bool]:
    """The newest checkpoint, whether all files can be read, and whether it is as expected."""
    try:
        found, run = [disk.read(path) for path in steps(folder)], RunFolder(folder)
        if run.model_file.exists():
            zipfile.ZipFile(run.model_file).testzip()
        if run.history_file.exists():
            read_history(run.history_file)
    except Exception as error:
        return f"{type(error).__name__}: {error}", False, False
    if not found:
        return "none", True, True
    newest = max(found, key=lambda checkpoint: checkpoint.name)
    reference = expected[newest.name]
    same = newest.arrays.keys() == reference.arrays.keys() and all(
        np.array_equal(newest.arrays[name], reference.arrays[name]) for name in newest.arrays
    )
    return newest.name, True, same and memory(newest) == memory(reference)


def memory(checkpoint: disk.Checkpoint) -> dict:
    """What the callbacks remember, without times."""
    callbacks = dict(checkpoint.progress["callbacks"])
    rows = callbacks.pop("History")["rows"]
    return {**callbacks, "rows": [without_times(row) for row in rows]}


def histories(folder: Path) -> list[dict]:
    """The rows of a run's history, without times."""
    return [without_times(row) for row in read_history(RunFolder(folder).history_file)]


def without_times(row: dict) -> dict:
    return {name: value for name, value in row.items() if name not in TIMES}


def _word(good: bool) -> str:
    return "yes" if good else "NO"


if __name__ == "__main__":
    sys.exit(main())
