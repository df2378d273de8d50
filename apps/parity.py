# SPDX-License-Identifier: MIT
"""Certify, layer by layer, that a checkpoint computes here what it computes at home.

examples:
  keras-vit parity B_16.npz --reference flax
  keras-vit parity model.safetensors --reference timm --json certificate.json
  keras-vit parity vit-base-patch16-224/ --reference hf --record outputs.npz
  keras-vit parity vit-base-patch16-224/ --stored outputs.npz

References run the file's own tensors under the file's own names
(pip install 'keras-vit-toolkit[parity]'); --stored needs none of them. Exits with 1 when a layer is
out of tolerance.
"""

import argparse
import json
import sys

from keras_vit.apps.checkpoint_flags import add_checkpoint_flags, told
from keras_vit.apps.cli import import_keras, run_script

from keras_vit.files import write_text
from keras_vit.weights.registry import references


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", help="the checkpoint, also a .keras file or a run")
    parser.add_argument("--reference", choices=references(), help="library to run")
    parser.add_argument("--stored", help=".npz with images, logits, and outputs by layer name")
    parser.add_argument("--record", help="store the reference's outputs as .npz")
    parser.add_argument("--batch", type=int, default=2, help="random images to compare on")
    add_checkpoint_flags(parser)
    parser.add_argument("--json", metavar="FILE", help="write the certificate as JSON")


def main(args: argparse.Namespace) -> int:
    import_keras()
    from keras_vit.weights.parity.certificate import certify

    found = certify(
        args.path,
        reference=args.reference,
        stored=args.stored,
        record=args.record,
        batch=args.batch,
        **told(args),
    )
    if args.json:
        write_text(args.json, json.dumps(found.to_dict(), indent=2) + "\n")
    lines = [
        f"{found.path} ({found.dialect}) against {found.reference}",
        ", ".join(f"{name} {version}" for name, version in found.versions.items()),
        "",
        f"{'layer':<16}{'max |difference|':>18}{'max |value|':>14}",
    ]
    for row in found.rows:
        verdict = "" if row.passed else "  OUT OF TOLERANCE"
        lines.append(f"{row.layer:<16}{row.difference:>18.2e}{row.largest:>14.4g}{verdict}")
    verdict = "passed" if found.passed else "FAILED"
    lines += ["", f"{verdict} at {found.tolerance:g} x max(1, max |value|)"]
    sys.stdout.write("\n".join(lines) + "\n")
    return 0 if found.passed else 1


if __name__ == "__main__":
    run_script("parity")
