# SPDX-License-Identifier: MIT
"""What to train: plain functions that return a `Recipe`. Standard library only."""

from collections.abc import Callable

from keras_vit.errors import unknown
from keras_vit.recipes.augmentation import Augmentation as Augmentation
from keras_vit.recipes.cifar import cifar10_seed as cifar10_seed
from keras_vit.recipes.digits import digits as digits
from keras_vit.recipes.edit import debug as debug
from keras_vit.recipes.edit import from_dict as from_dict
from keras_vit.recipes.edit import override as override
from keras_vit.recipes.edit import to_dict as to_dict
from keras_vit.recipes.schema import Classify as Classify
from keras_vit.recipes.schema import Data as Data
from keras_vit.recipes.schema import Optimizer as Optimizer
from keras_vit.recipes.schema import Recipe as Recipe
from keras_vit.recipes.schema import Schedule as Schedule

_RECIPES: dict[str, Callable[[], Recipe]] = {
    recipe.__name__: recipe for recipe in (digits, cifar10_seed)
}


def names() -> list[str]:
    """Every recipe that `get` knows."""
    return sorted(_RECIPES)


def get(name: str) -> Recipe:
    """Returns a recipe by name, or raises a `UserError` that offers the nearest names."""
    if name not in _RECIPES:
        raise unknown("recipe", name, names(), "`keras-vit list recipes`")
    return _RECIPES[name]()


def describe(name: str) -> str:
    """The first line of a recipe's docstring."""
    get(name)
    return _RECIPES[name].__doc__.strip().splitlines()[0]
