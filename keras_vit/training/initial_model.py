# SPDX-License-Identifier: MIT
"""Where a run starts: which model, and from which weights."""

import dataclasses
import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path

import keras
import numpy as np

from keras_vit import zoo
from keras_vit.config import ViTConfig
from keras_vit.data import ImageSet
from keras_vit.data.dataset import shows_color, typical_side
from keras_vit.errors import UserError
from keras_vit.models import vit
from keras_vit.origins import Origin
from keras_vit.preprocessing import View
from keras_vit.recipes import Recipe, model_for
from keras_vit.recipes.fitting import Situation, fit
from keras_vit.run_folder import RunFolder
from keras_vit.training.trained_part import choose_trained, in_head
from keras_vit.weights.load import fill
from keras_vit.weights.source import Source

_SHRUNK = 4  # times smaller than the images: more is lost than a training recovers
_RATES = ("dropout", "attention_dropout", "stochastic_depth")


class InitialWeights:
    """The checkpoint that a recipe names: opened once, and let go of when its numbers are taken.

    Args:
        recipe: names the checkpoint, and maybe the size of the images.
    """

    def __init__(self, recipe: Recipe):
        self._init = recipe.init
        self._image_size = recipe.model.image_size if recipe.model else recipe.image_size
        self._source: Source | None = None
        self._origins: tuple[Origin, ...] | None = None
        self._view = View()

    @property
    def own_config(self) -> ViTConfig:
        """Of the model in the checkpoint, at the size that it was made for."""
        return self._opened().config

    @property
    def config(self) -> ViTConfig:
        """Of the model in the checkpoint, at the wanted image size."""
        return self._opened().fitted(image_size=self._image_size)[0]

    def resize(self, image_size: tuple[int, int] | None) -> None:
        """Says which image size is wanted; None for the checkpoint's own."""
        self._image_size = image_size

    @property
    def origins(self) -> tuple[Origin, ...]:
        """What its weights were made of, with their licences."""
        if self._origins is None:
            self._opened()
        return self._origins

    @property
    def view(self) -> View:
        """What of an image the model in the checkpoint wants to see."""
        if self._origins is None:
            self._opened()
        return self._view

    def take(self) -> Iterable[tuple[str, np.ndarray]]:
        """(path, array) for each of its variables at that size, read one at a time.

        A run goes on for hours: the file is opened anew should they be wanted again.
        """
        _, arrays = self._opened().fitted(image_size=self._image_size)
        self._source = None
        return arrays

    def _opened(self) -> Source:
        if self._source is None:
            self._source = zoo.open_weights(self._init, image_size=self._image_size)
            self._origins, self._view = self._source.origins, self._source.view
        return self._source


def complete(recipe: Recipe, images: ImageSet, weights: InitialWeights | None = None) -> Recipe:
    """Fills in what a recipe leaves to the images and to the checkpoint; again changes nothing.

    Args:
        recipe: what to train.
        images: on what.
        weights: the checkpoint of the recipe, where it is wanted again afterwards.

    Returns:
        A recipe with a model for the classes of the images.

    Raises:
        UserError: for a checkpoint that cannot be used, and for frozen weights without one.
    """
    classes = len(images.classes)
    if recipe.init is not None:
        weights = weights or InitialWeights(recipe)
        recipe = _fitted(recipe, images, weights)
        weights.resize(recipe.model.image_size if recipe.model else recipe.image_size)
        config = _config_from(recipe, images.classes, weights.config)
        recipe = _with_view(recipe, weights.view)
    elif recipe.optimizer.freeze is not None or recipe.lora is not None:
        kept = f"optimizer.freeze={recipe.optimizer.freeze!r}"
        kept = kept if recipe.lora is None else f"lora={recipe.lora}"
        raise UserError(
            f"{recipe.name}: {kept} would keep random weights. Name a checkpoint: --init "
            "S/16-augreg-i21k (see `keras-vit list weights`), B_16.npz, a run folder or "
            "hf:owner/name."
        )
    else:
        recipe = _with_view(_fitted(_from_scratch(recipe), images), View())
        config = recipe.model or _chosen(recipe, images)
        config = dataclasses.replace(config, num_classes=classes)
    epochs = recipe.epochs_of(_updates_per_epoch(recipe, images))
    return dataclasses.replace(recipe, model=config, image_size=None, epochs=epochs)


def _updates_per_epoch(recipe: Recipe, images: ImageSet) -> float:
    count = len(images.train)
    return count // min(recipe.part_size, count) / recipe.accumulate


def _fitted(recipe: Recipe, images: ImageSet, weights: InitialWeights | None = None) -> Recipe:
    """The recipe with what a rule chooses for a checkpoint and these images; says what it chose."""
    situation = Situation(
        None if weights is None else weights.own_config,
        len(images.train),
        typical_side(images.train) if recipe.by_rule else 0,
        _updates_per_epoch(recipe, images),
        new_head=bool(images.classes) and not _has_classes(recipe.init, images.classes),
    )
    recipe, chosen = fit(recipe, situation)
    if chosen and weights is not None:
        values = ", ".join(f"{name}={_written(value)}" for name, value in chosen.items())
        print(f"{recipe.name}: {situation}\nchosen (--set changes it): {values}", file=sys.stderr)
    return recipe


def _with_view(recipe: Recipe, view: View) -> Recipe:
    """The recipe with what its checkpoint wants to see where it does not say; says so where that is
    not the usual."""
    data = recipe.data.with_view(view)
    if data.view != recipe.data.view:
        fields = dataclasses.asdict(data.view).items()
        values = ", ".join(f"data.{name}={value}" for name, value in fields)
        print(
            f"{recipe.name}: images are seen as the checkpoint was made for: {data.view} "
            f"(--set changes it: {values})",
            file=sys.stderr,
        )
    return dataclasses.replace(recipe, data=data)


def _written(value: object) -> str:
    """A value without spaces, as `--set` takes it."""
    if isinstance(value, tuple):
        return f"({','.join(map(str, value))})"
    return f"{value:g}" if isinstance(value, float) else str(value)


def check_view(recipe: Recipe, images: ImageSet, intended: Collection[str] = ()) -> None:
    """Says what of the images a model that the recipe names would not see.

    Args:
        recipe: from `complete`, of a recipe that has a model.
        images: the data.
        intended: fields that were set on purpose; see `RunOptions`.

    Raises:
        UserError: for a model of grey images and images in color.
    """
    config = recipe.model
    if config.channels == 1 and "model.channels" not in intended and shows_color(images.train):
        raise UserError(
            f"{images.name}: the images are in color, and the model of {recipe.name} sees shades "
            "of grey. Set model.channels=3, or model.channels=1 if grey is what you want."
        )
    side, size = typical_side(images.train), config.image_size
    if side >= _SHRUNK * min(size) and "model.image_size" not in intended:
        print(
            f"warning: images of about {side} pixels are shrunk to {size[0]} x {size[1]}, the size "
            f"of {recipe.name}. Set model.image_size, or take the recipe finetune.",
            file=sys.stderr,
        )


def make_initial_model(
    recipe: Recipe, classes: Sequence[str], weights: InitialWeights | None = None
) -> keras.Model:
    """The model of a completed recipe, with random weights or those of its checkpoint.

    Args:
        recipe: from `complete`.
        classes: names of the classes.
        weights: the checkpoint, where it has been opened.
    """
    model = vit(recipe.model, patch_dropout=recipe.patch_dropout)
    if recipe.progressive:
        model.input_spec = keras.layers.InputSpec(shape=(None, None, None, recipe.model.channels))
    if recipe.init is not None:
        weights = weights or InitialWeights(recipe)
        model.origins, arrays = weights.origins, weights.take()
        if not _has_classes(recipe.init, classes):
            arrays = _with_head_of(model, arrays)
        fill(model, arrays)
    model.view = recipe.data.view
    choose_trained(model, recipe)
    return model


def _config_from(recipe: Recipe, classes: Sequence[str], found: ViTConfig) -> ViTConfig:
    """That of the checkpoint, with what the recipe has the last word on."""
    changes = {}
    if recipe.model is not None:
        changes = {name: getattr(recipe.model, name) for name in _RATES}
    if not _has_classes(recipe.init, classes):
        changes |= {"num_classes": len(classes), "representation_size": 0, "head_bias": 0.0}
    return dataclasses.replace(found, **changes)


def _has_classes(init: str | None, classes: Sequence[str]) -> bool:
    """Whether a checkpoint is a run with just these classes."""
    return init is not None and RunFolder(Path(init)).labels == tuple(classes)


def _with_head_of(
    model: keras.Model, arrays: Iterable[tuple[str, np.ndarray]]
) -> Iterator[tuple[str, np.ndarray]]:
    """The arrays with the head of a new model instead of theirs."""
    yield from ((path, array) for path, array in arrays if not in_head(path))
    for variable in model.weights:
        if in_head(variable.path):
            yield variable.path, keras.ops.convert_to_numpy(variable.value)


def _from_scratch(recipe: Recipe) -> Recipe:
    """Without what protects the knowledge of a checkpoint."""
    if recipe.model is None:
        print(
            f"warning: {recipe.name} starts from random weights, which takes many more images than "
            "a checkpoint does. Name one: --init S/16-augreg-i21k (`keras-vit list weights` has "
            "more), a file as B_16.npz, a run folder or hf:owner/name.",
            file=sys.stderr,
        )
    if recipe.optimizer.layer_decay is None:
        return recipe
    print("note: optimizer.layer_decay is dropped: there is no checkpoint", file=sys.stderr)
    return dataclasses.replace(
        recipe, optimizer=dataclasses.replace(recipe.optimizer, layer_decay=None)
    )


def _chosen(recipe: Recipe, images: ImageSet) -> ViTConfig:
    side = max(recipe.image_size) if recipe.image_size else typical_side(images.train)
    config = model_for(side, len(images.train))
    config = dataclasses.replace(config, channels=images.train.channels)
    if recipe.image_size:
        config = dataclasses.replace(config, image_size=recipe.image_size)
    return config
