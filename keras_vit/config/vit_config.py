# SPDX-License-Identifier: MIT
"""Everything that decides a Vision Transformer."""

import dataclasses
from typing import Any, Self

from keras_vit.config import costs
from keras_vit.config.checks import BOUNDS, CHOICES, check_together, pair
from keras_vit.config.variants import sizes_of
from keras_vit.errors import unknown
from keras_vit.untrusted.fields import check_fields


@dataclasses.dataclass(frozen=True)
class ViTConfig:
    """Everything that decides a Vision Transformer's graph and variables.

    Attributes:
        image_size: height and width of the input in pixels; one number means a square.
        channels: color channels of the input.
        num_classes: outputs of the head; 0 for no head, the model then returns its representation.
        patch_size: height and width of a patch, in pixels, or in cells of the stem's feature map.
        width: size of a token (D of the paper).
        depth: number of Transformer blocks (L).
        mlp_dim: size of the hidden layer of the MLP; of a gated one, after the product.
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
        patch_bias: whether the projection of the patches has a bias.
        patch_norm: whether projected patches are normalised, before their positions (AIMv2, arXiv
            2411.14402).
        embedding_norm: whether all tokens are normalised before the first block (CLIP, arXiv
            2103.00020).
        position: "learned", "sincos2d" (fixed, the form of MoCo v3, arXiv 2104.02057) or "none".
        rotary: positions that turn queries and keys of the patches (arXiv 2104.09864), with any
            `position`: "none", "axial" (EVA-02, arXiv 2303.11331), "dinov3" (arXiv 2508.10104) or
            "mixed", whose frequencies are learned (arXiv 2403.13298). See `RotaryEmbedding`.
        rotary_temperature: how much slower the slowest wave turns than the fastest.
        rotary_reference_grid: rows and columns that "axial" coordinates are scaled to; None for the
            grid at hand.
        rotary_offset: what is added to "axial" coordinates.
        relative_position_bias: whether a learnable number for each head and offset between two
            tokens is added to the scores (BEiT, arXiv 2106.08254; see `RelativePositionBias`).
        pool: what becomes the representation: the class "token", the "average" of the patch tokens,
            both side by side ("token_and_average", DINOv2's, arXiv 2304.07193), or "map", attention
            from a learnable probe (arXiv 2106.04560, section 3.2).
        pool_includes_prefix: whether "average" and "map" read the tokens before the patches as
            well (timm's `pool_include_prefix`); False where there are none.
        pool_heads: attention heads of "map" where they are not `num_heads`; else 0.
        pool_mlp_dim: size of the hidden layer in "map" where it is not `mlp_dim`; else 0.
        final_norm: whether there is a norm after the last block.
        norm_after_pool: whether the final norm is applied to the average instead of to each token
            (timm's `fc_norm`).
        representation_size: size of the tanh layer before the head ("pre_logits"); 0 for none.
        head_bias: first value of the head's bias, None for no bias. Its kernel starts from zero.
        dropout: rate after the positions, the attention and both layers of the MLP, 0 to 1.
        attention_dropout: rate on the attention weights, 0 to 1.
        stochastic_depth: rate of dropping a residual branch of the last block; it grows linearly
            from 0 at the first block (arXiv 1603.09382).
        layer_scale: first value of the scale of each channel of a residual branch (arXiv
            2103.17239), None for no scale.
        qk_norm: whether queries and keys are normalised in each head (arXiv 2302.05442).
        qkv_bias: which of queries, keys and values have a bias: "all", "query_value" or "none".
        dense_bias: whether the other dense layers of a block have one.
        attention_inner_norm: whether the joined heads are normalised before the attention's last
            layer (arXiv 2210.06423).
        activation: of the MLPs: "gelu" (exact, by erf), "gelu_tanh", the approximation in which
            Google trained its checkpoints, "quick_gelu" (OpenAI's CLIP), "silu" or "relu".
        gated_mlp: whether the hidden layer is multiplied by an activated one beside it (arXiv
            2002.05202; SwiGLU with "silu").
        mlp_inner_norm: whether the hidden layer is normalised before the MLP's last layer.
        norm: what every norm is: "layer" or "rms" (arXiv 1910.07467).
        norm_placement: "before" each branch of a block, as in the paper, or "after" it, before the
            sum (arXiv 2111.09883, section 3.2).
        norm_epsilon: epsilon of every norm.
        resnet_stages: units in each stage of a ResNet stem; None for no stem, () for a root alone.
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
    patch_bias: bool = True
    patch_norm: bool = False
    embedding_norm: bool = False
    position: str = "learned"
    rotary: str = "none"
    rotary_temperature: float = 10_000.0
    rotary_reference_grid: tuple[int, int] | None = None
    rotary_offset: float = 0.0
    relative_position_bias: bool = False
    pool: str = "token"
    pool_includes_prefix: bool = False
    pool_heads: int = 0
    pool_mlp_dim: int = 0
    final_norm: bool = True
    norm_after_pool: bool = False
    representation_size: int = 0
    head_bias: float | None = 0.0
    dropout: float = 0.0
    attention_dropout: float = 0.0
    stochastic_depth: float = 0.0
    layer_scale: float | None = None
    qk_norm: bool = False
    qkv_bias: str = "all"
    dense_bias: bool = True
    attention_inner_norm: bool = False
    activation: str = "gelu"
    gated_mlp: bool = False
    mlp_inner_norm: bool = False
    norm: str = "layer"
    norm_placement: str = "before"
    norm_epsilon: float = 1e-6
    resnet_stages: tuple[int, ...] | None = None
    resnet_width: int = 64
    resnet_form: str = "flax"
    pixel_mean: tuple[float, ...] = (0.5,)
    pixel_std: tuple[float, ...] = (0.5,)

    def __post_init__(self) -> None:
        for name in ("image_size", "patch_size", "rotary_reference_grid"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, pair(name, getattr(self, name)))
        for name in ("pixel_mean", "pixel_std"):
            value = getattr(self, name)
            object.__setattr__(self, name, (value,) if isinstance(value, int | float) else value)
        check_fields(self, BOUNDS, CHOICES)
        for name in ("pixel_mean", "pixel_std"):
            # One number stands for equal channels, so that equal models have equal configurations.
            value = getattr(self, name)
            object.__setattr__(self, name, value[:1] if len(set(value)) == 1 else value)
        self._set_unused()
        check_together(self)

    def _set_unused(self) -> None:
        """Fields that nothing reads have their usual value: equal models are equal."""
        unused = []
        if not self.num_prefix_tokens:
            unused.append("pool_includes_prefix")
        if self.rotary == "none":
            unused.append("rotary_temperature")
        if self.rotary != "axial":
            unused += ["rotary_reference_grid", "rotary_offset"]
        if self.pool != "map" or self.pool_heads == self.num_heads:
            unused.append("pool_heads")
        if self.pool != "map" or self.pool_mlp_dim == self.mlp_dim:
            unused.append("pool_mlp_dim")
        for name in unused:
            object.__setattr__(self, name, getattr(type(self), name))

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
        return cls(**{**sizes_of(name), **changes})

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
        (height, width), (patch_height, patch_width) = self.image_size, self.patch_size
        return (
            height // (self.stem_stride * patch_height),
            width // (self.stem_stride * patch_width),
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
    def representation_dim(self) -> int:
        """Size of what the head reads."""
        pooled = self.width * (2 if self.pool == "token_and_average" else 1)
        return self.representation_size or pooled

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
        """Number of weights."""
        return costs.num_parameters(self)

    def forward_flops(self, visible: int | None = None) -> int:
        """Floating-point operations of one image's forward pass, a multiply-add being 2.

        Args:
            visible: patches that the blocks see; None for all.
        """
        return costs.forward_flops(self, visible)
