# SPDX-License-Identifier: MIT
"""What pays for a small model of CIFAR-10: one change of `cifar10_seed` at a time, at equal cost.

    python benchmarks/recipes/cifar10.py CIFAR --out runs/cifar10
    python benchmarks/recipes/cifar10.py CIFAR --out runs/quick --images 20 --test 10 --epochs 2

CIFAR has `train/CLASS/*.jpg` of 32 pixels. Trained are the first `--images` of each class, tested
the `--test` after them: no test image of CIFAR-10 has a part in what the recipes choose. A change
that makes a step cheaper or dearer has more or fewer epochs, so that all rows take about the CPU
time of the first.
"""

from tables import Table, classes_of, link, make_parser

_ADAMW = {"optimizer.name": "adamw", "optimizer.learning_rate": 2e-3}
_AVERAGE = {"model.class_token": "false", "model.pool": "average"}
_WIDER = {"model.width": 64, "model.mlp_dim": 256, "model.num_heads": 2, "model.depth": 6}
# Changes, and how many times the epochs of the recipe they have.
ROWS = {
    "cifar10_seed": ({}, 1),
    "AdamW, 2e-3": (_ADAMW, 1),
    "AdamW, 5e-3": ({**_ADAMW, "optimizer.learning_rate": 5e-3}, 1),
    "half the rate": ({"optimizer.learning_rate": 5e-3}, 1),
    "twice the rate": ({"optimizer.learning_rate": 2e-2}, 1),
    "cosine": ({"schedule.kind": "cosine"}, 1),
    "constant rate, average of the weights": (
        {"schedule.kind": "constant", "optimizer.ema": 0.99},
        1,
    ),
    "no label smoothing": ({"objective.label_smoothing": 0}, 1),
    "no crops and flips": ({"augmentation.crop": "none", "augmentation.flip": "false"}, 1),
    "half the batch": ({"batch_size": 64}, 0.8),
    "average pooling": (_AVERAGE, 1.1),
    "average pooling, rotary": ({**_AVERAGE, "model.rotary": "axial"}, 1),
    "relative position bias": ({"model.relative_position_bias": "true"}, 0.9),
    "half the patches": ({"patch_dropout": 0.5}, 1.8),
    "24 pixels for three fifths": ({"progressive": "((0.6, 24),)"}, 1.4),
    "shape of cifar10_fast": ({**_AVERAGE, **_WIDER, "model.rotary": "axial"}, 0.5),
}


def main() -> None:
    parser = make_parser(__doc__, images=1000, test=500, epochs=12)
    parser.add_argument("--only", nargs="+", choices=ROWS, default=ROWS, metavar="ROW")
    flags = parser.parse_args()
    images = link(flags, "rehearsal", flags.images, classes_of(flags.data), test="train")
    table = Table(flags.out, flags.seed)
    for name in flags.only:
        changes, share = ROWS[name]
        table.train(name, images, "cifar10_seed", max(2, round(share * flags.epochs)), changes)


if __name__ == "__main__":
    main()
