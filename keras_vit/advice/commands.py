# SPDX-License-Identifier: MIT
"""What to type, in full: a command that works as it stands."""

import dataclasses
import shlex

from keras_vit.advice.facts import RunFacts
from keras_vit.preprocessing import USUAL
from keras_vit.recipes import Classify, Data
from keras_vit.run_folder import RunFolder


def again(facts: RunFacts, *settings: str) -> str:
    """The same training with some fields of its recipe changed.

    Args:
        facts: of the run.
        *settings: as `--set` takes them.
    """
    if facts.in_memory:
        return _in_python("run.recipe", settings)
    recipe_file = f"{facts.folder}/{RunFolder.recipe_file.name}"
    return _typed("train", "--config", recipe_file, *_sets(settings))


def anew(facts: RunFacts, recipe: str, weights: str, *settings: str) -> str:
    """Another recipe from a checkpoint, on the same images in the same splits.

    Args:
        facts: of the run.
        recipe: its name.
        weights: as `--init` takes them.
        *settings: as `--set` takes them.
    """
    settings = (*_same_images(facts), *settings)
    if facts.in_memory:
        of = f'keras_vit.recipes.get("{recipe}")'
        return _in_python(of, (f"init={weights}", *settings))
    flags = ("--recipe", recipe, "--init", weights)
    return _typed("train", facts.recipe.data.source, *flags, *_sets(settings))


def extended(facts: RunFacts, epochs: int) -> str:
    """The same run, for more epochs."""
    if facts.in_memory:
        return f"keras_vit.training.resume({facts.folder!r}, data=images, extend={epochs})"
    return _typed("train", "--resume", facts.folder, "--extend", str(epochs))


def evaluated(facts: RunFacts) -> str:
    """What the run says of its test images, class by class."""
    if facts.in_memory:
        return f"keras_vit.Predictor.open({facts.folder!r}).evaluate(images.test)"
    return _typed("evaluate", facts.folder)


def audited(facts: RunFacts) -> str:
    """What is wrong with the image files."""
    return _typed("audit", facts.recipe.data.source)


def quantized(facts: RunFacts, format: str) -> str:
    """A smaller file of the same model, in a folder next to the run."""
    out = f"{facts.folder.rstrip('/')}-small"
    flags = ("--format", format, "--quantize", "auto", "--out", out)
    if facts.in_memory:  # there is nothing that the file could be checked on, but noise
        return _typed("export", f"{facts.folder}/{RunFolder.model_file.name}", *flags)
    return _typed("export", facts.folder, *flags)


def _same_images(facts: RunFacts) -> list[str]:
    """The settings of the data and of the loss that are not what every recipe has; and no flip,
    where the run had none: a mirrored digit is none."""
    plan, usual = (data.with_view(USUAL) for data in (facts.recipe.data, Data()))
    changed = [
        f"data.{field.name}={getattr(plan, field.name)}"
        for field in dataclasses.fields(plan)
        if field.name != "source" and getattr(plan, field.name) != getattr(usual, field.name)
    ]
    objective = facts.recipe.objective
    if isinstance(objective, Classify) and objective.loss != Classify().loss:
        changed.append(f"objective.loss={objective.loss}")
    if not facts.recipe.augmentation.flip:
        changed.append("augmentation.flip=false")
    return changed


def _sets(settings: tuple[str, ...]) -> list[str]:
    return [word for setting in settings for word in ("--set", setting)]


def _typed(command: str, *words: str) -> str:
    return shlex.join(["keras-vit", command, *words])


def _in_python(recipe: str, settings: tuple[str, ...]) -> str:
    changes = ", ".join(repr(setting) for setting in settings)
    return f"keras_vit.train(keras_vit.recipes.override({recipe}, {changes}), data=images)"
