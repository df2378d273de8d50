# SPDX-License-Identifier: MIT
"""The `config.json` next to a file, where its family is not that of the tensors.

It is not read: no family can say what the tensors of another mean. A repository may well hold one
model in the names of two libraries, with one `config.json`; a folder of downloads may hold two
models. What both would say is compared, so that neither is taken for the other in silence.
"""

import logging
from typing import Any

from keras_vit.config import ViTConfig
from keras_vit.errors import UserError
from keras_vit.weights.adapter import Adapter
from keras_vit.weights.config_files import Facts
from keras_vit.weights.options import LoadOptions

_log = logging.getLogger(__name__)
# Not the epsilon of the norms: libraries have the same model with different ones.
_COMPARED = ("width", "depth", "mlp_dim", "num_heads", "activation")


def check_same_library(describer: Adapter, adapter: Adapter, source: str) -> None:
    """Refuses tensors of one family next to a `config.json` of another family of the same library,
    which names the tensors.

    Args:
        describer: the family that wrote the `config.json`.
        adapter: that of the tensors.
        source: what to call the file of tensors.
    """
    if describer.reference is not None and describer.reference == adapter.reference:
        raise UserError(
            f"{source}: the tensors have names of {adapter.name}, and the config.json next to them "
            f"is of {describer.name}, of the same library. {_REMEDY}"
        )


def check_neighbour(
    config: ViTConfig, described: Facts, names: tuple[str, str], options: LoadOptions, source: str
) -> None:
    """Compares a model with what the `config.json` of another family next to it says.

    Args:
        config: of the tensors.
        described: what that family reads of its `config.json`.
        names: of the family of the tensors, and of the other one.
        options: what the caller said, which needs no second opinion.
        source: what to call the file of tensors.

    Raises:
        UserError: where the two cannot be of one model.
    """
    told = options.told()
    expected = {**_of_architecture(described, config), **described}
    for field in _COMPARED:
        value = expected.get(field)
        if value is not None and field not in told and value != getattr(config, field):
            raise UserError(
                f"{source}: the tensors, with names of {names[0]}, have "
                f"{field}={getattr(config, field)!r}, but the config.json next to them, of "
                f"{names[1]}, says {value!r}. {_REMEDY}"
            )
    _log.warning(
        "%s: the tensors have names of %s; the config.json next to them is of %s, and is not read.",
        source,
        *names,
    )


_REMEDY = (
    "One of them belongs to another model: give each a folder of its own, or take the config.json "
    "away."
)


def _of_architecture(described: Facts, config: ViTConfig) -> dict[str, Any]:
    """What the name of an architecture tells, whose heads belong to its width; where arguments
    change the width, they tell the heads as well."""
    usual, width = described.get("heads_of_width", (None, None))
    if width == config.width:
        return {"num_heads": usual}
    return {} if "num_heads" in described else {"width": width}
