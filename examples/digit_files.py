# SPDX-License-Identifier: MIT
"""Writes the digits that come with the package as image files, a folder for each class.

python examples/digit_files.py photos              60 images of each digit
python examples/digit_files.py photos 5 6 7        of these digits alone
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

import keras_vit

PER_CLASS = 60


def write_digits(folder: Path, classes: list[str]) -> int:
    """Writes `folder/CLASS/NUMBER.png`, images of 32 x 32 pixels; returns how many."""
    images, _ = keras_vit.data.load("digits")
    split = images.train
    count = 0
    for label in classes:
        (folder / label).mkdir(parents=True)
        places = np.flatnonzero(split.labels == int(label))[:PER_CLASS]
        for place in places:
            image = Image.fromarray(split.pixels[place, ..., 0])  # (8, 8), uint8
            image.resize((32, 32), Image.Resampling.BICUBIC).save(folder / label / f"{place}.png")
        count += len(places)
    return count


if __name__ == "__main__":
    folder, *chosen = sys.argv[1:] or ["photos"]
    classes = chosen or [str(digit) for digit in range(10)]
    print(f"{folder}: {write_digits(Path(folder), classes)} images of {len(classes)} classes")
