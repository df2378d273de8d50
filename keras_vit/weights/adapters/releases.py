# SPDX-License-Identifier: MIT
"""The files that DINOv2, DINOv3 and MAE were released in: names like timm's, and tensors alone.

What these do not say is in their own code, where it is fixed, but for the heads, which follow from
the published sizes. The files are read, not written.
"""

import logging
from collections.abc import Collection, Mapping
from typing import Any, ClassVar

import numpy as np

from keras_vit.config import ViTConfig
from keras_vit.errors import UserError
from keras_vit.weights.adapter import Adapter
from keras_vit.weights.adapters.dino_tables import (
    ATTENTION,
    BLOCK,
    ENCODER,
    MLP,
    QKV,
    gated_mlp,
    plain_mlp,
    registers,
)
from keras_vit.weights.binding import Binding, bind
from keras_vit.weights.config_files import Facts
from keras_vit.weights.formats import Checkpoint
from keras_vit.weights.infer import Tensors, check_told, heads
from keras_vit.weights.resample import Resampling
from keras_vit.weights.table import (
    Rule,
    torch_dense,
    torch_heads_in,
)

_PLAIN = plain_mlp(f"{BLOCK}.mlp.fc1", f"{BLOCK}.mlp.fc2")
_JOINED = gated_mlp(f"{BLOCK}.mlp.w12", f"{BLOCK}.mlp.w3")
_APART = (
    *torch_dense(f"{MLP}/gate", f"{BLOCK}.mlp.w1"),
    *torch_dense(f"{MLP}/hidden", f"{BLOCK}.mlp.w2"),
    *torch_dense(f"{MLP}/output_projection", f"{BLOCK}.mlp.w3"),
)
_MLP_NAMES = (
    tuple(f"blocks.{i}.mlp.{layer}.weight" for i in ("0", "0.0") for layer in ("fc2", "w3")),
)
_BASE = 100.0  # of DINOv3's periods
_log = logging.getLogger(__name__)


class Release(Adapter):
    """What the three have in common.

    Attributes:
        needs: names that tell the files from others with timm's names, each with those that can
            stand in its place.
        head_counts: heads of the published sizes, by width and depth.
        epsilon: of the norms in their code.
        gated: the table of a gated MLP.
    """

    needs: tuple[tuple[str, ...], ...]
    head_counts: ClassVar[Mapping[tuple[int, int], int]] = {}
    epsilon = 1e-6
    gated: tuple[Rule, ...] = _JOINED
    prefixes = ("", "module.", "backbone.", "teacher.backbone.", "student.backbone.")
    # Parts of the training; blocks in chunks, which are counted on.
    beside: tuple[str, ...] = (
        *("*mask_token", "*local_cls_norm.*", "*dino_head.*", "*ibot_head.*", "projectors.*"),
    )
    older = ((r"blocks\.\d+\.(\d+\..*)", r"blocks.\1"),)

    def recognise(self, names: Collection[str]) -> str | None:
        for prefix in self.prefixes:
            if all(any(prefix + name in names for name in either) for either in self.needs):
                return prefix
        return None

    def unnamed(self, tensors: Tensors, facts: Facts) -> Facts:
        size = tensors.shape("cls_token", 3)[2], tensors.count(r"blocks\.(\d+)\.")
        found = {"norm_epsilon": self.epsilon, "activation": "gelu"}
        if size in self.head_counts:
            found["num_heads"] = self.head_counts[size]
        if _is_gated(tensors):
            found["activation"] = "silu"
        check_told(tensors, found | facts, ("num_heads",))
        return found

    def fields(self, tensors: Tensors, facts: Facts) -> dict[str, Any]:
        width, channels, *patch_size = tensors.shape("patch_embed.proj.weight", 4)
        gated = _is_gated(tensors)
        last = f"blocks.0.mlp.{'w3' if gated else 'fc2'}.weight"
        rows = tensors.shape("pos_embed", 3)[1] if "pos_embed" in tensors else None
        return {
            "channels": channels,
            "patch_size": tuple(patch_size),
            "width": width,
            "depth": tensors.count(r"blocks\.(\d+)\."),
            "mlp_dim": tensors.shape(last, 2)[1],
            "num_heads": heads(width, None, facts, tensors.source),
            "num_classes": 0,
            "gated_mlp": gated,
            "layer_scale": 1e-5 if "blocks.0.ls1.gamma" in tensors else None,
            "qkv_bias": "all" if "blocks.0.attn.qkv.bias" in tensors else "none",
            "position_rows": rows,
            "prefix_tokens": 1,
        }

    def bind(self, dialect: str, config: ViTConfig) -> list[Binding]:
        rules = (*self.dialects[dialect], *(self.gated if config.gated_mlp else _PLAIN))
        return bind(dialect, rules, config, {})


class Dinov2Release(Release):
    """DINOv2 (arXiv 2304.07193), with and without registers, in chunks or not."""

    name = "dinov2_release"
    dialects = {
        name: (registers("register_tokens"), *ENCODER),
    }
    landmarks = ("blocks.0.ls1.gamma",)
    needs = (
        ("mask_token",),
        ("pos_embed",),
        ("blocks.0.ls1.gamma", "blocks.0.0.ls1.gamma"),
        *_MLP_NAMES,
    )
    head_counts = {(384, 12): 6, (768, 12): 12, (1024, 24): 16, (1536, 40): 24}

    def fields(self, tensors: Tensors, facts: Facts) -> dict[str, Any]:
        name = "register_tokens"
        registers = tensors.shape(name, 3)[1] if name in tensors else 0
        return {**super().fields(tensors, facts), "register_tokens": registers}

    def resampling_of(self, config: ViTConfig) -> Resampling:
        # Their code adds 0.1 to the sides of the grid that it asks for, and does not filter; for
        # the models with registers it does neither the one nor the other.
        return Resampling("bicubic_antialias" if config.register_tokens else "bicubic_dinov2")


class MaeRelease(Release):
    """MAE (arXiv 2111.06377) with its decoder, which is left out.

    The files of the encoder alone have timm's names and no others: they are timm's.
    """

    name = "mae_release"
    dialects = {name: ENCODER}
    landmarks = ("decoder_embed.weight",)
    needs = (("decoder_embed.weight",), ("pos_embed",), ("blocks.0.mlp.fc2.weight",))
    head_counts = {(768, 12): 12, (1024, 24): 16, (1280, 32): 16}
    beside = ("*mask_token", "*decoder_*")
    resampling = Resampling("bicubic")


class Dinov3Release(Release):
    """DINOv3 (arXiv 2508.10104)."""

    name = "dinov3_release"
    dialects = {
        name: (
            registers("storage_tokens"),
            *torch_heads_in(ATTENTION, ("query", "key", "value"), f"{BLOCK}.attn.qkv")[:1],
            *(torch_heads_in(ATTENTION, (part,), f"{BLOCK}.attn.{part}")[1] for part in QKV),
            *ENCODER,
        ),
    }
    landmarks = ("rope_embed.periods",)
    needs = (("rope_embed.periods",), ("cls_token",), *_MLP_NAMES)
    epsilon = 1e-5
    gated = _APART

    def unnamed(self, tensors: Tensors, facts: Facts) -> Facts:
        # A period for each pair of channels and each of the two coordinates.
        width, pairs = tensors.shape("cls_token", 3)[2], tensors.shape("rope_embed.periods", 1)[0]
        if width % (4 * pairs):
            raise UserError(
                f"{tensors.source}: {pairs} periods make heads of {4 * pairs} channels, which do "
                f"not divide a width of {width}."
            )
        return super().unnamed(tensors, {**facts, "num_heads": width // (4 * pairs)}) | {
            "num_heads": width // (4 * pairs)
        }

    def fields(self, tensors: Tensors, facts: Facts) -> dict[str, Any]:
        name = "storage_tokens"
        found = super().fields(tensors, facts)
        if "blocks.0.attn.qkv.bias_mask" in tensors:
            found["qkv_bias"] = "query_value"
        return {
            **found,
            "register_tokens": tensors.shape(name, 3)[1] if name in tensors else 0,
            "position": "none",
            "rotary": "dinov3",
            "rotary_temperature": _BASE,
        }

    def computed(self, checkpoint: Checkpoint, config: ViTConfig, facts: Facts) -> Checkpoint:
        """Biases of queries and values of a joined tensor, where a mask hides those of the keys."""
        own = {"rope_embed.periods"}
        made = {}
        for block in range(config.depth):
            joined = f"blocks.{block}.attn.qkv.bias"
            own |= {joined, f"{joined}_mask"}
            for place, part in enumerate(QKV):
                if part != "key" or config.qkv_bias == "all":
                    made[f"blocks.{block}.attn.{part}.bias"] = (
                        (config.width,),
                        _part_of(checkpoint, joined, place),
                    )
        if config.qkv_bias == "none":
            made = {}
        _check_periods(checkpoint)
        kept = checkpoint.renamed({name: name for name in checkpoint if name not in own})
        return kept.with_computed(made)


def _part_of(checkpoint: Checkpoint, joined: str, place: int):
    def read() -> np.ndarray:
        bias = np.split(checkpoint[joined], 3)[place]
        mask = f"{joined}_mask"
        return bias * np.split(checkpoint[mask], 3)[place] if mask in checkpoint else bias

    return read


def _check_periods(checkpoint: Checkpoint) -> None:
    """Checks that the periods are those that the model here makes of their base."""
    found = checkpoint["rope_embed.periods"].astype(np.float64)
    expected = _BASE ** (np.arange(len(found)) / len(found))
    difference = np.abs(found / expected - 1).max()
    if not difference < 2**-8:  # half a bit of bfloat16, twice over
        raise UserError(
            f"{checkpoint.source}: rope_embed.periods: expected those of the base {_BASE:g}, "
            f"received {found[:4]}."
        )
    if difference > 1e-6:
        _log.warning(
            "%s: its periods are rounded to 8 bits; here, as in transformers and timm, they are "
            "not, and outputs differ a little from those of its own code.",
            checkpoint.source,
        )


def _is_gated(tensors: Tensors) -> bool:
    return "blocks.0.mlp.w3.weight" in tensors
