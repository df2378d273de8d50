# SPDX-License-Identifier: MIT
"""Parameters and operations of each published family, here and in timm.

    python benchmarks/counts.py > benchmarks/counts.md

Those of timm are in `tests/fixtures/timm/counts.json`, which `tests/fixtures/make_timm_counts.py`
makes: its own models, counted by PyTorch. Those here follow from the shapes of a configuration
(`keras_vit.config`), without a model.
"""

import json
from pathlib import Path

from keras_vit.config import ViTConfig

_COUNTS = Path(__file__).parents[1] / "tests" / "fixtures" / "timm" / "counts.json"


def table() -> str:
    """The page, in Markdown."""
    lines = [
        "# Parameters and GFLOPs of published families",
        "",
        "    python benchmarks/counts.py > benchmarks/counts.md",
        "",
        "A multiplication with its addition is 2 operations. timm's are counted by PyTorch in its",
        "own models (`tests/fixtures/make_timm_counts.py`), and compared with those here by",
        "`tests/config/test_costs_of_families.py`. timm makes positions of `vit_relpos` by an MLP,",
        "and those of NaFlexVit out of a smaller table; a model here has them as they are.",
        "",
        "| architecture | pixels | parameters | in timm | GFLOPs | in timm |",
        "|---|---|---|---|---|---|",
    ]
    for name, row in json.loads(_COUNTS.read_text(encoding="utf-8")).items():
        config = ViTConfig.from_dict(row["config"])
        lines.append(
            f"| `{name}` | {config.image_size[0]} | {config.num_parameters:,} "
            f"| {row['parameters']:,} | {config.forward_flops() / 1e9:.3f} "
            f"| {row['flops'] / 1e9:.3f} |"
        )
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    print(table(), end="")
