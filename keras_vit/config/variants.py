# SPDX-License-Identifier: MIT
"""The published sizes of Vision Transformers and of hybrids with a ResNet stem."""

import re
from typing import Any

from keras_vit.errors import unknown

# name: width, depth, MLP width, heads. B, L and H are of arXiv 2010.11929, So400m is of 2305.13035,
# e of 2209.06794; most of the others are of table 2 of 2106.04560.
VARIANTS: dict[str, tuple[int, int, int, int]] = {
    "mu": (32, 1, 128, 2),
    "Ti": (192, 12, 768, 3),
    "S": (384, 12, 1536, 6),
    "M": (512, 12, 2048, 8),
    "B": (768, 12, 3072, 12),
    "L": (1024, 24, 4096, 16),
    "So400m": (1152, 27, 4304, 16),
    "H": (1280, 32, 5120, 16),
    "g": (1408, 40, 6144, 16),
    "g-opt": (1536, 40, 6144, 16),
    "G": (1664, 48, 8192, 16),
    "G-opt": (1536, 48, 8192, 16),
    "e": (1792, 56, 15360, 16),
}

# name: variant, units in each ResNet stage, patch size in cells of the stem (arXiv 2106.10270).
HYBRIDS: dict[str, tuple[str, tuple[int, ...], int]] = {
    # Called /16 where it was published, although its stem (4) and patches (8) divide by 32.
    "R+Ti/16": ("Ti", (), 8),
    "R26+S/32": ("S", (2, 2, 2, 2), 1),
    "R26+B/32": ("B", (2, 2, 2, 2), 1),
    "R50+B/16": ("B", (3, 4, 9), 1),
    "R50+L/32": ("L", (3, 4, 6, 3), 1),
}


def variant_names() -> list[str]:
    """Published sizes at their published patch sizes, small to large, then the hybrids."""
    small = "mu/16 Ti/16 S/32 S/16 M/16 B/32 B/16 B/8 L/32 L/16"
    large = "So400m/14 H/14 g/14 g-opt/14 G/14 G-opt/14 e/14"
    return [*small.split(), *large.split(), *HYBRIDS]


def is_size(name: str) -> bool:
    """Whether a name is that of a published size, at any patch size, as "S/16" and "S/8" are."""
    return name in HYBRIDS or _variant_and_patch(name)[0] in VARIANTS


def sizes_of(name: str) -> dict[str, Any]:
    """The fields of `ViTConfig` that a name such as "S/16" decides.

    Raises:
        UserError: for a name that does not exist, with the nearest ones that do.
    """
    stages, patch = None, None
    if name in HYBRIDS:
        variant, stages, patch = HYBRIDS[name]
    else:
        variant, patch = _variant_and_patch(name)
    if variant not in VARIANTS:
        hint = "`keras-vit list models`; any patch size goes with any size, as in S/8"
        raise unknown("model", name, variant_names(), hint)
    width, depth, mlp_dim, num_heads = VARIANTS[variant]
    return {
        "width": width,
        "depth": depth,
        "mlp_dim": mlp_dim,
        "num_heads": num_heads,
        "patch_size": patch,
        "resnet_stages": stages,
    }


def _variant_and_patch(name: str) -> tuple[str, int | None]:
    """The two parts of a name such as "S/16"; "" and None of any other."""
    match = re.fullmatch(r"([^/+]+)/([1-9]\d*)", name)
    return (match[1], int(match[2])) if match else ("", None)
