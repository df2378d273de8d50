# SPDX-License-Identifier: MIT
"""The families of checkpoints that are known, in the order in which a file is held up to them."""

import os
from collections.abc import Collection
from pathlib import Path
from typing import Any

from keras_vit.errors import UserError, unknown
from keras_vit.weights.adapter import Adapter
from keras_vit.weights.adapters.aimv2 import Aimv2
from keras_vit.weights.adapters.beit import Beit, Data2Vec
from keras_vit.weights.adapters.big_vision import BigVision
from keras_vit.weights.adapters.clip import ChineseClip, Clip, MetaClip2
from keras_vit.weights.adapters.dinov2 import Dinov2
from keras_vit.weights.adapters.dinov3 import Dinov3
from keras_vit.weights.adapters.flax import Flax
from keras_vit.weights.adapters.ijepa import IJepa
from keras_vit.weights.adapters.keras_file import KerasFile
from keras_vit.weights.adapters.keras_hub import KerasHub
from keras_vit.weights.adapters.open_clip import OpenClip
from keras_vit.weights.adapters.open_clip_timm import OpenClipTimm
from keras_vit.weights.adapters.pixio import Pixio
from keras_vit.weights.adapters.releases import Dinov2Release, Dinov3Release, MaeRelease
from keras_vit.weights.adapters.siglip import Siglip, Siglip2
from keras_vit.weights.adapters.timm import Timm
from keras_vit.weights.adapters.timm_flexible import TimmFlexible
from keras_vit.weights.adapters.tipsv2 import Tipsv2
from keras_vit.weights.adapters.transformers import Transformers
from keras_vit.weights.names import features_of

# The first that says yes is taken, so that a special family stands before a general one: big_vision
# takes every Transformer of Flax, timm every file with the names of a release and no others,
# transformers every `model_type`.
_ADAPTERS: list[Adapter] = [
    Flax(),
    BigVision(),
    TimmFlexible(),
    Dinov2Release(),
    Dinov3Release(),
    MaeRelease(),
    Tipsv2(),
    Timm(),
    OpenClip(),
    OpenClipTimm(),
    Clip(),
    MetaClip2(),
    ChineseClip(),
    Siglip(),
    Siglip2(),
    Dinov2(),
    Dinov3(),
    Beit(),
    Data2Vec(),
    IJepa(),
    Aimv2(),
    Pixio(),
    Transformers(),
    KerasHub(),
    KerasFile(),
]


def register(adapter: Adapter) -> None:
    """Makes a family of checkpoints known; it is asked before those that are.

    Args:
        adapter: an instance of a subclass of `Adapter`; see `keras_vit.weights.adapter`.

    Raises:
        UserError: for a dialect whose name is taken.
    """
    taken = [name for name in adapter.dialects if name in dialects()]
    if taken:
        raise UserError(f"the dialect {taken[0]!r} is known already. Give yours another name.")
    _ADAPTERS.insert(0, adapter)


def unregister(adapter: Adapter) -> None:
    """Undoes `register`."""
    _ADAPTERS.remove(adapter)


def dialects() -> tuple[str, ...]:
    """Every dialect that can be read."""
    return tuple(dialect for adapter in _ADAPTERS for dialect in adapter.dialects)


def written_dialects() -> tuple[str, ...]:
    """Every dialect that can be written, by `save`."""
    return tuple(name for adapter in _ADAPTERS if adapter.written_to for name in adapter.dialects)


def writers() -> tuple[Adapter, ...]:
    """Every family that can be written."""
    return tuple(adapter for adapter in _ADAPTERS if adapter.written_to)


def references() -> tuple[str, ...]:
    """The libraries that `certify` can run."""
    return tuple(dict.fromkeys(adapter.reference for adapter in _ADAPTERS if adapter.reference))


def writer_of(dialect: str) -> Adapter:
    """The family that a dialect is of, if it can be written."""
    if dialect not in written_dialects():
        raise unknown("dialect", dialect, written_dialects())
    return next(adapter for adapter in _ADAPTERS if dialect in adapter.dialects)


def writers_for(reference: str) -> tuple[Adapter, ...]:
    """The families in which a library reads models of ours; each can say other models."""
    if reference not in references():
        raise unknown("reference", reference, references())
    return tuple(a for a in _ADAPTERS if a.reference == reference and a.written_to)


def opener_of(path: Path) -> Adapter | None:
    """The family that reads a path itself; None for files of weights."""
    return next((adapter for adapter in _ADAPTERS if adapter.opens(path)), None)


def needs_keras(path: str | os.PathLike) -> bool:
    """Whether Keras has to be imported to read a path."""
    adapter = opener_of(Path(path))
    return adapter is not None and adapter.needs_keras


def describer_of(config: dict[str, Any]) -> Adapter | None:
    """The family that wrote a `config.json`."""
    return next((adapter for adapter in _ADAPTERS if adapter.describes(config)), None)


def recognised(
    source: str, names: Collection[str], described: Adapter | None = None
) -> tuple[Adapter, str]:
    """The family of a file, and what stands before the names of its model.

    Args:
        source: what to call the file in messages.
        names: of its tensors.
        described: the family that wrote the `config.json` next to it; it is asked first, since the
            names of another may be the same.

    Raises:
        UserError: when the names are of no known family.
    """
    present = set(names)
    for adapter in (described, *_ADAPTERS) if described else _ADAPTERS:
        prefix = adapter.recognise(present)
        if prefix is not None:
            return adapter, prefix
    features = features_of(present)
    seems = f" It seems to have {', '.join(features)}." if features else ""
    landmarks = sorted({name for adapter in _ADAPTERS for name in adapter.landmarks})
    raise UserError(
        f"{source}: not a Vision Transformer in a dialect that is known here.{seems} Expected "
        f"{' or '.join(landmarks)} among the names, "
        f"received {', '.join(sorted(present)[:6])}, ..."
    )
