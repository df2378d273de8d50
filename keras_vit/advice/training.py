# SPDX-License-Identifier: MIT
"""Rules about the training: too short, too long, too weak a model, steps that were lost."""

import math

from keras_vit.advice.commands import again, anew, extended
from keras_vit.advice.facts import Advice, RunFacts
from keras_vit.recipes import Reconstruct

_ROSE = 0.05  # share that the validation loss rises by, or the training loss falls by
_LEARNED = 0.8  # accuracy that a model reaches on images that it has learned
_FINEST = 24  # patches along the shorter side, as in `keras_vit.recipes.fitting`
_FINER = 1.5


def still_falling(facts: RunFacts) -> Advice | None:
    """A training that ended before it was over."""
    if facts.perfect or not facts.still_falls:
        return None
    epochs = len(facts.history)
    more = math.ceil(epochs / 2)
    if facts.recipe.optimizer.ema is None:
        command = extended(facts, more)
    else:  # it ended with an average of its weights, from which nothing goes on
        command = again(facts, f"epochs={epochs + more}", "steps=none", "extensions=()")
    return Advice(
        "still_falling",
        f"The validation loss fell by {facts.fall_at_end:.0%} in the last fifth of the "
        f"{epochs:,} epochs",
        f"Train for {more:,} epoch{'s' if more > 1 else ''} more",
        command,
        4,
    )


def overfitting(facts: RunFacts) -> Advice | None:
    """A model that goes on learning its training images, and forgets what they have in common."""
    losses, trained = facts.column("val_loss"), facts.column("loss")
    if facts.perfect or len(losses) < 5 or min(losses) <= 0:
        return None
    lowest = losses.index(min(losses))
    rise, fall = losses[-1] / losses[lowest] - 1, 1 - trained[-1] / trained[lowest]
    setting = _restraint(facts)
    if rise < _ROSE or fall < _ROSE or setting is None:
        return None
    return Advice(
        "overfitting",
        f"After epoch {lowest + 1} of {len(losses)} the training loss fell by {fall:.0%}, and the "
        f"validation loss rose by {rise:.0%}: the model learns the training images by heart",
        f"Make that harder: {setting}",
        again(facts, setting),
        3,
    )


def _restraint(facts: RunFacts) -> str | None:
    """The first setting against overfitting that the run did not have, or more of the last."""
    recipe = facts.recipe
    seen, model, optimizer = recipe.augmentation, recipe.model, recipe.optimizer
    if isinstance(recipe.objective, Reconstruct):  # images are not mixed there
        return None
    if not seen.mixup and not seen.cutmix:
        return "augmentation.mixup=0.2"
    if seen.policy == "none" and model.channels == 3:
        return "augmentation.policy=randaugment"
    if not model.dropout:
        return "model.dropout=0.1"
    return f"optimizer.weight_decay={max(0.05, 2 * optimizer.weight_decay):g}"


def underfitting(facts: RunFacts) -> Advice | None:
    """A model that does not even learn its training images, and has stopped to try."""
    trained, validated = facts.column("accuracy"), facts.column("val_accuracy")
    if not trained or facts.still_falls or len(trained) < 5:
        return None
    # Mixed images cannot be named as well as whole ones: validation may lie above.
    best = max(*trained[-1:], *validated)
    if best >= _LEARNED:
        return None
    remedy, command = _more_model(facts)
    return Advice(
        "underfitting",
        f"After {len(trained):,} epochs {trained[-1]:.0%} of the training images are named rightly "
        f"and at best {max(validated):.0%} of the validation images, and the loss falls no more",
        remedy,
        command,
        3,
    )


def _more_model(facts: RunFacts) -> tuple[str, str]:
    """(remedy, command): all weights, more pixels, or a larger model, whichever was not had."""
    recipe, model = facts.recipe, facts.recipe.model
    if recipe.init is not None and (recipe.lora or recipe.optimizer.freeze):
        return "Train all weights of the checkpoint", anew(facts, "finetune", recipe.init)
    if recipe.init is None:
        sizes = {name: 2 * getattr(model, name) for name in ("width", "mlp_dim", "num_heads")}
        settings = [f"model.{name}={size}" for name, size in sizes.items()]
        return "Take a model of twice the width", again(facts, *settings)
    if min(model.grid) < _FINEST and not model.relative_position_bias:
        height, width = (
            pixels // cells * math.ceil(_FINER * cells)
            for pixels, cells in zip(model.image_size, model.grid, strict=True)
        )
        size = f"({height},{width})"
        return f"Show {height} x {width} pixels", again(facts, f"model.image_size={size}")
    epochs = 2 * len(facts.history)
    return f"Train for {epochs:,} epochs", again(facts, f"epochs={epochs}", "steps=none")


def bad_updates(facts: RunFacts) -> Advice | None:
    """Steps that were left out because their gradient was NaN or infinite."""
    skipped = int(facts.history[-1].get("skipped_updates", 0)) if facts.history else 0
    rate = facts.recipe.optimizer.learning_rate
    if not skipped or rate is None:
        return None
    return Advice(
        "bad_updates",
        f"{skipped:,} updates had a gradient that is NaN or infinite and were left out",
        f"Take a third of the learning rate of {rate:g}",
        again(facts, f"optimizer.learning_rate={rate / 3:.3g}"),
        2,
    )
