# SPDX-License-Identifier: MIT
"""Draws docs/photograph.jpg: what a run says of a photograph, and where it looks.

    python docs/photograph.py RUN chelsea.png

`chelsea.png` and `coffee.png` (CC0) lie in the folder `skimage/data` of the wheel of scikit-image.
docs/explanations.md shows the result, with the commands that made the run.
"""

import sys
import tempfile
from pathlib import Path

from PIL import Image

from keras_vit.reports import draw_images

PICTURE = Path(__file__).with_name("photograph.jpg")
BYTES = 150_000  # at most: whoever clones the repository takes it along


def main(run: str, photograph: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        if failed := draw_images(run, [photograph], Path(folder)):
            sys.exit("\n".join(map(str, failed)))
        drawn = next(p for p in Path(folder).iterdir() if not p.name.startswith("contact-sheet"))
        Image.open(drawn).convert("RGB").save(PICTURE, quality=85, optimize=True)
    if PICTURE.stat().st_size > BYTES:
        sys.exit(f"{PICTURE}: {PICTURE.stat().st_size:,} bytes, expected at most {BYTES:,}")


if __name__ == "__main__":
    main(*sys.argv[1:])
