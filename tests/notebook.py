# SPDX-License-Identifier: MIT
"""Runs a notebook without Jupyter: its cells of code one after the other, in this process.

    python tests/notebook.py examples/vit_from_patches.ipynb     keeps what they print and draw
    python tests/notebook.py --check examples/vit_from_patches.ipynb     compares what they print

Magic commands and rich output other than figures of matplotlib are not understood.
"""

import argparse
import base64
import contextlib
import io
import json
import re
import sys
from pathlib import Path


def run_cell(source: str, names: dict) -> list[dict]:
    """Runs a cell; returns its outputs as notebooks keep them."""
    import matplotlib.pyplot as plt

    printed, outputs = io.StringIO(), []
    with contextlib.redirect_stdout(printed):
        exec(source, names)
    if printed.getvalue():
        lines = printed.getvalue().splitlines(keepends=True)
        outputs.append({"output_type": "stream", "name": "stdout", "text": lines})
    for number in plt.get_fignums():
        file = io.BytesIO()
        plt.figure(number).savefig(file, format="png", dpi=72, bbox_inches="tight")
        image = base64.b64encode(file.getvalue()).decode()
        data = {"image/png": image, "text/plain": ["<Figure>"]}
        outputs.append({"output_type": "display_data", "metadata": {}, "data": data})
    plt.close("all")
    return outputs


def printed_by(outputs: list[dict]) -> str:
    return "".join("".join(out["text"]) for out in outputs if out["output_type"] == "stream")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebook", type=Path)
    parser.add_argument("--check", action="store_true", help="compare, and write nothing")
    flags = parser.parse_args()
    import matplotlib

    matplotlib.use("agg")
    notebook = json.loads(flags.notebook.read_text(encoding="utf-8"))
    names = {"__name__": "__main__"}
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    for number, cell in enumerate(code, 1):
        kept = cell["outputs"]
        cell["outputs"] = run_cell("".join(cell["source"]), names)
        cell["execution_count"] = number
        # Trained numbers differ in their last digits from one kind of CPU to the next.
        words = [re.sub(r"\d+(\.\d+)?", "0", printed_by(out)) for out in (kept, cell["outputs"])]
        if flags.check and words[0] != words[1]:
            sys.exit(f"cell {number}: keeps\n{printed_by(kept)}\n{printed_by(cell['outputs'])}")
    if not flags.check:
        flags.notebook.write_text(json.dumps(notebook, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
