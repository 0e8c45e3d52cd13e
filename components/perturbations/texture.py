"""Noise, grain and blur. Differentiable in the pictures."""

import tensorflow as tf

from faketagger.components.perturbations.base import Perturbation

# Deviation in pixels of the Gaussian that correlates grain: neighbours by 0.68, the next but one by 0.21.
_GRAIN_SIZE = 0.8
GRAIN_REACH = 3  # Pixels of noise that grain wants beyond each edge.


class GaussianNoise(Perturbation):
    """Adds independent noise; strength is its standard deviation for pictures in [0, 1]."""

    def _apply(self, images, strength, drawn):
        return tf.clip_by_value(images + strength * drawn.normal(tf.shape(images)[1:]), 0.0, 1.0)


class Grain(Perturbation):
    """Adds noise as film's, grey and correlated over a pixel or two; strength is its standard deviation in mid-grey."""

    def _apply(self, images, strength, drawn):
        size = tf.shape(images)[1:3] + 2 * GRAIN_REACH
        return grain(images, strength, drawn.normal(tf.concat([size, [1]], 0)))


class GaussianBlur(Perturbation):
    """Blurs; strength is the Gaussian's standard deviation in pixels, one for the batch."""

    # Neither tensorflow-addons (Python numbers only) nor keras-cv (one picture at a time) fits a training step.
    LIMITS = (0.0, 10.0)
    _ONE_FOR_THE_BATCH = True

    def _apply(self, images, strength, drawn):
        return blur(images, strength, reach=int(round(3 * self.strength[1])))


def blur(images: tf.Tensor, deviation: tf.Tensor, reach: int) -> tf.Tensor:
    """Blurs by a Gaussian, the edges mirrored.

    Args:
      images: float32 [B, H, W, 3].
      deviation: the Gaussian's, in pixels, a scalar; 0 changes nothing.
      reach: where the Gaussian is cut, in pixels, at most the shorter side.
    """
    padded = tf.pad(images, [[0, 0], [reach, reach], [reach, reach], [0, 0]], "SYMMETRIC")
    return _filter(padded, _gaussian(deviation, reach))


def grain(images: tf.Tensor, strength: tf.Tensor, noise: tf.Tensor) -> tf.Tensor:
    """Adds grey noise as film's, correlated over a pixel or two.

    Its variance goes with u·(1 − u), u the luma: most in mid-grey, none in black and white, as that of a cover of
    random discs does (Newson et al. 2017, "A stochastic film grain model").

    Args:
      images: float32 [B, H, W, 3] in [0, 1].
      strength: standard deviation in mid-grey, float32 [B, 1, 1, 1].
      noise: independent, of deviation 1, float32 [B, H + 2·GRAIN_REACH, W + 2·GRAIN_REACH, 1].

    Returns:
      float32 [B, H, W, 3] in [0, 1].
    """
    weights = _gaussian(_GRAIN_SIZE, GRAIN_REACH)
    correlated = _filter(noise, weights) / tf.reduce_sum(tf.square(weights))  # Of deviation 1 again.
    luma = tf.reduce_sum(images * [0.299, 0.587, 0.114], -1, keepdims=True)
    # No gradient through the envelope, whose slope has no bound in black.
    envelope = tf.stop_gradient(2.0 * tf.sqrt(tf.maximum(luma * (1.0 - luma), 0.0)))
    return tf.clip_by_value(images + strength * envelope * correlated, 0.0, 1.0)


def _gaussian(deviation: tf.Tensor, reach: int) -> tf.Tensor:
    """The weights of a Gaussian from −reach to reach, of sum 1; of deviation 0 all on the middle."""
    places = tf.range(-reach, reach + 1, dtype=tf.float32)
    return tf.nn.softmax(-tf.square(places / tf.maximum(deviation, 1e-3)) / 2.0)


def _filter(images: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """Filters along rows and columns; what would reach over an edge is left out, so the result is smaller."""
    for shape in ([-1, 1, 1, 1], [1, -1, 1, 1]):
        kernel = tf.tile(tf.reshape(weights, shape), [1, 1, images.shape[-1], 1])
        images = tf.nn.depthwise_conv2d(images, kernel, [1, 1, 1, 1], "VALID")
    return images
