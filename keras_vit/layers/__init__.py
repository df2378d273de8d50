# SPDX-License-Identifier: MIT
"""The parts of a Vision Transformer; this listing reads like figure 1 of the paper."""

from keras_vit.layers.attention import Attention as Attention
from keras_vit.layers.feed_forward import FeedForward as FeedForward
from keras_vit.layers.layer_scale import LayerScale as LayerScale
from keras_vit.layers.norms import RMSNorm as RMSNorm
from keras_vit.layers.patch_dropout import PatchDropout as PatchDropout
from keras_vit.layers.patch_encoder import PatchEncoder as PatchEncoder
from keras_vit.layers.patch_encoder import sincos2d as sincos2d
from keras_vit.layers.patches import Patches as Patches
from keras_vit.layers.pooling import AttentionPool as AttentionPool
from keras_vit.layers.pooling import TokenPool as TokenPool
from keras_vit.layers.relative_position import RelativePositionBias as RelativePositionBias
from keras_vit.layers.resnet_stem import ResNetStem as ResNetStem
from keras_vit.layers.resnet_stem import StandardizedConv2D as StandardizedConv2D
from keras_vit.layers.rotary import RotaryEmbedding as RotaryEmbedding
from keras_vit.layers.stochastic_depth import StochasticDepth as StochasticDepth
from keras_vit.layers.transformer_block import TransformerBlock as TransformerBlock
