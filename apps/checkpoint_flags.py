# SPDX-License-Identifier: MIT
"""`keras_vit.weights.LoadOptions` as flags, for the commands that open a checkpoint."""

import argparse
import dataclasses
from typing import Any

from keras_vit.preprocessing import FRAMINGS, INTERPOLATIONS
from keras_vit.weights.options import LoadOptions
from keras_vit.weights.resample import METHODS


def add_checkpoint_flags(parser: argparse.ArgumentParser, sides: int | str = 2) -> None:
    """Adds what tells of a checkpoint what its file does not; `told` reads the flags.

    Args:
        parser: of the command.
        sides: numbers after `--image_size`; "+" for one or two, which a path cannot follow.
    """
    parser.add_argument("--architecture", help="what timm calls it, where no config.json does")
    parser.add_argument("--num_heads", type=int, help="heads, where nothing in the file tells")
    parser.add_argument(
        "--activation", choices=("gelu", "gelu_tanh"), help="where the file does not tell"
    )
    parser.add_argument("--norm_epsilon", type=float, help="where the file does not tell")
    parser.add_argument("--pool", choices=("average",), help="where the file does not tell")
    parser.add_argument(
        "--image_size", type=int, nargs=sides, metavar="PIXELS", help="height, width"
    )
    parser.add_argument(
        "--skip", action="append", default=[], metavar="PATTERN", help="names to leave out"
    )


def add_change_flags(parser: argparse.ArgumentParser) -> None:
    """Adds what is wanted otherwise than the file has it."""
    parser.add_argument("--patch_size", type=int, nargs="+", help="resize patches to this size")
    parser.add_argument("--resample", choices=METHODS, help="how positions are resampled")
    parser.add_argument("--num_classes", type=int, help="a new head; 0 takes the head off")
    parser.add_argument("--pixel_mean", type=float, nargs="+", help="of pixels / 255")
    parser.add_argument("--pixel_std", type=float, nargs="+", help="of pixels / 255")
    parser.add_argument("--crop", type=float, help="share of an image's sides that is seen")
    parser.add_argument("--framing", choices=FRAMINGS, help="what that is a share of")
    parser.add_argument("--interpolation", choices=INTERPOLATIONS, help="of images")


def told(args: argparse.Namespace) -> dict[str, Any]:
    """The flags as keyword arguments: options that a command has no flag for are left out."""
    names = [field.name for field in dataclasses.fields(LoadOptions)]
    options = {name: getattr(args, name) for name in names if hasattr(args, name)}
    for name in ("image_size", "patch_size"):
        if options.get(name) is not None:
            sides = options[name]
            options[name] = sides[0] if len(sides) == 1 else tuple(sides)
    return options
