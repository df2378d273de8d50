# SPDX-License-Identifier: MIT
"""Find what is wrong with a set of image files before training on it.

examples:
  keras-vit audit photos/
  keras-vit audit photos.zip --format json > audit.json
  keras-vit audit photos.csv

Every file is decoded. Problems: files that cannot be used, empty classes, a single class, classes
that differ between splits, one image in two splits or two classes. Warnings: copies, ignored files,
imbalance, tiny or elongated images, EXIF rotation, animations, 16 bits, CMYK, transparency. Nothing
is changed. What was found in a file is remembered in the cache folder, for training too, until the
file changes. Exit code 1: problems.
"""

import json

from keras_vit.apps.cli import add_threads_flag, run_script, use_threads


def add_flags(parser):
    parser.add_argument(
        "data",
        help="a folder of images (class/*.jpg or train|val|test/class/*.jpg), a .zip or .tar.gz of "
        "one, or a .csv, .tsv or .jsonl with columns path and label",
    )
    parser.add_argument(
        "--no_cache", action="store_true", help="look at every file, whatever is remembered of it"
    )
    parser.add_argument(
        "--format", choices=("table", "json"), default="table", help="of the report"
    )
    add_threads_flag(parser)


def main(args) -> int:
    from keras_vit.data import audit_files
    from keras_vit.reports import audit_table

    use_threads(args)
    found = audit_files(args.data, cache=not args.no_cache)
    if args.format == "json":
        print(json.dumps(found.to_dict(), indent=2))
    else:
        print(audit_table(found))
    return 0 if found.ok else 1


if __name__ == "__main__":
    run_script("audit")
