# SPDX-License-Identifier: MIT
"""What a Vision Transformer is, as data.

Sizes are those of arXiv 2010.11929 (B, L, H), 2106.04560 (the others) and 2305.13035 (So400m);
hybrids are those of arXiv 2106.10270. Standard library only: the command line lists and counts
models without Keras.
"""

import dataclasses
import math
import re
from typing import Any, Self

from keras_vit.errors import UserError, unknown
from keras_vit.untrusted import limits, schema
from keras_vit.untrusted.fields import check_fields

# name: width, depth, MLP width, heads.
VARIANTS: dict[str, tuple[int, int, int, int]] = {
    "mu": (32, 1, 128, 2),
    "Ti": (192, 12, 768, 3),
    "S": (384, 12, 1536, 6),
    "M": (512, 12, 2048, 8),
    "B": (768, 12, 3072, 12),
    "L": (1024, 24, 4096, 16),
    "So400m": (1152, 27, 4304, 16),
    "H": (1280, 32, 5120, 16),
    "g": (1408, 40, 6144, 16),
    "g-opt": (1536, 40, 6144, 16),
    "G": (1664, 48, 8192, 16),
    "G-opt": (1536, 48, 8192, 16),
    "e": (1792, 56, 15360, 16),
}

# name: variant, units in each ResNet stage, patch size on the stem's feature map.
# "R+Ti/16" is called /16 where it was published, although its stem (4) and patches (8) divide by
# 32.
HYBRIDS: dict[str, tuple[str, tuple[int, ...], int]] = {
    "R+Ti/16": ("Ti", (), 8),
    "R26+S/32": ("S", (2, 2, 2, 2), 1),
    "R26+B/32": ("B", (2, 2, 2, 2), 1),
    "R50+B/16": ("B", (3, 4, 9), 1),
    "R50+L/32": ("L", (3, 4, 6, 3), 1),
}

_CHOICES = {
    "position": ("learned", "sincos2d", "none"),
    "pool": ("token", "average", "map"),
    "gelu": ("exact", "tanh"),
    "resnet_form": ("flax", "timm"),
}
_RATE = (0, 0.99)
# What a model may have: several times what any published one has, and still no more than can be
# counted in a moment.
_BOUNDS = {
    "image_size": (1, limits.MODEL_SIDE),
    "channels": (1, 4096),
    "num_classes": (0, limits.CLASSES),
    "patch_size": (1, limits.MODEL_SIDE),
    "width": (1, 65_536),
    "depth": (1, 1000),
    "mlp_dim": (1, 10**6),
    "num_heads": (1, 65_536),
    "register_tokens": (0, 10_000),
    "representation_size": (0, 10**6),
    "head_bias": (-1e4, 1e4),
    "dropout": _RATE,
    "attention_dropout": _RATE,
    "stochastic_depth": _RATE,
    "layer_scale": (0, 1e4),
    "norm_epsilon": (1e-12, 1),
    "resnet_stages": (1, 1000),
    "resnet_width": (1, 65_536),
    "pixel_mean": (-1e6, 1e6),
    "pixel_std": (1e-9, 1e6),
}


@dataclasses.dataclass(frozen=True)
class ViTConfig:
    """Everything that decides a Vision Transformer's graph and variables.

    Attributes:
        image_size: height and width of the input in pixels; one number means a square.
        channels: colour channels of the input.
        num_classes: outputs of the head; 0 leaves the head off, and the model returns its
            representation.
        patch_size: height and width of a patch, in pixels, or in cells of the stem's feature map.
        width: size of a token (D of the paper).
        depth: number of Transformer blocks (L).
        mlp_dim: size of the hidden layer of the MLP.
        num_heads: attention heads; they divide the width.
        class_token: whether a learnable [CLS] token is put before the patches.
        class_token_in_positions: whether the position table has a row for it (the paper's form).
            Without, it is added after the positions (big_vision's form). Only "learned" positions
            have a table.
        distillation_token: whether a second learnable token with a head of its own follows the
            class token; the model's logits are the mean of both heads (DeiT, arXiv 2012.12877).
        register_tokens: learnable tokens between the class token and the patches (arXiv
            2309.16588).
        register_tokens_in_positions: whether the position table has rows for them as well; it then
            has one for the class token too.
        position: "learned", "sincos2d" (fixed, the form of MoCo v3, arXiv 2104.02057) or "none".
        pool: what becomes the representation: the class "token", the "average" of the patch tokens,
            or "map", attention from a learnable probe (arXiv 2106.04560, section 3.2).
        pool_includes_prefix: whether "average" and "map" read the tokens before the patches as
            well (timm's `pool_include_prefix`); False where there are none.
        norm_after_pool: applies the final LayerNorm to the average and not to each token
            ("fc_norm").
        representation_size: size of the tanh layer before the head ("pre_logits"); 0 leaves it
            off.
        head_bias: what the bias of the head starts from, None for no bias. The kernel starts from
            zero.
        dropout: rate after the position embedding, the attention and both layers of the MLP, 0 to
            1.
        attention_dropout: rate on the attention weights, 0 to 1.
        stochastic_depth: rate of dropping a residual branch of the last block; linear from 0 at the
            first block (arXiv 1603.09382).
        layer_scale: start of the per-channel scale of each residual branch (arXiv 2103.17239), or
            None.
        qk_norm: normalises queries and keys per head (arXiv 2302.05442).
        gelu: "exact" (erf) or "tanh", the approximation that Google's checkpoints were trained
            with.
        norm_epsilon: epsilon of every LayerNorm.
        resnet_stages: units in each stage of a ResNet stem, None for no stem, () for its root
            alone.
        resnet_width: channels of the stem's root.
        resnet_form: whose constants the stem computes with, "flax" or "timm" (see `ResNetStem`).
        pixel_mean: what is subtracted from pixels / 255, one number or one for each channel.
        pixel_std: what divides them after that.
    """

    image_size: tuple[int, int] = (224, 224)
    channels: int = 3
    num_classes: int = 1000
    patch_size: tuple[int, int] = (16, 16)
    width: int = 768
    depth: int = 12
    mlp_dim: int = 3072
    num_heads: int = 12
    class_token: bool = True
    class_token_in_positions: bool = True
    distillation_token: bool = False
    register_tokens: int = 0
    register_tokens_in_positions: bool = False
    position: str = "learned"
    pool: str = "token"
    pool_includes_prefix: bool = False
    norm_after_pool: bool = False
    representation_size: int = 0
    head_bias: float | None = 0.0
    dropout: float = 0.0
    attention_dropout: float = 0.0
    stochastic_depth: float = 0.0
    layer_scale: float | None = None
    qk_norm: bool = False
    gelu: str = "exact"
    norm_epsilon: float = 1e-6
    resnet_stages: tuple[int, ...] | None = None
    resnet_width: int = 64
    resnet_form: str = "flax"
    pixel_mean: tuple[float, ...] = (0.5,)
    pixel_std: tuple[float, ...] = (0.5,)

    def __post_init__(self) -> None:
        for name in ("image_size", "patch_size"):
            object.__setattr__(self, name, pair(name, getattr(self, name)))
        for name in ("pixel_mean", "pixel_std"):
            value = getattr(self, name)
            object.__setattr__(self, name, (value,) if isinstance(value, int | float) else value)
        check_fields(self, _BOUNDS, _CHOICES)
        for name in ("pixel_mean", "pixel_std"):
            # One number stands for equal channels, so that equal models have equal configurations.
            value = getattr(self, name)
            object.__setattr__(self, name, value[:1] if len(set(value)) == 1 else value)
        if not self.num_prefix_tokens:  # equal models have equal configurations
            object.__setattr__(self, "pool_includes_prefix", False)
        self._check()

    @classmethod
    def of(cls, name: str, **changes: Any) -> Self:
        """Makes the configuration of a published size.

        Args:
            name: `"S/16"`: a key of `VARIANTS` and a patch size; or a key of `HYBRIDS`.
            **changes: fields to set, e.g. `image_size=384, num_classes=10`.

        Raises:
            UserError: for a name or a field that does not exist, with the nearest ones that do.
        """
        known = [field.name for field in dataclasses.fields(cls)]
        for change in changes:
            if change not in known:
                raise unknown("field of ViTConfig", change, known)
        return cls(**{**_sizes(name), **changes})

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """The inverse of `dataclasses.asdict`, through JSON too (lists become tuples)."""
        known = [field.name for field in dataclasses.fields(cls)]
        for name in values:
            if name not in known:
                raise unknown("field of ViTConfig", name, known)
        return cls(**values)

    @property
    def stem_stride(self) -> int:
        """How many pixels one cell of the stem's feature map stands for, on a side."""
        return 1 if self.resnet_stages is None else 4 * 2 ** max(0, len(self.resnet_stages) - 1)

    @property
    def stem_channels(self) -> int:
        """Channels that reach the patches."""
        if self.resnet_stages is None:
            return self.channels
        if not self.resnet_stages:
            return self.resnet_width
        return 4 * self.resnet_width * 2 ** (len(self.resnet_stages) - 1)

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of patches."""
        return tuple(
            size // (self.stem_stride * patch)
            for size, patch in zip(self.image_size, self.patch_size, strict=True)
        )

    @property
    def num_patches(self) -> int:
        """N of the paper."""
        return self.grid[0] * self.grid[1]

    @property
    def patch_pixels(self) -> int:
        """Numbers in one flattened patch (P * P * C of the paper)."""
        return self.patch_size[0] * self.patch_size[1] * self.stem_channels

    @property
    def num_prefix_tokens(self) -> int:
        """Tokens before the patches: class token, distillation token, registers."""
        return int(self.class_token) + int(self.distillation_token) + self.register_tokens

    @property
    def num_prefix_positions(self) -> int:
        """Rows of a learned position table that belong to tokens before the patches."""
        if self.position != "learned" or not self.class_token_in_positions:
            return 0
        registers = self.register_tokens if self.register_tokens_in_positions else 0
        return int(self.class_token) + int(self.distillation_token) + registers

    @property
    def pooled_from(self) -> int:
        """The first token that an "average" or "map" pool reads."""
        return 0 if self.pool_includes_prefix else self.num_prefix_tokens

    @property
    def num_tokens(self) -> int:
        """Length of the sequence that the Transformer sees."""
        return self.num_prefix_tokens + self.num_patches

    @property
    def head_dim(self) -> int:
        """Size of a query, key or value of one head."""
        return self.width // self.num_heads

    @property
    def stochastic_depth_rates(self) -> tuple[float, ...]:
        """The rate of each block, from 0 at the first to `stochastic_depth` at the last."""
        last = max(1, self.depth - 1)
        return tuple(self.stochastic_depth * (i / last) for i in range(self.depth))

    @property
    def num_parameters(self) -> int:
        """Number of weights, in closed form."""
        d, m = self.width, self.mlp_dim
        attention = 4 * (d * d + d)
        mlp = 2 * d * m + m + d
        norm = 2 * d
        block = 2 * norm + attention + mlp
        block += 2 * d if self.layer_scale is not None else 0
        block += 2 * 2 * self.head_dim if self.qk_norm else 0

        total = self._stem_parameters()
        total += self.patch_pixels * d + d + self.num_prefix_tokens * d
        if self.position == "learned":
            total += (self.num_patches + self.num_prefix_positions) * d
        total += self.depth * block + norm
        if self.pool == "map":
            total += d + attention + norm + mlp
        features = d
        if self.representation_size:
            total += d * self.representation_size + self.representation_size
            features = self.representation_size
        if self.num_classes:
            head = features * self.num_classes
            head += self.num_classes if self.head_bias is not None else 0
            total += head * (2 if self.distillation_token else 1)
        return total

    def forward_flops(self, visible: int | None = None) -> int:
        """Floating-point operations of one image's forward pass, in closed form.

        A multiplication and its addition count as 2. Counted are products of matrices and
        convolutions: projection of the patches, attention, MLPs, pooling, head, stem. Norms,
        activations, softmax and biases, about 1 % of a B/16, are not.

        Args:
            visible: patches that the blocks see; None for all.
        """
        patches = self.num_patches if visible is None else visible
        n, d, m = self.num_prefix_tokens + patches, self.width, self.mlp_dim
        block = 4 * n * d * d + 2 * n * n * d + 2 * n * d * m  # projections, scores, values, MLP
        total = self._stem_multiply_adds() + self.num_patches * self.patch_pixels * d
        total += self.depth * block
        if self.pool == "map":  # one query
            read = n - self.pooled_from
            total += 2 * read * d * d + 2 * d * d + 2 * read * d + 2 * d * m
        total += d * self.representation_size
        heads = 2 if self.distillation_token else 1
        total += heads * (self.representation_size or d) * self.num_classes
        return 2 * total

    def _stem_multiply_adds(self) -> int:
        if self.resnet_stages is None:
            return 0
        half = [math.ceil(side / 2) for side in self.image_size]
        total = math.prod(half) * 7 * 7 * self.channels * self.resnet_width
        sides = [math.ceil(side / 2) for side in half]  # after the pooling
        incoming = self.resnet_width
        for stage, units in enumerate(self.resnet_stages):
            inner = self.resnet_width * 2**stage
            outgoing = 4 * inner
            for unit in range(units):
                before = math.prod(sides)
                if unit == 0 and stage > 0:
                    sides = [math.ceil(side / 2) for side in sides]
                after = math.prod(sides)
                total += before * incoming * inner + after * (9 * inner * inner + inner * outgoing)
                total += after * incoming * outgoing if unit == 0 else 0
                incoming = outgoing
        return total

    def _stem_parameters(self) -> int:
        if self.resnet_stages is None:
            return 0
        total = 7 * 7 * self.channels * self.resnet_width + 2 * self.resnet_width
        incoming = self.resnet_width
        for stage, units in enumerate(self.resnet_stages):
            inner = self.resnet_width * 2**stage
            outgoing = 4 * inner
            for unit in range(units):
                total += (
                    incoming * inner + 9 * inner * inner + inner * outgoing
                )  # three convolutions
                total += 2 * (inner + inner + outgoing)  # their GroupNorms
                if unit == 0:
                    total += incoming * outgoing + 2 * outgoing  # projection of the shortcut
                incoming = outgoing
        return total

    def _check(self) -> None:
        if len(self.resnet_stages or ()) > 8:
            raise UserError(
                f"resnet_stages: expected at most 8 stages, received {len(self.resnet_stages)}."
            )
        if self.width % self.num_heads:
            raise UserError(
                f"num_heads: expected a divisor of width={self.width}, received {self.num_heads}. "
                f"Try num_heads={_nearest_divisor(self.width, self.num_heads)}."
            )
        if self.position == "sincos2d" and (self.width % 4 or self.width < 8):
            raise UserError(
                "width: sincos2d positions need a multiple of 4 that is at least 8, "
                f"received {self.width}."
            )
        if self.distillation_token and (self.pool != "token" or self.representation_size):
            raise UserError(
                "distillation_token=True goes with pool='token' and representation_size=0, "
                f"received pool={self.pool!r} and representation_size={self.representation_size}."
            )
        if self.register_tokens_in_positions and not self.class_token_in_positions:
            raise UserError(
                "register_tokens_in_positions=True goes with class_token_in_positions=True."
            )
        if self.pool == "token" and not self.class_token:
            raise UserError(
                "pool='token' reads the class token, but class_token=False. "
                "Set class_token=True, or pool='average' or 'map'."
            )
        if self.pool_includes_prefix and self.pool == "token":
            raise UserError(
                "pool_includes_prefix=True goes with pool='average' or 'map', received 'token'."
            )
        if self.norm_after_pool and self.pool != "average":
            raise UserError(
                f"norm_after_pool=True goes with pool='average', received {self.pool!r}."
            )
        for side, size, patch in zip(
            ("height", "width"), self.image_size, self.patch_size, strict=True
        ):
            step = self.stem_stride * patch
            if size % step:
                lower, upper = size // step * step, (size // step + 1) * step
                near = f"{lower} or {upper}" if lower else f"{upper}"
                raise UserError(
                    f"image_size: expected a {side} that is a multiple of {step} pixels "
                    f"(one patch), received {size}. Try {near}."
                )
        for name in ("pixel_mean", "pixel_std"):
            if len(getattr(self, name)) not in (1, self.channels):
                raise UserError(
                    f"{name}: expected 1 number or one for each of {self.channels} channels, "
                    f"received {getattr(self, name)}."
                )


def variant_names() -> list[str]:
    """Published sizes at their published patch sizes, small to large, then the hybrids."""
    small = "mu/16 Ti/16 S/32 S/16 M/16 B/32 B/16 B/8 L/32 L/16"
    large = "So400m/14 H/14 g/14 g-opt/14 G/14 G-opt/14 e/14"
    return [*small.split(), *large.split(), *HYBRIDS]


def _sizes(name: str) -> dict[str, Any]:
    stages, patch = None, None
    if name in HYBRIDS:
        variant, stages, patch = HYBRIDS[name]
    else:
        match = re.fullmatch(r"([^/+]+)/([1-9]\d*)", name)
        variant = match[1] if match else None
        patch = int(match[2]) if match else None
    if variant not in VARIANTS:
        hint = "`keras-vit list models`; any patch size goes with any size, as in S/8"
        raise unknown("model", name, variant_names(), hint)
    width, depth, mlp_dim, num_heads = VARIANTS[variant]
    return {
        "width": width,
        "depth": depth,
        "mlp_dim": mlp_dim,
        "num_heads": num_heads,
        "patch_size": patch,
        "resnet_stages": stages,
    }


def pair(name: str, value: Any) -> tuple[int, int]:
    """One whole number above 0 twice, or two as they are; a `UserError` for anything else."""
    pair = tuple(value) if isinstance(value, list | tuple) else (value, value)
    if len(pair) != 2 or not all(isinstance(v, int) and v > 0 for v in pair):
        raise UserError(
            f"{name}: expected a whole number above 0 or two of them (height, width), "
            f"received {schema.shown(value)}."
        )
    return pair


def _nearest_divisor(number: int, wanted: int) -> int:
    return min((d for d in range(1, number + 1) if number % d == 0), key=lambda d: abs(d - wanted))
