"""The layers of `stylegan`: dense at an equalised rate, modulated convolution, noise input, learned constant."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf
from tensorflow import keras


def activate(x: tf.Tensor) -> tf.Tensor:
    """Leaky ReLU that keeps the variance of what it is given."""
    return tf.nn.leaky_relu(x, 0.2) * np.sqrt(2.0)


class EqualisedDense(keras.layers.Dense):
    """A dense layer at an equalised and lowered learning rate (Karras et al. 2018, §4.1; 2019, appendix C).

    Args:
      units: outputs.
      rate: the learning rate, as a share of the optimiser's.
    """

    def __init__(self, units: int, rate: float, **options):
        super().__init__(units, kernel_initializer=keras.initializers.RandomNormal(stddev=1.0 / rate), **options)
        self.rate = rate

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return inputs @ (self.kernel * (self.rate / np.sqrt(self.kernel.shape[0]))) + self.bias * self.rate


class ModulatedConvolution(keras.layers.Layer):
    """A convolution whose weights are scaled by a style and demodulated (Karras et al. 2020, §2.2, equations 1 and 3).

    The input is scaled in place of the weights, and the output in place of their norm: the same numbers, but one kernel
    for the whole batch.

    Args:
      channels: of the output.
      kernel_size: the kernel's side.
      demodulate: whether the weights of each output channel are scaled to norm 1.

    Call with features [B, H, W, C] and w [B, D]; returns [B, H, W, channels].
    """

    def __init__(self, channels: int, kernel_size: int, demodulate: bool = True, **options):
        super().__init__(**options)
        self.channels, self.kernel_size, self.demodulate = channels, kernel_size, demodulate

    def build(self, shapes: Sequence[tf.TensorShape]) -> None:
        features, w = shapes
        self.style = keras.layers.Dense(features[-1], bias_initializer="ones")
        self.style.build(w)
        shape = [self.kernel_size, self.kernel_size, features[-1], self.channels]
        self.kernel = self.add_weight("kernel", shape, initializer="lecun_normal")
        self.bias = self.add_weight("bias", [self.channels], initializer="zeros")
        super().build(shapes)

    def call(self, inputs: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        features, w = inputs
        style = self.style(w)
        made = tf.nn.conv2d(features * style[:, None, None], self.kernel, 1, "SAME")
        if self.demodulate:
            square_norms = tf.square(style) @ tf.reduce_sum(tf.square(self.kernel), [0, 1])
            made *= tf.math.rsqrt(square_norms + 1e-8)[:, None, None]
        return made + self.bias


class NoiseInput(keras.layers.Layer):
    """Adds one channel of normal noise, times a learned scale for each channel, at first 0 (Karras et al. 2019, §2).

    Args:
      seed: of the noise outside training, always the same, so that the output is a function of the input.
    """

    def __init__(self, seed: int, **options):
        super().__init__(**options)
        self.seed = seed

    def build(self, shape: tf.TensorShape) -> None:
        self.scale = self.add_weight("scale", [shape[-1]], initializer="zeros")
        self.fixed = np.float32(np.random.default_rng(self.seed).normal(size=[1, shape[1], shape[2], 1]))
        super().build(shape)

    def call(self, features: tf.Tensor, training: bool = False) -> tf.Tensor:
        noise = tf.random.normal(tf.concat([tf.shape(features)[:3], [1]], 0)) if training else self.fixed
        return features + noise * self.scale


class LearnedConstant(keras.layers.Layer):
    """The same learned [side, side, channels] for each element of the batch it is called with (Karras et al. 2019, §2).

    Args:
      side: height and width.
      channels: of the output.
    """

    def __init__(self, side: int, channels: int, **options):
        super().__init__(**options)
        self.side, self.channels = side, channels

    def build(self, shape: tf.TensorShape) -> None:
        initializer = keras.initializers.RandomNormal(stddev=1.0)
        self.constant = self.add_weight("constant", [1, self.side, self.side, self.channels], initializer=initializer)
        super().build(shape)

    def call(self, batch: tf.Tensor) -> tf.Tensor:
        return tf.repeat(self.constant, tf.shape(batch)[0], 0)
