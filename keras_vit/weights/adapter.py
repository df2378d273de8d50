# SPDX-License-Identifier: MIT
"""What a family of foreign checkpoints tells this program about itself.

To add a family, write one file with a subclass of `Adapter` and register an instance of it:

    from keras_vit.weights.adapter import Adapter
    from keras_vit.weights.infer import Tensors, head
    from keras_vit.weights.registry import register
    from keras_vit.weights.table import PATCHES_TORCH, row, torch_dense, torch_norm

    class Acme(Adapter):
        name = "acme"
        dialects = {"acme": (row("patch_encoder/projection/kernel", "stem.weight", PATCHES_TORCH),
                             *torch_norm("block_{block}/attention_norm", "layer{block}.n1"), ...)}
        landmarks = ("stem.weight",)          # a tensor that every file has
        written_to = ("folder",)              # so that `save` writes it

        def fields(self, tensors, facts):     # shapes -> ViTConfig
            width, channels, *patch = tensors.shape("stem.weight", 4)
            return {"width": width, "channels": channels, "patch_size": tuple(patch), ...,
                    **head(tensors, "fc.weight", "fc.bias", outputs_first=True)}

    register(Acme())

From then on `load_model`, `save`, `convert`, `inspect` and `certify` know it, and so does the
command line if the registration stands in `registry.py`. In this order:

1.  The table. Print names and shapes of a small model of theirs, and write a row for each variable
    in `keras_vit.config.variables.shapes`. A file in which a row is missing, or of another shape,
    is refused with the list.
2.  `fields`: what shapes show. What they do not show (heads, GELU, epsilon) comes from `facts`,
    which a config file fills (`describes`, `facts`); what nobody says is asked for, never guessed.
3.  What the family says beyond a plain Vision Transformer (`says`), and what it does not: `always`,
    `cannot`, `tableless`. Without these, `save` writes models that compute something else.
4.  `run_reference`: their own code, run on the file's own tensors. `keras-vit parity` then shows
    for each layer whether all of the above is right.

`tests/weights/toy_family.py` is a whole family in one file, with its own code to compare with;
`adapters/transformers.py` a published one.
"""

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from keras_vit.config import ViTConfig
from keras_vit.errors import UserError
from keras_vit.preprocessing import View
from keras_vit.weights.binding import Binding, bind
from keras_vit.weights.config_files import Facts
from keras_vit.weights.formats import Checkpoint, Spec
from keras_vit.weights.infer import Tensors, configured
from keras_vit.weights.resample import Resampling
from keras_vit.weights.table import Rule

if TYPE_CHECKING:
    from keras_vit.weights.source import Source

Test = Callable[[ViTConfig], object]
Taps = dict[str, np.ndarray]  # outputs by the names of our layers, and "logits"


class Adapter:
    """One family of checkpoints: names, how it is recognised, what it can express, its own code.

    Attributes:
        name: of the family, for messages.
        dialects: its tables, by the names that the command line knows; the first is the usual one.
        landmarks: names of tensors; a file with any of them, after one of the `prefixes`, is of
            this family.
        prefixes: what can stand before all names of the model; the first that fits is taken off.
        beside: patterns (`fnmatch`) of names that programs save beside the model.
        older: (regular expression, replacement): older spellings of names in the tables.
        resampling: how its library fits a checkpoint to another size.
        written_to: of ".npz", ".safetensors" and "folder", what `save` writes it to; empty where it
            is only read.
        always: fields of `ViTConfig` that the family has no word for: the value they have there.
        says: options of `ViTConfig` that go beyond a plain Vision Transformer, and the values of
            each that it can express. A model with another is refused when it is written; biases
            that are missing are written out as zeros.
        cannot: what else it cannot express, in words, and whether a model has it.
        tableless: values of `ViTConfig.position` other than "learned" that it can express.
        takes_architecture: whether `architecture=` names a model of this family.
        reference: name of the library that `run_reference` runs; None where there is none.
        needs_keras: whether its files are read by Keras.
    """

    name: str
    dialects: Mapping[str, tuple[Rule, ...]]
    landmarks: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ("",)
    beside: tuple[str, ...] = ()
    older: tuple[tuple[str, str], ...] = ()
    resampling = Resampling()
    written_to: tuple[str, ...] = ()
    always: ClassVar[Mapping[str, object]] = {}
    says: ClassVar[Mapping[str, tuple[object, ...]]] = {}
    cannot: ClassVar[Mapping[str, Test]] = {}
    tableless: tuple[str, ...] = ()
    takes_architecture = False
    reference: str | None = None
    needs_keras = False

    # Whether a file is of this family.

    def recognise(self, names: Collection[str]) -> str | None:
        """The prefix of the model's names, None for a file of another family.

        Args:
            names: in the file.
        """
        for prefix in self.prefixes:
            if any(prefix + landmark in names for landmark in self.landmarks):
                return prefix
        return None

    def dialect_of(self, names: Collection[str]) -> str:
        """Which of the dialects a file has.

        Args:
            names: in the file, without prefix and in today's spelling.
        """
        return next(iter(self.dialects))

    def unused(self, specs: Mapping[str, Spec]) -> set[str]:
        """Those of the names that are not part of the model although they look so."""
        return set()

    def describes(self, config: dict[str, Any]) -> bool:
        """Whether a `config.json` is written by this family."""
        return False

    def check_described(self, config: dict[str, Any], source: str) -> None:
        """Refuses a model that `config.json` says cannot be computed here, before anybody looks at
        its tensors, whose names may be unknown."""

    def opens(self, path: Path) -> bool:
        """Whether `open` reads a path: one that no reader of `formats` does."""
        return False

    def open(self, path: Path) -> tuple[Checkpoint, ViTConfig]:
        """Reads what `opens` said yes to: tensors by the names of the table, and what they are."""
        raise NotImplementedError

    # From a file to a model.

    def facts(self, config: dict[str, Any], file: Path, architecture: str | None) -> Facts:
        """What is known otherwise than from the tensors.

        Args:
            config: the `config.json` of this family next to the checkpoint; `{}` without one.
            file: its path, also where there is none.
            architecture: see `takes_architecture`; goes before the `config.json`.

        Returns:
            Fields of `ViTConfig`; `named` where a name told them.
        """
        return {}

    def unnamed(self, tensors: Tensors, facts: Facts) -> Facts:
        """More facts of a file whose architecture nothing names, or an error that asks for them."""
        return {}

    def fields(self, tensors: Tensors, facts: Facts) -> dict[str, Any]:
        """The fields of `ViTConfig` that tensors show, and `position_rows` and `prefix_tokens`; see
        `keras_vit.weights.infer.configured`."""
        raise NotImplementedError

    def completed(self, tensors: Tensors, facts: Facts) -> Facts:
        """All facts of a checkpoint: those that are known, and what its tensors tell of others."""
        if "named" in facts:
            return facts
        known = {name: value for name, value in facts.items() if value is not None}
        return {"named": "a file without a name", **self.unnamed(tensors, facts), **known}

    def config(self, tensors: Tensors, facts: Facts) -> ViTConfig:
        """What a checkpoint is."""
        facts = self.completed(tensors, facts)
        return configured(self.fields(tensors, facts), facts, tensors.source)

    def computed(self, checkpoint: Checkpoint, config: ViTConfig, facts: Facts) -> Checkpoint:
        """A checkpoint under the names of the table, where some of these tensors are computed from
        others of the file.

        Args:
            checkpoint: under the names of the file, without prefix and in today's spelling.
            config: what it is.
            facts: what `completed` found.
        """
        return checkpoint

    def placeholders(self, config: ViTConfig) -> dict[str, str]:
        """What stands in the names of the tables for `{...}` other than counters."""
        return {}

    def bind(self, dialect: str, config: ViTConfig) -> list[Binding]:
        """The tensors that a model of this configuration has in a dialect."""
        return bind(dialect, self.dialects[dialect], config, self.placeholders(config))

    def resampling_of(self, config: ViTConfig) -> Resampling:
        """How its library fits a checkpoint of this configuration to another size."""
        return self.resampling

    # From a model to a file.

    def written_name(self, name: str, config: ViTConfig) -> str:
        """A name of a table as a file has it: with the prefix."""
        return name

    def rows_for(self, config: ViTConfig) -> tuple[bool, bool]:
        """Whether the position table has rows for class tokens, and for registers, as written."""
        return config.class_token_in_positions, config.register_tokens_in_positions

    def biases_for(self, config: ViTConfig) -> dict[str, Any]:
        """Fields of a configuration that tell of biases, as written: those that are missing in the
        model and not in the file are zeros."""
        usual = {
            "qkv_bias": "all",
            "dense_bias": True,
            "patch_bias": True,
            "head_bias": 0.0 if config.head_bias is None else config.head_bias,
        }
        return {
            name: value
            for name, value in usual.items()
            if getattr(config, name) not in self.says.get(name, ())
        }

    def idle(self, config: ViTConfig) -> dict[str, np.ndarray]:
        """Tensors that the library expects in a file although the model does not compute with
        them, by the names in the file."""
        return {}

    def sidecars(self, config: ViTConfig, view: View) -> dict[str, dict[str, Any]]:
        """JSON files that a folder of this family has, by name.

        Args:
            config: the model.
            view: what of an image it wants to see.
        """
        return {}

    # Its own code.

    def run_reference(self, source: "Source", images: np.ndarray) -> tuple[Taps, dict[str, str]]:
        """Computes every layer's output with the library of this family.

        The file's own tensors go in under the file's own names: nothing of the tables may be used,
        so that a mistake in them shows.

        Args:
            source: an opened checkpoint of this family.
            images: `(batch, height, width, channels)`, normalised as the model wants them.

        Returns:
            Outputs by layer, and versions of the libraries by name.

        Raises:
            ImportError: where the library is not installed.
        """
        raise UserError(f"the {self.name} dialect has no reference to compare with.")
