# SPDX-License-Identifier: MIT
"""google-research/big_vision: the Transformer of the official files, other positions and pools."""

from collections.abc import Collection

from keras_vit.config import ViTConfig
from keras_vit.weights.adapter import Adapter
from keras_vit.weights.adapters.flax import TRANSFORMER, Flax, attention, mlp
from keras_vit.weights.table import Rule, flax_norm, renamed, row

_RULES: tuple[Rule, ...] = (
    *TRANSFORMER,
    row("patch_encoder/position_embedding", "pos_embedding"),
    row("pool/probe", "MAPHead_0/probe"),
    *attention("pool/attention", "MAPHead_0"),
    *flax_norm("pool/mlp_norm", "MAPHead_0/LayerNorm_0"),
    *mlp("pool/mlp", "MAPHead_0"),
)


class BigVision(Flax):
    """Positions before the class token, or fixed; attention pooling; blocks that can be stacked.

    Where a file is neither of this nor of that, it is of here: the official files say what they
    are (see `Flax.recognise`).
    """

    name = "big_vision"
    dialects = {
        "big_vision": _RULES,
        "big_vision_scan": renamed(_RULES, ("encoderblock_{block}", "encoderblock")),
    }
    cannot = {
        **{what: test for what, test in Flax.cannot.items() if what != "attention pooling"},
        "a ResNet stem": lambda c: c.resnet_stages is not None,
    }
    tableless = ("sincos2d",)

    def recognise(self, names: Collection[str]) -> str | None:
        return Adapter.recognise(self, names)

    def dialect_of(self, names: Collection[str]) -> str:
        stacked = any(name.startswith("Transformer/encoderblock/") for name in names)
        return "big_vision_scan" if stacked else "big_vision"

    def written_name(self, name: str, config: ViTConfig) -> str:
        return f"params/{name}"

    def rows_for(self, config: ViTConfig) -> tuple[bool, bool]:
        return False, False
