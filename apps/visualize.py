# SPDX-License-Identifier: MIT
"""Draw what a trained model looks at: the attention of its last block over each image.

examples:
  keras-vit visualize runs/digits-1 --out pictures/                 images of the run's test split
  keras-vit visualize runs/photos-1 cat.jpg 'new/*.jpg' --out pictures/

Each picture shows the input, the attention of the class token to each patch, averaged over heads,
and both over each other; contact-sheet.png has the first 64 of them together. The true class is
known in the test split, and for a file in a folder that is named like a class; the name of the
picture begins with it.
"""

import sys
from pathlib import Path

from keras_vit.apps.cli import import_keras, run_script

from keras_vit.errors import UserError
from keras_vit.untrusted.text import visible


def add_flags(parser):
    parser.add_argument("model", help="run folder, or the .keras file in it")
    parser.add_argument(
        "images", nargs="*", help="files, folders or patterns; default: test images"
    )
    parser.add_argument("--out", required=True, help="folder for the pictures")
    parser.add_argument(
        "--count", type=int, default=8, help="test images to draw when none are named; default: 8"
    )


def main(args) -> int:
    if args.count < 1:
        raise UserError(f"--count: expected a whole number of at least 1, received {args.count}.")
    import_keras()
    from keras_vit.data.sources.folder import find_images
    from keras_vit.reports import draw_attention, draw_test_attention

    if args.images:
        failed = draw_attention(args.model, find_images(args.images), Path(args.out))
    else:
        failed = draw_test_attention(args.model, args.count, Path(args.out))
    for problem in failed:
        print(visible(f"keras-vit visualize: {problem}"), file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    run_script("visualize")
