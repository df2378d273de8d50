# SPDX-License-Identifier: MIT
"""Write the features of images into a file, with any backbone.

examples:
  keras-vit embed S/16-augreg-i21k photos/ --out features.npz
  keras-vit embed runs/photos-1 new/*.jpg --out new.parquet
  keras-vit embed dinov2/ photos.csv --image_size 224 --out features.npz

Features are what the head of the model reads: one row of float32 numbers for each image, with its
file name, its label where the images have any (a folder of class folders, an archive of one, a
table, an .npz, tfds:NAME, hf:NAME or digits) and its split where there are several. In Python:
numpy.load("features.npz")["features"]. A .parquet file needs pip install
'keras-vit-toolkit[parquet]'.

An image that cannot be read is reported on standard error and left out; the exit code is then 1.
"""

import sys

from keras_vit.apps.checkpoint_flags import add_checkpoint_flags, told
from keras_vit.apps.cli import add_threads_flag, import_keras, run_script, use_threads

from keras_vit.untrusted.text import visible


def add_flags(parser):
    parser.add_argument(
        "model",
        help="run folder, .keras file, checkpoint of any dialect, URL, hf:owner/name or a name of "
        "`keras-vit list weights`",
    )
    parser.add_argument(
        "images",
        nargs="+",
        help="files, folders, patterns or URLs; or one source of labelled images, as "
        "`keras-vit train` takes it",
    )
    parser.add_argument("--out", required=True, help="a file that ends in .npz or .parquet")
    parser.add_argument("--batch_size", type=int, default=32, help="images at a time; default: 32")
    parser.add_argument("--data_dir", help="where TFDS keeps its data sets")
    add_threads_flag(parser)
    add_checkpoint_flags(parser, sides="+")


def main(args) -> int:
    from pathlib import Path

    from keras_vit.errors import UserError
    from keras_vit.features.files import writer_for
    from keras_vit.progress import say
    from keras_vit.weights.catalog import check_named

    if args.batch_size < 1:
        raise UserError(f"--batch_size: expected at least 1, received {args.batch_size}.")
    use_threads(args)
    writer_for(Path(args.out))
    check_named(args.model)
    import_keras()
    from keras_vit.features.embed import embed

    found = embed(
        args.model,
        args.images,
        args.out,
        args.batch_size,
        args.data_dir,
        lambda problem: say(f"keras-vit embed: {problem}"),
        **told(args),
    )
    if found.failed:
        print(f"keras-vit embed: {found.failed:,} images failed", file=sys.stderr)
    print(visible(f"{args.out}: {found.images:,} images, {found.features:,} features each"))
    return 1 if found.failed else 0


if __name__ == "__main__":
    run_script("embed")
