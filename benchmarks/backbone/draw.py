# SPDX-License-Identifier: MIT
"""Draws the images that the bundled backbone is pre-trained on: no photograph, no download.

    python benchmarks/backbone/draw.py figures --classes 1000 --images 50 --out drawn.npz

Which image is drawn is a function of the seed, the class and the number of the image.
"""

import argparse
import zlib
from pathlib import Path

import contours
import figures
import fractals
import numpy as np
from canvas import SIDE

KINDS = {
    "figures": (figures.random_figures, figures.draw),
    "fractals": (fractals.random_fractals, fractals.draw),
    "contours": (contours.random_contours, contours.draw),
}


def drawn(kind: str, classes: int, images: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 `(classes * images, S, S, 3)` and labels int32 `(classes * images,)`.

    Images of all classes alternate, so that the first of them are a fair part of all.
    """
    describe, draw = KINDS[kind]
    members = describe(classes, lambda name, number: _generator(seed, kind, name, number))
    pixels = np.empty((images * classes, SIDE, SIDE, 3), "uint8")
    for number in range(images):
        for label, member in enumerate(members):
            rng = _generator(seed, kind, label, number)
            pixels[number * classes + label] = draw(member, members, rng)
    return pixels, np.tile(np.arange(classes, dtype="int32"), images)


def _generator(seed: int, *names) -> np.random.Generator:
    """Random numbers for something that has these names; others are independent of them."""
    key = [zlib.crc32(str(name).encode()) for name in names]
    return np.random.default_rng([seed, *key])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--images", type=int, default=50, help="of each class")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True, help="an .npz file")
    flags = parser.parse_args()
    images, labels = drawn(flags.kind, flags.classes, flags.images, flags.seed)
    np.savez(flags.out, images=images, labels=labels)


if __name__ == "__main__":
    main()
