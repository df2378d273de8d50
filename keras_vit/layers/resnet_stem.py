# SPDX-License-Identifier: MIT
"""The ResNet in front of a hybrid (arXiv 2010.11929, section 3.1; BiT, arXiv 1912.11370)."""

import keras
from keras import ops

from keras_vit.errors import unknown

# name: constants of GroupNorm and of the standardised kernels. Both stems are published, and a
# parity test can tell one from the other.
FORMS = {
    "flax": {"norm_epsilon": 1e-6, "kernel_epsilon": 1e-5, "epsilon_in_variance": False},
    "timm": {"norm_epsilon": 1e-5, "kernel_epsilon": 1e-8, "epsilon_in_variance": True},
}


@keras.saving.register_keras_serializable("keras_vit")
class StandardizedConv2D(keras.layers.Conv2D):
    """Convolution whose kernel is standardised for each output channel (arXiv 1903.10520).

    Args:
        kernel_epsilon: what is added to the kernel's standard deviation.
        epsilon_in_variance: whether it is added to the variance instead.
        **kwargs: arguments of `keras.layers.Conv2D`.
    """

    def __init__(
        self,
        *args,
        kernel_epsilon: float = 1e-5,
        epsilon_in_variance: bool = False,
        **kwargs,
    ):
        super().__init__(*args, **kwargs)
        self.kernel_epsilon = kernel_epsilon
        self.epsilon_in_variance = epsilon_in_variance

    def convolution_op(self, inputs, kernel):
        weights = ops.cast(kernel, "float32")  # statistics of thousands of numbers: not in bfloat16
        mean = ops.mean(weights, axis=(0, 1, 2), keepdims=True)
        centred = weights - mean
        variance = ops.mean(ops.square(centred), axis=(0, 1, 2), keepdims=True)
        if self.epsilon_in_variance:
            weights = centred / ops.sqrt(variance + self.kernel_epsilon)
        else:
            weights = centred / (ops.sqrt(variance) + self.kernel_epsilon)
        return super().convolution_op(inputs, ops.cast(weights, inputs.dtype))

    def get_config(self):
        return {
            **super().get_config(),
            "kernel_epsilon": self.kernel_epsilon,
            "epsilon_in_variance": self.epsilon_in_variance,
        }


@keras.saving.register_keras_serializable("keras_vit")
class BottleneckUnit(keras.layers.Layer):
    """1x1, 3x3 and 1x1 convolutions with GroupNorm inside a residual connection.

    Args:
        width: channels of the first two convolutions; the output has 4 times as many.
        stride: stride of the 3x3 convolution and of the shortcut.
        form: a key of `FORMS`.

    Input: `(batch, height, width, channels)`.
    Output: `(batch, ceil(height / stride), ceil(width / stride), 4 * width)`.
    """

    def __init__(self, width: int, stride: int = 1, form: str = "flax", **kwargs):
        super().__init__(**kwargs)
        _check_form(form)
        self.width = width
        self.stride = stride
        self.form = form

    def build(self, input_shape):
        outgoing = 4 * self.width
        strided = self.compute_output_shape(input_shape)
        narrow = (*input_shape[:-1], self.width)
        narrow_strided = (*strided[:-1], self.width)

        self.projected = input_shape[-1] != outgoing or self.stride != 1
        if self.projected:
            self.conv_proj = self._conv(outgoing, 1, "conv_proj", input_shape, self.stride)
            self.norm_proj = self._norm("norm_proj", strided)
        self.conv1 = self._conv(self.width, 1, "conv1", input_shape)
        self.norm1 = self._norm("norm1", narrow)
        self.conv2 = self._conv(self.width, 3, "conv2", narrow, self.stride)
        self.norm2 = self._norm("norm2", narrow_strided)
        self.conv3 = self._conv(outgoing, 1, "conv3", narrow_strided)
        self.norm3 = self._norm("norm3", strided, gamma_initializer="zeros")

    def call(self, x):
        shortcut = self.norm_proj(self.conv_proj(x)) if self.projected else x
        x = ops.relu(self.norm1(self.conv1(x)))
        x = ops.relu(self.norm2(self.conv2(x)))
        x = self.norm3(self.conv3(x))
        return ops.relu(shortcut + x)

    def compute_output_shape(self, input_shape):
        return (*_strided(input_shape, self.stride), 4 * self.width)

    def get_config(self):
        return {
            **super().get_config(),
            "width": self.width,
            "stride": self.stride,
            "form": self.form,
        }

    def _conv(self, filters, size, name, shape, stride=1):
        return _built(
            _convolution(filters, size, stride, self.form, name, self.dtype_policy), shape
        )

    def _norm(self, name, shape, **kwargs):
        return _built(_group_norm(self.form, name, self.dtype_policy, **kwargs), shape)


@keras.saving.register_keras_serializable("keras_vit")
class ResNetStem(keras.layers.Layer):
    """The convolutional stem of a hybrid Vision Transformer.

    A 7x7 convolution of stride 2 with GroupNorm and 3x3 max pooling of stride 2 (the root), then
    stages of bottleneck units; every stage but the first halves the size and doubles the channels.

    Args:
        stages: units in each stage; `()` is the root alone.
        width: channels of the root.
        form: "flax" (vision_transformer) or "timm", whose GroupNorms and standardised kernels add
            other constants (see `FORMS`).

    Input: `(batch, height, width, channels)`. Output: `(batch, height / s, width / s, c)` rounded
    up, with s = 4 and c = `width` for the root alone, else s = 4 * 2 ** (stages - 1) and
    c = s * `width`.
    """

    def __init__(self, stages: tuple[int, ...], width: int = 64, form: str = "flax", **kwargs):
        super().__init__(**kwargs)
        _check_form(form)
        self.stages = tuple(stages)
        self.width = width
        self.form = form

    def build(self, input_shape):
        self.root_conv = _built(
            _convolution(self.width, 7, 2, self.form, "root_conv", self.dtype_policy), input_shape
        )
        shape = (*_strided(input_shape, 2), self.width)
        self.root_norm = _built(_group_norm(self.form, "root_norm", self.dtype_policy), shape)
        shape = (*_strided(shape, 2), self.width)
        self.units = []
        for stage, count in enumerate(self.stages):
            for index in range(count):
                unit = BottleneckUnit(
                    self.width * 2**stage,
                    stride=2 if stage and not index else 1,
                    form=self.form,
                    name=f"block{stage + 1}_unit{index + 1}",
                    dtype=self.dtype_policy,
                )
                self.units.append(_built(unit, shape))
                shape = unit.compute_output_shape(shape)

    def call(self, images):
        x = ops.relu(self.root_norm(self.root_conv(images)))  # (B, H / 2, W / 2, width)
        x = ops.max_pool(x, 3, 2, padding="same")  # (B, H / 4, W / 4, width)
        for unit in self.units:
            x = unit(x)
        return x

    def compute_output_shape(self, input_shape):
        shape = (*_strided(input_shape, 4), self.width)
        for stage in range(len(self.stages)):
            shape = (*_strided(shape, 2 if stage else 1), 4 * self.width * 2**stage)
        return shape

    def get_config(self):
        return {
            **super().get_config(),
            "stages": self.stages,
            "width": self.width,
            "form": self.form,
        }


def _check_form(form):
    if form not in FORMS:
        raise unknown("form of ResNetStem", form, FORMS)


def _convolution(filters, size, stride, form, name, dtype):
    return StandardizedConv2D(
        filters,
        size,
        strides=stride,
        padding="same",
        use_bias=False,
        kernel_initializer="lecun_normal",
        kernel_epsilon=FORMS[form]["kernel_epsilon"],
        epsilon_in_variance=FORMS[form]["epsilon_in_variance"],
        name=name,
        dtype=dtype,
    )


def _group_norm(form, name, dtype, **kwargs):
    return keras.layers.GroupNormalization(
        groups=32, epsilon=FORMS[form]["norm_epsilon"], name=name, dtype=dtype, **kwargs
    )


def _built(layer, shape):
    layer.build(shape)
    return layer


def _strided(shape, stride):
    """Batch, height and width after a strided operation with padding "same"."""
    return (shape[0], *[None if size is None else -(-size // stride) for size in shape[1:3]])
