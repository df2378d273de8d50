# SPDX-License-Identifier: MIT
"""What a checkpoint of nine classes is worth for a small folder of a tenth and two others.

    python benchmarks/recipes/transfer.py CIFAR --out runs/transfer
    python benchmarks/recipes/transfer.py CIFAR --out runs/quick --images 10 --test 10 --epochs 2 \\
        --pretrain_images 20 --pretrain_epochs 2

CIFAR has `train/CLASS/*.jpg` and `test/CLASS/*.jpg` of 32 pixels. The recipe `cifar10_seed` is
trained on all classes but the last; the folder has that last class and the first two, of which it
takes images that were not in the pre-training. All runs on it have the same number of epochs, and
the two from scratch the model of the checkpoint; the last of them has as many more epochs as pay
for the pre-training.
"""

from settings import BASELINE
from tables import Table, classes_of, epochs_for, link, make_parser, write_model

# Of so few images a fifth; no part for the head alone, as the recipe was when it was measured.
_CHANGES = {"data.validation": 0.2, "schedule.head_first": "0 steps"}
_NO_DECAY = {**_CHANGES, "optimizer.layer_decay": 1.0}


def main() -> None:
    parser = make_parser(__doc__, images=40, test=350, epochs=40)
    parser.add_argument("--pretrain_images", type=int, default=500, help="default: 500 a class")
    parser.add_argument("--pretrain_epochs", type=int, default=12, help="default: 12")
    flags = parser.parse_args()
    *known, new = classes_of(flags.data)
    many = link(flags, "nine", flags.pretrain_images, known)
    few = link(flags, "three", flags.images, [*known[:2], new], flags.pretrain_images)
    table = Table(flags.out, flags.seed)

    start = table.train("nine classes", many, "cifar10_seed", flags.pretrain_epochs, BASELINE)
    same_model = write_model(flags.out / "model.json", start)

    def tune(name, recipe, changes, epochs=flags.epochs, **others):
        return table.train(name, few, recipe, epochs, changes, **others)

    def scratch(name, epochs=flags.epochs):
        return tune(name, "finetune", _CHANGES, epochs, config=same_model)

    tune("linear probe", "linear_probe", _CHANGES, init=start)
    tuned = tune("fine-tuned", "finetune", _CHANGES, init=start)
    tune("fine-tuned, no layer-wise decay", "finetune", _NO_DECAY, init=start)
    same = scratch("scratch, the same epochs")
    one = scratch("scratch, one epoch: what a start costs", 1)
    scratch("scratch for the CPU of fine-tuning", epochs_for(tuned.total, one, same))


if __name__ == "__main__":
    main()
