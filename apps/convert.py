# SPDX-License-Identifier: MIT
"""Convert a checkpoint from any dialect to any other, or to a Keras model.

examples:
  keras-vit convert B_16.npz vit_b16.keras --to keras
  keras-vit convert B_16.npz vit-b16/ --to hf --accept activation
  keras-vit convert deit/ deit.safetensors --to timm --num_classes 10
  keras-vit convert model.safetensors B_16_384.npz --to flax --image_size 384

What a dialect cannot express is an error that says so; --accept names what may be lost.
"""

import argparse
import sys

from keras_vit.apps.checkpoint_flags import add_change_flags, add_checkpoint_flags, told
from keras_vit.apps.cli import import_keras, run_script

from keras_vit.weights.registry import needs_keras, written_dialects


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", help="what `keras-vit inspect` understands")
    parser.add_argument("destination", help=".keras, .npz or .safetensors file, or a folder")
    dialects = [*written_dialects(), "keras"]
    parser.add_argument("--to", required=True, choices=dialects, help="dialect")
    add_checkpoint_flags(parser, sides="+")
    add_change_flags(parser)
    parser.add_argument(
        "--accept", action="append", default=[], metavar="FIELD", help="what may be lost"
    )


def main(args: argparse.Namespace) -> int:
    if args.to == "keras" or needs_keras(args.source):
        import_keras()
    from keras_vit.weights import convert

    config = convert(
        args.source,
        args.destination,
        args.to,
        accept=args.accept,
        **told(args),
    )
    sys.stderr.write(
        f"{args.destination}: {config.depth} blocks of width {config.width}, "
        f"{config.num_classes} classes, as {args.to}\n"
    )
    return 0


if __name__ == "__main__":
    run_script("convert")
