# SPDX-License-Identifier: MIT
"""Runs a target of `fuzz/targets.py` under atheris.

    python fuzz/run.py TARGET [-runs=100000] [flags of libFuzzer]

Needs `pip install -e '.[fuzz]'`. New inputs are kept in `fuzz/corpus/TARGET` (not in the
repository); a finding is written to the current folder as `crash-...`.
"""

import sys
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).parent.parent))
with atheris.instrument_imports(include=["keras_vit", "zipfile", "tarfile", "csv", "gzip", "PIL"]):
    from fuzz.targets import TARGETS


def main() -> None:
    """Reads the name of the target and hands the rest to libFuzzer."""
    if len(sys.argv) < 2 or sys.argv[1] not in TARGETS:
        sys.exit(f"usage: python fuzz/run.py TARGET [-runs=100000]; TARGET: {', '.join(TARGETS)}")
    name = sys.argv.pop(1)
    corpus = Path(__file__).parent / "corpus" / name.replace(" ", "_")
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(TARGETS[name].seeds):
        (corpus / f"seed-{number}").write_bytes(seed)
        TARGETS[name](seed)  # imports what it needs, before the clock of libFuzzer runs
    bounds = ["-max_len=4096", "-timeout=10", "-rss_limit_mb=3000"]
    atheris.Setup([sys.argv[0], str(corpus), *bounds, *sys.argv[1:]], TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
