# SPDX-License-Identifier: MIT
"""What a checkpoint is, told from its header alone: no Keras, and no numbers read."""

import dataclasses
import itertools
import math
import os
import re
from collections import Counter
from typing import Any

from keras_vit.config import ViTConfig
from keras_vit.config.variables import shapes
from keras_vit.errors import UserError
from keras_vit.origins import Origin
from keras_vit.weights.formats import Spec
from keras_vit.weights.options import LoadOptions
from keras_vit.weights.source import Source, opened


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
        dialect: what its names are, e.g. "timm".
        config: the inferred configuration, None where something must be given.
        parameters: weights of the model; without a configuration, numbers in the file.
        groups: the tensors of the file.
        remarks: what is unusual, most important first.
        origins: weights that these were made of, with their licences, where the file says it.
    """

    path: str
    dialect: str
    config: ViTConfig | None
    parameters: int
    groups: tuple[Group, ...]
    remarks: tuple[str, ...]
    origins: tuple[Origin, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return dataclasses.asdict(self)


def inspect(path: str | os.PathLike, **options: Any) -> Inspection:
    """Tells what a checkpoint is; reads headers only, so that its size does not matter.

    Args:
        path: as in `load_model`, or a run folder. Keras is imported for a `.keras` file and for a
            KerasHub preset alone.
        **options: those of `LoadOptions`.

    Raises:
        UserError: for a file that is unsound or of no known dialect.
    """
    source = opened(path, LoadOptions.of(**options))
    config, remarks = _configuration(source)
    remarks += _remarks(source, config)
    if config:
        parameters = sum(math.prod(shape) for shape in shapes(config).values())
    else:
        parameters = sum(spec.size for spec in source.checkpoint.specs.values())
    groups = tuple(_groups(source.whole.specs))
    dialect, origins = source.dialect, source.origins
    return Inspection(str(path), dialect, config, parameters, groups, tuple(remarks), origins)


def _configuration(source: Source) -> tuple[ViTConfig | None, list[str]]:
    """The configuration, or the reason that there is none."""
    try:
        source.check()
    except UserError as error:
        return None, [str(error)]
    return source.config, []


def _remarks(source: Source, config: ViTConfig | None) -> list[str]:
    remarks = []
    types = Counter(spec.dtype for spec in source.checkpoint.specs.values())
    if set(types) != {"float32"}:
        remarks.append("types: " + ", ".join(f"{n} tensors of {t}" for t, n in types.items()))
    if source.prefix:
        remarks.append(f"all names start with {source.prefix!r}")
    if source.skipped:
        remarks.append(
            f"{len(source.skipped)} tensors are not of the model: {', '.join(source.skipped[:4])}"
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
        found = [specs[member] for member in members]
        size = sum(spec.size for spec in found)
        groups.append(Group(name, len(found), found[0].shape, found[0].dtype, size))
    return groups
