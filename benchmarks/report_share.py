# SPDX-License-Identifier: MIT
"""How much of a run's processor time goes into its reports.

    python benchmarks/report_share.py                                 the digits run
    python benchmarks/report_share.py CIFAR.zip --recipe cifar10_seed   any other

Arguments are those of `keras-vit train`, in a scratch folder unless they name one. Prints seconds
of processor time, of all threads of this process, from its start to the end of the run: imports
and exports are in it. The share is that of report.html, report.md and the model card together; it
is compared with 5 %, and the exit code is 1 above it.
"""

import sys
import tempfile
import time
from pathlib import Path

from keras_vit.apps import cli

from keras_vit import reports

MOST = 0.05  # of a run
PARTS = ("write_report", "write_card")


def main(arguments: list[str]) -> int:
    spent = {name: timed(name) for name in PARTS}
    with tempfile.TemporaryDirectory() as scratch:
        if "--workdir" not in arguments:
            arguments = [*arguments, "--workdir", str(Path(scratch) / "run")]
        sys.argv = ["keras-vit", "train", *arguments]
        args = cli.make_parser("train").parse_args(arguments)
        code = args.command_main(args)
    total = time.process_time()
    for name, seconds in spent.items():
        print(f"{name:<14}{sum(seconds):8.2f} s  {sum(seconds) / total:6.1%}")
    print(f"{'the whole run':<14}{total:8.2f} s")
    reported = sum(map(sum, spent.values()))
    return code or int(reported > MOST * total)


def timed(name: str) -> list[float]:
    """Has a function of `reports` note how long each of its calls took."""
    original, seconds = getattr(reports, name), []

    def call(*args, **kwargs):
        start = time.process_time()
        try:
            return original(*args, **kwargs)
        finally:
            seconds.append(time.process_time() - start)

    setattr(reports, name, call)
    return seconds


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
