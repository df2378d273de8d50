# SPDX-License-Identifier: MIT
"""Convert a checkpoint from any dialect to any other, or to a Keras model.

examples:
  keras-vit convert B_16.npz vit_b16.keras --to keras
  keras-vit convert B_16.npz vit-b16/ --to hf --accept gelu
  keras-vit convert deit/ deit.safetensors --to timm --num_classes 10
  keras-vit convert model.safetensors B_16_384.npz --to flax --image_size 384

What a dialect cannot express is an error that says so; --accept names what may be lost.
"""

import argparse
import sys

from keras_vit.apps.checkpoint_flags import add_checkpoint_flags, told
from keras_vit.apps.cli import import_keras, run_script

from keras_vit.weights.dialects import WRITTEN
from keras_vit.weights.opening import own_file
from keras_vit.weights.resample import METHODS


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", help="what `keras-vit inspect` understands")
    parser.add_argument("destination", help=".keras, .npz or .safetensors file, or a folder")
    parser.add_argument("--to", required=True, choices=[*WRITTEN, "keras"], help="dialect")
    parser.add_argument("--image_size", type=int, nargs="+", help="resample to this size in pixels")
    parser.add_argument("--patch_size", type=int, nargs="+", help="resize patches to this size")
    parser.add_argument("--resample", choices=METHODS, help="how positions are resampled")
    parser.add_argument("--num_classes", type=int, help="a new head; 0 takes the head off")
    add_checkpoint_flags(parser)
    parser.add_argument("--pixel_mean", type=float, nargs="+", help="of pixels / 255")
    parser.add_argument("--pixel_std", type=float, nargs="+", help="of pixels / 255")
    parser.add_argument(
        "--accept", action="append", default=[], metavar="FIELD", help="what may be lost"
    )


def main(args: argparse.Namespace) -> int:
    if args.to == "keras" or own_file(args.source) is not None:
        import_keras()
    from keras_vit.weights import convert

    config = convert(
        args.source,
        args.destination,
        args.to,
        accept=args.accept,
        image_size=_one_or_two(args.image_size),
        patch_size=_one_or_two(args.patch_size),
        resample=args.resample,
        num_classes=args.num_classes,
        pixel_mean=args.pixel_mean,
        pixel_std=args.pixel_std,
        **told(args),
    )
    sys.stderr.write(
        f"{args.destination}: {config.depth} blocks of width {config.width}, "
        f"{config.num_classes} classes, as {args.to}\n"
    )
    return 0


def _one_or_two(values: list[int] | None) -> int | tuple[int, ...] | None:
    if values is None:
        return None
    return values[0] if len(values) == 1 else tuple(values)


if __name__ == "__main__":
    run_script("convert")
