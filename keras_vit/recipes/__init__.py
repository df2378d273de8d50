# SPDX-License-Identifier: MIT
"""What to train: plain functions that return a `Recipe`. Standard library only."""

import re
from collections.abc import Callable

from keras_vit.errors import unknown
from keras_vit.recipes import augreg as _augreg
from keras_vit.recipes import deit as _deit
from keras_vit.recipes import mae as _mae
from keras_vit.recipes import plain as _plain
from keras_vit.recipes.augmentation import Augmentation as Augmentation
from keras_vit.recipes.changes import Changes as Changes
from keras_vit.recipes.changes import explain as explain
from keras_vit.recipes.cifar import cifar10_fast as cifar10_fast
from keras_vit.recipes.cifar import cifar10_seed as cifar10_seed
from keras_vit.recipes.cifar import vit_cifar as vit_cifar
from keras_vit.recipes.digits import digits as digits
from keras_vit.recipes.edit import debug as debug
from keras_vit.recipes.edit import field_names as field_names
from keras_vit.recipes.edit import from_dict as from_dict
from keras_vit.recipes.edit import merge as merge
from keras_vit.recipes.edit import override as override
from keras_vit.recipes.edit import to_dict as to_dict
from keras_vit.recipes.finetune import finetune as finetune
from keras_vit.recipes.finetune import linear_probe as linear_probe
from keras_vit.recipes.finetune import model_for as model_for
from keras_vit.recipes.finetune import paper_finetune as paper_finetune
from keras_vit.recipes.objectives import Classify as Classify
from keras_vit.recipes.objectives import Distill as Distill
from keras_vit.recipes.objectives import Objective as Objective
from keras_vit.recipes.objectives import Reconstruct as Reconstruct
from keras_vit.recipes.optimization import Optimizer as Optimizer
from keras_vit.recipes.optimization import Schedule as Schedule
from keras_vit.recipes.paper import paper_imagenet as paper_imagenet
from keras_vit.recipes.paper import paper_imagenet21k as paper_imagenet21k
from keras_vit.recipes.progressive import Phase as Phase
from keras_vit.recipes.schema import Data as Data
from keras_vit.recipes.schema import Recipe as Recipe

_RECIPES: dict[str, Callable[[], Recipe]] = {
    recipe.__name__: recipe
    for recipe in (
        *(digits, cifar10_seed, cifar10_fast, vit_cifar),
        *(finetune, linear_probe, paper_finetune),
        *(paper_imagenet, paper_imagenet21k),
        *(_augreg.augreg, _augreg.augreg_none, _augreg.augreg_light1, _augreg.augreg_light2),
        *(_augreg.augreg_medium1, _augreg.augreg_medium2),
        *(_augreg.augreg_strong1, _augreg.augreg_strong2),
        *(_deit.deit_tiny, _deit.deit_small, _deit.deit_base, _deit.deit_distilled),
        *(_mae.masked_autoencoder, _mae.masked_autoencoder_small),
        *(_plain.plain_s16_90, _plain.plain_s16_150, _plain.plain_s16_300),
    )
}


def names() -> list[str]:
    """Every recipe that `get` knows."""
    return sorted(_RECIPES)


def get(name: str) -> Recipe:
    """Returns a recipe by name, or raises a `UserError` that offers the nearest names."""
    if name not in _RECIPES:
        raise unknown("recipe", name, names(), "`keras-vit list recipes`")
    return _RECIPES[name]()


def default_for(source: str | None) -> str:
    """The name of the recipe for images that nobody named one for: `digits` for the bundled digits,
    `finetune` for any others."""
    return "digits" if source in (None, "digits") else "finetune"


def describe(name: str) -> str:
    """The first line of a recipe's docstring."""
    get(name)
    return (_RECIPES[name].__doc__ or "").strip().splitlines()[0]


def paper_of(name: str) -> str:
    """The paper or repository that the first line of a recipe's docstring cites, or ""."""
    match = re.search(r"\((arXiv [\d.]+\d|github [\w/-]+)[,)]", describe(name))
    return match[1] if match else ""
