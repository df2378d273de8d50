# SPDX-License-Identifier: MIT
"""Any source of weights, opened and understood: what it is, and its variables under our paths.

Every reader of checkpoints comes through here. Keras is imported for sources that only Keras can
read (`.keras`, KerasHub presets).
"""

import dataclasses
import functools
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from keras_vit.config import ViTConfig
from keras_vit.errors import UserError
from keras_vit.origins import UNKNOWN, Origin, joined
from keras_vit.preprocessing import View
from keras_vit.weights import registry
from keras_vit.weights.adapter import Adapter
from keras_vit.weights.binding import check, read
from keras_vit.weights.catalog import licensed
from keras_vit.weights.config_files import (
    Facts,
    config_file,
    header_facts,
    header_origins,
    licence_in,
    read_json,
)
from keras_vit.weights.fit import Arrays, fitted, wanted
from keras_vit.weights.formats import Checkpoint, open_checkpoint
from keras_vit.weights.infer import Tensors
from keras_vit.weights.names import check_skipped, matches, own_names
from keras_vit.weights.neighbour import check_neighbour, check_same_library
from keras_vit.weights.options import LoadOptions
from keras_vit.weights.resample import Resampling
from keras_vit.weights.streamed import Streamed


def open_source(path: str | os.PathLike, **options: Any) -> "Source":
    """Opens a checkpoint and infers its configuration; reads no numbers of files of weights.

    Args:
        path: a file, a folder, or `file.npz:img` for one part of a Flax tree.
        **options: those of `LoadOptions`. What the caller knows goes before what the files say, but
            for `image_size`, which is that of the file only where nothing else tells.

    Raises:
        UserError: for a file that is unsound, unknown or incomplete, with what to do.
    """
    source = opened(path, LoadOptions.of(**options))
    source.config  # noqa: B018 - found out now, so that what is wrong is said now
    return source


@dataclasses.dataclass(eq=False)
class Source:
    """An opened checkpoint.

    Attributes:
        path: the file or folder.
        adapter: the family that it is of.
        dialect: which of the family's dialects it has.
        checkpoint: the tensors of the model under the names of the dialect's table.
        options: what the caller said.
        find_config: makes `config`.
        compute: makes `tensors` of `checkpoint` and `config`.
        whole: all tensors of the file under their own names.
        prefix: what was taken off the names in the file.
        skipped: names in the file that are not part of the model.
        licence: what the `config.json` next to the file calls its licence, or "".
        named: where the weights come from by the name that somebody gave; None for a path.
        find_view: makes `view`.
    """

    path: Path
    adapter: Adapter
    dialect: str
    checkpoint: Checkpoint
    options: LoadOptions
    find_config: Callable[[], ViTConfig]
    whole: Checkpoint
    prefix: str = ""
    skipped: tuple[str, ...] = ()
    licence: str = ""
    compute: Callable[[Checkpoint, ViTConfig], Checkpoint] = lambda checkpoint, config: checkpoint
    named: Origin | None = None
    find_view: Callable[[], View] = View

    @functools.cached_property
    def view(self) -> View:
        """What of an image the model wants to see: what the caller says, the files next to it, or
        the usual."""
        return dataclasses.replace(self.find_view(), **self.options.told_view())

    @property
    def origins(self) -> tuple[Origin, ...]:
        """Weights that the model was made of: what the file says, and what its name does."""
        own = header_origins(self.whole.metadata, str(self.path))
        named = self.named
        if named is not None and named.licence != UNKNOWN:
            return joined(own, [named])
        if own:
            return own
        if self.licence:
            known = named or Origin(self.path.name, self.licence)
            return (licensed(known.weights, self.licence, known.terms),)
        return () if named is None else (named,)

    @functools.cached_property
    def config(self) -> ViTConfig:
        """The model that the file holds, at the size that it was made for.

        Raises:
            UserError: where something cannot be known and must be given.
        """
        return self.find_config()

    @functools.cached_property
    def tensors(self) -> Checkpoint:
        """The tensors of `checkpoint` by the names of the table, those included that are computed
        from others; each is read when it is asked for."""
        return self.compute(self.checkpoint, self.config)

    def check(self) -> None:
        """Compares names, shapes and types of the tensors with what the model needs.

        Raises:
            UserError: with every name that is missing, left over or of another shape.
        """
        check(self.adapter.bind(self.dialect, self.config), self.tensors)

    def arrays(self) -> Arrays:
        """Yields (our path, float32 array) for every variable, reading one tensor at a time."""
        return read(self.adapter.bind(self.dialect, self.config), self.tensors, self.config)

    def fitted(self, **changes: Any) -> tuple[ViTConfig, Arrays]:
        """The model that is wanted of this one: another image size, patch size or head.

        Args:
            **changes: options that take the place of those that the source was opened with.

        Returns:
            The configuration that is wanted, and (our path, array) for each of its variables, read
            one at a time.
        """
        options = dataclasses.replace(self.options, **changes)
        new = wanted(self.config, options)
        return new, fitted(self.arrays(), self.config, new, self._method(options))

    def streamed(self) -> tuple[ViTConfig, Streamed]:
        """`fitted`, with the variables by path, each read when it is asked for."""
        new = wanted(self.config, self.options)
        bindings = self.adapter.bind(self.dialect, self.config)
        method = self._method(self.options)
        return new, Streamed(bindings, self.tensors, self.config, new, method)

    def _method(self, options: LoadOptions) -> Resampling:
        method = self.adapter.resampling_of(self.config)
        if options.resample is None:
            return method
        return method._replace(positions=options.resample)


def opened(path: str | os.PathLike, options: LoadOptions) -> Source:
    """Opens a checkpoint; its configuration is inferred when it is asked for."""
    adapter = registry.opener_of(Path(path))
    if adapter is not None:
        return _opened_by(adapter, Path(path), options)
    path, part = _split(path)
    config, describer = _described(path)
    whole = open_checkpoint(path)
    names = [name for name in whole if not matches(name, options.skip)]
    if part is not None:
        names = [name for name in names if f"/{part}/" in f"/{name}"]
    adapter, prefix = registry.recognised(whole.source, names, describer)
    if options.skip:
        check_skipped(whole, options.skip, prefix)
    new_to_old = _names_used(whole, names, prefix, adapter)
    kept = set(new_to_old.values())
    checkpoint = whole.renamed(new_to_old)
    file_names = tuple(name.removeprefix(prefix) for name in new_to_old.values())
    other = describer if describer is not adapter else None
    if other is not None:
        check_same_library(other, adapter, str(path))
    told = config if describer is adapter else {}
    tensors = Tensors(checkpoint.specs, str(path), file_names)

    @functools.cache
    def facts() -> Facts:
        return adapter.completed(tensors, _facts(adapter, checkpoint, path, told, options))

    def find_config() -> ViTConfig:
        found = adapter.config(tensors, facts())
        if other is not None:
            described = other.facts(config, config_file(path), None)
            check_neighbour(found, described, (adapter.name, other.name), options, str(path))
        return found

    return Source(
        path,
        adapter,
        adapter.dialect_of(new_to_old),
        checkpoint,
        options,
        find_config,
        whole,
        prefix,
        tuple(name for name in whole if name not in kept),
        licence_in(config),
        lambda checkpoint, config: adapter.computed(checkpoint, config, facts()),
        find_view=lambda: facts().get("view") or View(),
    )


def _described(path: Path) -> tuple[dict[str, Any], Adapter | None]:
    """The config.json next to a checkpoint, and the family that it names."""
    file = config_file(path)
    # The config.json next to an .npz is of another model: no program writes such a pair.
    config = {} if path.suffix == ".npz" else read_json(file)
    describer = registry.describer_of(config)
    if describer is not None:
        # What a name says of a model is a better reason to refuse it than its tensors.
        describer.check_described(config, str(file))
    return config, describer


def _names_used(
    whole: Checkpoint, names: Sequence[str], prefix: str, adapter: Adapter
) -> dict[str, str]:
    """The names of a family's table, each with that of the file."""
    new_to_old = own_names(whole, names, prefix, adapter.beside, adapter.older)
    unused = adapter.unused({new: whole.specs[old] for new, old in new_to_old.items()})
    return {new: old for new, old in new_to_old.items() if new not in unused}


def _opened_by(adapter: Adapter, path: Path, options: LoadOptions) -> Source:
    """What an adapter reads itself, and knows all of."""
    checkpoint, config = adapter.open(path)
    told = options.told()
    told = {name: value for name, value in told.items() if name not in ("image_size", "num_heads")}
    config = dataclasses.replace(config, **told)
    dialect = next(iter(adapter.dialects))
    view = header_facts(checkpoint.metadata, str(path)).get("view", View())
    return Source(
        *(path, adapter, dialect, checkpoint, options, lambda: config, checkpoint),
        find_view=lambda: view,
    )


def _facts(
    adapter: Adapter,
    checkpoint: Checkpoint,
    path: Path,
    config: dict[str, Any],
    options: LoadOptions,
) -> Facts:
    """What is known of a checkpoint otherwise than from its tensors."""
    if options.architecture is not None and not adapter.takes_architecture:
        raise UserError(
            f"{path}: architecture= is the name of a model of timm; the tensors have names of "
            f"{adapter.name}. Leave it out."
        )
    facts = adapter.facts(config, config_file(path), options.architecture)
    facts |= header_facts(checkpoint.metadata, str(path))
    told = options.told()
    asked = told.pop("image_size", None)
    return {"image_size": asked, **facts, **told, "asked_size": asked}


def _split(path: str | os.PathLike) -> tuple[Path, str | None]:
    """`file.npz:img` as the file and "img"; a path without a part, and None."""
    text = os.fspath(path)
    file, colon, part = text.rpartition(":")
    if colon and not Path(text).exists() and file.endswith(".npz"):
        return Path(file), part
    return Path(text), None
