"""Spectrally normalised critics; one of small patches, as an extra loss that keeps restored pictures from blurring."""

from collections.abc import Sequence

import tensorflow as tf
from tensorflow import keras

from faketagger.components.simulator.generators.optimiser import decaying_adam

_HEARD_FROM = 0.3  # Share of the steps before a generator hears of its patch critic: it must restore first.


class PatchAdversary(keras.layers.Layer):
    """A patch critic with its optimiser, beside a generator that learns to restore pictures.

    Args:
      weight: of what the generator pays for being told apart.
      learning_rate: the critic's, decayed as the generator's.
      steps: of the training.
      width: channels of the critic's first layer.
    """

    def __init__(self, weight: float, learning_rate: float, steps: int, width: int):
        super().__init__()
        self._weight, self._first = weight, int(_HEARD_FROM * steps)
        self.critic = build_patch_critic(width)
        self.critic_optimizer = decaying_adam(learning_rate, steps)
        self.critic_optimizer.build(self.critic.trainable_variables)

    def fooling_loss(self, made: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
        """What the generator pays at a step for its pictures [B, S, S, 3] in [0, 1], a scalar."""
        weight = self._weight * tf.cast(step >= self._first, tf.float32)
        return -weight * tf.reduce_mean(self.critic(made, training=False))

    def train(self, real: tf.Tensor, made: tf.Tensor) -> tf.Tensor:
        """One step of the critic on as many real pictures as made ones; its loss, a scalar."""
        with tf.GradientTape() as tape:
            loss = hinge_loss([self.critic(tf.concat([real, tf.stop_gradient(made)], 0), training=True)])
        self.critic_optimizer.minimize(loss, self.critic.trainable_variables, tape=tape)
        return loss


def hinge_loss(realness: Sequence[tf.Tensor]) -> tf.Tensor:
    """The critics' loss, their mean; each one's realness is [2·B, …], first of real pictures, then of made ones."""
    losses = []
    for each in realness:
        of_real, of_made = tf.split(each, 2)
        losses.append(tf.reduce_mean(tf.nn.relu(1.0 - of_real)) + tf.reduce_mean(tf.nn.relu(1.0 + of_made)))
    return tf.add_n(losses) / len(losses)


def build_patch_critic(width: int) -> keras.Model:
    """Pictures [B, S, S, 3] in [0, 1], any side → realness of patches of 38 pixels [B, S/8, S/8, 1]."""
    images = keras.Input([None, None, 3])
    x = keras.layers.Rescaling(2.0, -1.0)(images)
    for multiple in (1, 2, 4):
        x = critic_layer(x, multiple * width)
    realness = SpectralConv2D(1, 3, padding="same")(x)
    return keras.Model(images, realness, name="patch_critic")


def critic_layer(x, channels: int):
    """Half the side, `channels` channels, spectrally normalised."""
    return keras.layers.LeakyReLU(0.2)(SpectralConv2D(channels, 4, 2, "same")(x))


class SpectralConv2D(keras.layers.Conv2D):
    """Conv2D whose kernel, as a matrix [height · width · in, out], is divided by its largest singular value.

    Miyato et al. 2018, "Spectral Normalization", algorithm 1: one power iteration a training step. Keras' own layer
    of that name fails in a graph (it asks a tensor for its truth).
    """

    def build(self, input_shape):
        super().build(input_shape)
        self.singular_vector = self.add_weight(
            "singular_vector", [self.filters, 1], initializer=keras.initializers.RandomNormal(), trainable=False
        )

    def call(self, inputs, training=False):
        matrix = tf.reshape(self.kernel, [-1, self.filters])
        left = tf.stop_gradient(tf.math.l2_normalize(matrix @ self.singular_vector))
        right = tf.stop_gradient(tf.math.l2_normalize(tf.matmul(matrix, left, transpose_a=True)))
        if training:
            self.singular_vector.assign(right)
        largest = tf.reduce_sum(left * (matrix @ right))
        return self.convolution_op(inputs, self.kernel / largest) + self.bias
