# SPDX-License-Identifier: MIT
"""Pre-training without labels and learning from a teacher, against the same CPU time from scratch.

    python benchmarks/recipes/objectives.py CIFAR --out runs/settings
    python benchmarks/recipes/objectives.py CIFAR --out runs/quick --images 20 --test 10 \\
        --epochs 2 --unlabelled 20

CIFAR has `train/CLASS/*.jpg` and `test/CLASS/*.jpg` of 32 pixels. Labels are used of the first
`--images` of each class alone; the masked autoencoder sees the first `--unlabelled` of each class
without labels; no run sees a test image. The baseline is that of settings.py: with the same
`--out` it is read and not run again. A row "for the CPU of ..." is the baseline with as many more
epochs as the CPU time of that row "in all" pays for, what it started from included.
"""

from settings import BASELINE
from tables import Table, classes_of, epochs_for, link, make_parser, write_model

_DECODER = {
    "objective.decoder_width": 48,
    "objective.decoder_depth": 1,
    "objective.decoder_num_heads": 4,
}
_TEACHER = {"model.width": 96, "model.mlp_dim": 384}
_DISTILL = {"objective.kind": "distill"}
_SOFT = {**_DISTILL, "objective.hard": "false", "objective.temperature": 3}
_HARD = {**_DISTILL, "model.distillation_token": "true"}


def main() -> None:
    parser = make_parser(__doc__, images=200, test=200, epochs=12)
    parser.add_argument("--unlabelled", type=int, default=500, help="of each class; default: 500")
    parser.add_argument("--pretrain_epochs", type=int, help="default: as --epochs")
    flags = parser.parse_args()
    classes = classes_of(flags.data)
    images = link(flags, "labelled", flags.images, classes)
    unlabelled = link(flags, "unlabelled", flags.unlabelled, classes)
    table = Table(flags.out, flags.seed)

    def classify(name, epochs=flags.epochs, changes=None, **others):
        changes = {**BASELINE, **(changes or {})}
        return table.train(name, images, "cifar10_seed", epochs, changes, **others)

    one = classify("one epoch: what a start costs", 1)
    baseline = classify("baseline")

    encoder = table.train(
        "masked autoencoder",
        unlabelled,
        "masked_autoencoder_small",
        flags.pretrain_epochs or flags.epochs,
        {"batch_size": BASELINE["batch_size"], "jit_compile": "true", **_DECODER},
        config=write_model(flags.out / "encoder.json", baseline, num_classes=0),
    )
    tuned = classify("fine-tuned masked autoencoder", init=encoder)
    classify("scratch for the CPU of that", epochs_for(tuned.total, one, baseline))

    teacher = classify("teacher", changes=_TEACHER)
    soft = classify("distilled, soft", changes=_SOFT, teacher=teacher)
    hard = classify("distilled, hard with token", changes=_HARD, teacher=teacher)
    dearer = max(soft.total, hard.total)
    classify("scratch for the CPU of the dearer", epochs_for(dearer, one, baseline))


if __name__ == "__main__":
    main()
