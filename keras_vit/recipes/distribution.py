# SPDX-License-Identifier: MIT
"""How a run is spread over devices, as a recipe says it."""

import dataclasses
import re

from keras_vit.errors import UserError

KINDS = ("none", "data", "model", "fsdp")


@dataclasses.dataclass(frozen=True)
class Distribution:
    """How a run is spread over devices.

    Attributes:
        kind: "none" computes on one device. "data" gives each device a part of each batch, and all
            weights. "fsdp" does so too, and each device keeps a part of the weights and of the
            optimizer (ZeRO, arXiv 1910.02054, stage 3). "model" divides the heads and the hidden
            units of each block (arXiv 1909.08053, section 3).
        shards: devices that share one model with "model"; 1 with all others.
    """

    kind: str
    shards: int = 1

    @classmethod
    def of(cls, text: str) -> "Distribution":
        """Reads "none", "data", "fsdp" or "model(shards=N)".

        Raises:
            UserError: for anything else.
        """
        if text in ("none", "data", "fsdp"):
            return cls(text)
        match = re.fullmatch(r"model\(shards=(\d{1,5})\)", text)
        if match is None or int(match[1]) < 2:
            raise UserError(
                "distribution: expected none, data, fsdp or model(shards=N) with N of 2 or more, "
                f"received {text[:80]!r}."
            )
        return cls("model", int(match[1]))
