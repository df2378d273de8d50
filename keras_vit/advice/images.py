# SPDX-License-Identifier: MIT
"""Rules about the images: too few, too uneven, one class that is not learned."""

import math
import statistics

from keras_vit.advice.commands import again, anew, audited, evaluated
from keras_vit.advice.facts import Advice, RunFacts
from keras_vit.evaluation import wilson_interval
from keras_vit.recipes import Classify, Recipe
from keras_vit.weights.catalog import catalog

_FEW = 1_000  # training images of a class that a model from scratch learns from
_HANDFUL = 20  # with fewer, even a good representation is not trained, but read
_GOOD = 0.95  # top-1 from which on a checkpoint is not worth a second training
_MANY_CORES = 8
_WIDE = 0.10  # width of an interval in which two runs are not told apart
_UNEVEN = 5  # images of the largest class over those of a rare one
_BEHIND = 0.10  # recall that rare classes lack
_LEARNED = 0.5  # recall of the others below which no single class is the trouble


def misleading_images(facts: RunFacts) -> Advice | None:
    """Files that make every number of the run look better or worse than it is."""
    if not facts.misleading:
        return None
    return Advice(
        "misleading_images",
        f"{facts.misleading[0].rstrip('.')}: no number of this run is what it seems",
        "Sort these files out, and train again",
        audited(facts),
        1,
    )


def few_images(facts: RunFacts) -> Advice | None:
    """No photograph seen before, few of them, mistakes: a checkpoint that has seen millions."""
    start = _without_photographs(facts.recipe)
    counts = [count for count in facts.train_counts if count]
    wrong = facts.top1 is not None and facts.top1 < _GOOD
    if not (start and counts and wrong and statistics.median(counts) < _FEW):
        return None
    usual = round(statistics.median(counts))
    name, recipe, settings = _checkpoint(facts, usual)
    entry = catalog()[name]
    return Advice(
        "few_images",
        f"The model began with {start}, had about {usual:,} training images of a class, and names "
        f"{facts.top1:.1%} of the test images",
        f"Start from {name} ({entry.parameters / 1e6:.0f} million parameters, licence "
        f"{entry.licence.name}), which is downloaded once",
        anew(facts, recipe, name, *settings),
        2,
    )


def _without_photographs(recipe: Recipe) -> str | None:
    """What a classification began with, where that has never seen a photograph."""
    if not isinstance(recipe.objective, Classify):
        return None
    if recipe.init is None:
        return "random weights"
    entry = catalog().get(recipe.init)
    return f"{entry.name}, which has seen drawn images alone" if entry and entry.packaged else None


def _checkpoint(facts: RunFacts, usual: int) -> tuple[str, str, tuple[str, ...]]:
    """(name in the catalog, recipe, settings): what this machine trains, free for any use."""
    if usual < _HANDFUL:  # 518 pixels, its own size, take eight times as long as 224
        return "dinov2-small-registers", "linear_probe", ("image_size=224",)
    if facts.gpu:
        return "sbb-mediumd-in12k", "finetune", ()
    if facts.cores >= _MANY_CORES:
        return "S/16-augreg-i21k", "finetune", ()
    return "Ti/16-augreg-i21k", "finetune", ()


def small_validation(facts: RunFacts) -> Advice | None:
    """So few validation images that the best epoch, and the better of two runs, are a guess."""
    share, count = facts.validation_top1, facts.validation
    if share is None:
        return None
    low, high = wilson_interval(share, count)
    if high - low <= _WIDE:
        return None
    wanted = f"{_images_for(share):,} validation images narrow that to {_WIDE * 100:.0f} points"
    if facts.held_out:
        remedy, command = _other_divisions(facts)
        remedy = f"{remedy}; {wanted}"
    else:
        remedy, command = f"Add images: {wanted}", evaluated(facts)
    return Advice(
        "small_validation",
        f"{count:,} validation images chose the best epoch: their {share:.0%} may be anything from "
        f"{low:.0%} to {high:.0%}, {(high - low) * 100:.0f} points (95 % interval)",
        remedy,
        command,
        5,
    )


def _other_divisions(facts: RunFacts) -> tuple[str, str]:
    """Cross-validation by repeated division, as folds are: another seed, other images held out."""
    seed = facts.recipe.data.split_seed + 1
    remedy = (
        f"Cross-validate: train on other divisions of the images (data.split_seed={seed} to "
        f"{seed + 3}) and take the mean of all runs"
    )
    return remedy, again(facts, f"data.split_seed={seed}")


def _images_for(share: float) -> int:
    """Images whose 95 % interval is as narrow as it should be, in two digits."""
    count = 10
    while (interval := wilson_interval(share, count))[1] - interval[0] > _WIDE:
        count = math.ceil(count * 1.05)
    scale = 10 ** max(0, len(str(count)) - 2)
    return math.ceil(count / scale) * scale


def imbalance(facts: RunFacts) -> Advice | None:
    """Rare classes that are named worse than the others."""
    objective = facts.recipe.objective
    if not isinstance(objective, Classify) or objective.class_weights is not None:
        return None
    if not facts.shown:
        return None
    largest = max(facts.train_counts)
    rare = [i for i, count in enumerate(facts.train_counts) if _UNEVEN * count <= largest]
    others = [i for i in range(len(facts.classes)) if i not in rare]
    if not rare or not sum(facts.shown[i] for i in rare):
        return None
    theirs, usual = _recall(facts, rare), _recall(facts, others)
    if usual - theirs < _BEHIND:
        return None
    smallest = min(facts.train_counts[i] for i in rare)
    return Advice(
        "imbalance",
        f"{len(rare)} of {len(facts.classes)} classes have a {_UNEVEN}th of the images of the "
        f"largest or fewer ({smallest:,} to {largest:,}), and {theirs:.0%} of their test images "
        f"are named rightly, of the others {usual:.0%}",
        "Let each class count the same in the loss",
        again(facts, "objective.class_weights=balanced"),
        4,
    )


def weak_class(facts: RunFacts) -> Advice | None:
    """A class that is named worse than the others by more than chance explains."""
    tested = [i for i, count in enumerate(facts.shown) if count]
    if len(tested) < 2:
        return None
    worst = min(tested, key=lambda i: (facts.right[i] / facts.shown[i], -facts.shown[i]))
    others = [i for i in tested if i != worst]
    quantile = statistics.NormalDist().inv_cdf(1 - 0.025 / len(tested))  # Bonferroni
    share = _recall(facts, [worst])
    _, high = wilson_interval(share, facts.shown[worst], quantile)
    usual = _recall(facts, others)
    low, _ = wilson_interval(usual, sum(facts.shown[i] for i in others), quantile)
    if high >= low or usual < _LEARNED:
        return None
    has = facts.train_counts[worst]
    typical = round(statistics.median(facts.train_counts[i] for i in others))
    more = typical - has if 2 * has < typical else has
    reason = f"the others have about {typical:,}" if 2 * has < typical else "twice as many"
    return Advice(
        "weak_class",
        f"{facts.right[worst]:,} of {facts.shown[worst]:,} test images of "
        f"{facts.classes[worst]!r} are named rightly ({share:.0%}), of the other classes "
        f"{usual:.0%}: more than chance explains",
        f"Look at what it is taken for, and add about {more:,} training images to its {has:,} "
        f"({reason})",
        evaluated(facts),
        6,
    )


def _recall(facts: RunFacts, classes: list[int]) -> float:
    """Share of the test images of some classes that are named rightly; 0 without any."""
    return sum(facts.right[i] for i in classes) / max(1, sum(facts.shown[i] for i in classes))
