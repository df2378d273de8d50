# SPDX-License-Identifier: MIT
"""Makes the bundled digits from the copy of the UCI data set that scikit-learn distributes.

pip install scikit-learn
python keras_vit/data/sources/bundled/make_digits.py keras_vit/data/sources/bundled/digits.npz
"""

import sys

import numpy as np
from sklearn.datasets import load_digits


def main(path: str) -> None:
    digits = load_digits()
    images = digits.images.astype("uint8")
    if images.shape != (1797, 8, 8) or images.max() != 16:
        raise SystemExit(f"unexpected data: {images.shape}, values up to {images.max()}")
    np.savez_compressed(path, images=images, labels=digits.target.astype("uint8"))


if __name__ == "__main__":
    main(sys.argv[1])
