# SPDX-License-Identifier: MIT
"""Draw what speaks for a model's answers, and what the model itself is like.

examples:
  keras-vit visualize runs/digits-1 --out pictures/                 images of the run's test split
  keras-vit visualize runs/photos-1 cat.jpg 'new/*.jpg' --out pictures/
  keras-vit visualize runs/photos-1 --what relevance,heads,distance,filters --out all/ --html

Without --what, several maps are examined on the images: their patches are taken away, the most
important first, and put back. The one that foretells best what that does to the answer is drawn,
with its score. contact-sheet.png has the first 64 images under their maps; then each picture shows
the input, the map, and both over each other. The true class is known in the test split, and for a
file in a folder that is named like a class; the name of the picture begins with it. --html writes
one page instead, explanations.html, which needs no network and no other file.
"""

import sys
from pathlib import Path

from keras_vit.apps.cli import import_keras, run_script

from keras_vit.errors import UserError
from keras_vit.untrusted.text import visible


def add_flags(parser):
    parser.add_argument("model", help="run folder, .keras file, checkpoint, or a catalog name")
    parser.add_argument(
        "images", nargs="*", help="files, folders or patterns; default: test images"
    )
    parser.add_argument(
        "--what",
        default="",
        help="several with commas: relevance, legrad, gradient, rollout, attention, heads (maps); "
        "distance, positions, filters (of the model); default: the best map",
    )
    parser.add_argument("--out", required=True, help="folder for the pictures")
    parser.add_argument("--html", action="store_true", help="one page instead of pictures")
    parser.add_argument(
        "--count", type=int, default=8, help="test images to draw when none are named; default: 8"
    )


def main(args) -> int:
    if args.count < 1:
        raise UserError(f"--count: expected a whole number of at least 1, received {args.count}.")
    import_keras()
    from keras_vit.data.sources.folder import find_images
    from keras_vit.reports import draw_images, draw_test_images

    what, out = [kind for kind in args.what.split(",") if kind], Path(args.out)
    if args.images:
        failed = draw_images(args.model, find_images(args.images), out, what, args.html)
    else:
        failed = draw_test_images(args.model, args.count, out, what, args.html)
    for problem in failed:
        print(visible(f"keras-vit visualize: {problem}"), file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    run_script("visualize")
