# SPDX-License-Identifier: MIT
"""What a checkpoint is, told from its header alone: no Keras, and no numbers read."""

import dataclasses
import itertools
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from keras_vit.config import ViTConfig
from keras_vit.errors import UserError
from keras_vit.weights.facts import config_beside
from keras_vit.weights.formats import Spec, open_checkpoint
from keras_vit.weights.naming import bind, check
from keras_vit.weights.opening import open_fitted, own_file
from keras_vit.weights.source import configuration, split_subtree
from keras_vit.weights.spelling import Canonical, canonical
from keras_vit.weights.variables import shapes


@dataclasses.dataclass(frozen=True)
class Group:
    """Tensors that differ in a counter only, as `blocks.*.attn.qkv.weight`.

    Attributes:
        name: their names in the file, with `*` for the counter.
        count: how many there are.
        shape: of the first.
        dtype: of the first.
        parameters: numbers in all of them.
    """

    name: str
    count: int
    shape: tuple[int, ...]
    dtype: str
    parameters: int


@dataclasses.dataclass(frozen=True)
class Inspection:
    """The answer of `inspect`.

    Attributes:
        path: what was inspected.
        dialect: a key of `DIALECTS`.
        config: the inferred configuration, None where something must be given.
        parameters: weights of the model; without a configuration, numbers in the file.
        groups: the tensors of the file.
        remarks: what is unusual, most important first.
    """

    path: str
    dialect: str
    config: ViTConfig | None
    parameters: int
    groups: tuple[Group, ...]
    remarks: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return dataclasses.asdict(self)


def inspect(
    path: str | os.PathLike,
    *,
    architecture: str | None = None,
    num_heads: int | None = None,
    gelu: str | None = None,
    norm_epsilon: float | None = None,
    skip: Sequence[str] = (),
) -> Inspection:
    """Tells what a checkpoint is; reads headers only, so that its size does not matter.

    Args:
        path: as in `load_model`, or a run folder. Keras is imported for a `.keras` file alone.
        architecture, num_heads, gelu, norm_epsilon, skip: as in `load_model`.

    Raises:
        UserError: for a file that is unsound or of no known dialect.
    """
    own = own_file(path)
    if own is not None:
        return _of_keras(own)
    file, subtree = split_subtree(path)
    config_beside(file)
    whole = open_checkpoint(file)
    found = canonical(whole, skip, subtree)
    known = {"num_heads": num_heads, "gelu": gelu, "norm_epsilon": norm_epsilon}
    config, remarks = _configuration(found, file, architecture, known)
    remarks += _remarks(found, config)
    if config:
        parameters = sum(Spec(shape, "float32").size for shape in shapes(config).values())
    else:
        parameters = sum(spec.size for spec in found.checkpoint.specs.values())
    return Inspection(
        str(path), found.dialect, config, parameters, tuple(_groups(whole.specs)), tuple(remarks)
    )


def _of_keras(path: Path) -> Inspection:
    """A `.keras` file, which Keras has to open."""
    config, _ = open_fitted(path)
    specs = {name: Spec(shape, "float32") for name, shape in shapes(config).items()}
    parameters = sum(spec.size for spec in specs.values())
    remarks = _unusual(config)
    return Inspection(str(path), "keras", config, parameters, tuple(_groups(specs)), tuple(remarks))


def _configuration(
    found: Canonical, path: Path, architecture: str | None, known: Mapping[str, Any]
) -> tuple[ViTConfig | None, list[str]]:
    """The configuration, or the reason that there is none."""
    try:
        config = configuration(found, path, architecture, known)
        check(bind(found.dialect, config), found.checkpoint)
    except UserError as error:
        return None, [str(error)]
    return config, []


def _remarks(found: Canonical, config: ViTConfig | None) -> list[str]:
    remarks = []
    types = Counter(spec.dtype for spec in found.checkpoint.specs.values())
    if set(types) != {"float32"}:
        remarks.append("types: " + ", ".join(f"{n} tensors of {t}" for t, n in types.items()))
    if found.prefix:
        remarks.append(f"all names start with {found.prefix!r}")
    if found.skipped:
        remarks.append(
            f"{len(found.skipped)} tensors are not of the model: {', '.join(found.skipped[:4])}"
        )
    return remarks + (_unusual(config) if config else [])


def _unusual(config: ViTConfig) -> list[str]:
    """What differs from an ordinary ViT, in words."""
    unusual = {
        "no class token": not config.class_token,
        "the image is not square": config.image_size[0] != config.image_size[1],
        "the patch is not square": config.patch_size[0] != config.patch_size[1],
        f"a tanh layer of {config.representation_size} before the head": config.representation_size,
        "no head: the model returns its representation": not config.num_classes,
        "a distillation token with a head of its own": config.distillation_token,
        f"{config.register_tokens} register tokens": config.register_tokens,
        "LayerScale": config.layer_scale is not None,
        "QK-norm": config.qk_norm,
        f"a ResNet stem of {config.resnet_stages} units": config.resnet_stages is not None,
        f"positions: {config.position}": config.position != "learned",
        "the final norm comes after the pool": config.norm_after_pool,
        f"heads of {config.head_dim} channels": config.head_dim != 64,
        f"epsilon of the norms: {config.norm_epsilon:g}": config.norm_epsilon != 1e-6,
    }
    return [remark for remark, holds in unusual.items() if holds]


def _groups(specs: dict[str, Spec]) -> list[Group]:
    def pattern(name: str) -> str:
        # Counters of blocks and stages, not the numbers of layers within them.
        return re.sub(r"(?<=[._/])\d+(?=[./])|(?<=encoderblock_)\d+", "*", name)

    groups = []
    ordered = sorted(specs, key=pattern)
    for name, members in itertools.groupby(ordered, key=pattern):
        members = list(members)
        first = specs[members[0]]
        size = sum(specs[member].size for member in members)
        groups.append(Group(name, len(members), first.shape, first.dtype, size))
    return groups
