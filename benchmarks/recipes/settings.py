# SPDX-License-Identifier: MIT
"""What each training setting does to a tiny model in minutes: one `--set` over a baseline.

    python benchmarks/recipes/settings.py CIFAR --out runs/settings
    python benchmarks/recipes/settings.py CIFAR --out runs/quick --images 20 --test 10 --epochs 2

CIFAR has `train/CLASS/*.jpg` and `test/CLASS/*.jpg` of 32 pixels. The baseline is the recipe
`cifar10_seed` with the changes of `BASELINE`. Layer-wise decay, which needs a checkpoint, is in
transfer.py.
"""

from tables import Table, classes_of, link, make_parser

BASELINE = {
    "optimizer.name": "adamw",
    "optimizer.learning_rate": 2e-3,
    "schedule.kind": "cosine",
    "batch_size": 64,
    "jit_compile": "true",
    "schedule.warmup": "0.1",
    "objective.label_smoothing": 0,
}
SETTINGS = {
    "baseline": {},
    "mixup": {"augmentation.mixup": 0.2},
    "cutmix": {"augmentation.cutmix": 1},
    "randaugment": {"augmentation.policy": "randaugment"},
    "random erasing": {"augmentation.erasing": 0.25},
    "label smoothing": {"objective.label_smoothing": 0.1},
    "stochastic depth": {"model.stochastic_depth": 0.1},
    "EMA": {"optimizer.ema": 0.98},
}


def main() -> None:
    parser = make_parser(__doc__, images=200, test=200, epochs=12)
    parser.add_argument("--only", nargs="+", choices=SETTINGS, default=SETTINGS, metavar="ROW")
    flags = parser.parse_args()
    images = link(flags, "labelled", flags.images, classes_of(flags.data))
    table = Table(flags.out, flags.seed)
    for name in flags.only:
        changes = {**BASELINE, **SETTINGS[name]}
        table.train(name, images, "cifar10_seed", flags.epochs, changes)


if __name__ == "__main__":
    main()
