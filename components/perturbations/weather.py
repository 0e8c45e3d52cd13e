"""Haze and rain in front of the face. Differentiable in the pictures.

Throughout, images are float32 [B, H, W, 3] in [0, 1] and so is what is returned; `strength` is float32 [B, 1, 1, 1].
"""

import tensorflow as tf

from faketagger.components.perturbations.base import Perturbation

_RAIN_COVER = 0.25  # The share of a picture that streaks cover, about.


class Haze(Perturbation):
    """Blends to a light veil, here more and there less; strength is the veil's share at mean depth.

    The veil's grey level is drawn as RESIDE's is (Li et al. 2019), from 0.7 to 1.
    """

    def _apply(self, images, strength, drawn):
        return haze(images, strength, drawn.uniform([3, 3, 1], 0.5, 1.5), drawn.uniform([1, 1, 1], 0.7, 1.0))


class Rain(Perturbation):
    """Lightens along streaks an eighth of the height long; strength is the opacity of the brightest."""

    def _apply(self, images, strength, drawn):
        height, width = tf.shape(images)[1], tf.shape(images)[2]
        drops = drawn.uniform(tf.stack([height + tf.maximum(height // 8, 2), width, 1]))
        return rain(images, strength, drops, drawn.uniform([1, 1, 1], -0.4, 0.4))


def haze(images: tf.Tensor, strength: tf.Tensor, depth: tf.Tensor, veil: tf.Tensor) -> tf.Tensor:
    """Blends to a light veil, the more the deeper the scene: I·t + A·(1 − t) (He, Sun & Tang 2009, eq. 1).

    Args:
      images: the pictures.
      strength: the share of the veil at depth 1, 0 to 1: t = (1 − strength)^depth.
      depth: float32 [B, h, w, 1], positive; a coarse map, smoothly enlarged to the picture's size.
      veil: A, the airlight's grey level, float32 [B, 1, 1, 1] in [0, 1].
    """
    transmission = tf.pow(1.0 - strength, tf.image.resize(depth, tf.shape(images)[1:3], "bicubic"))
    return images * transmission + veil * (1.0 - transmission)


def rain(images: tf.Tensor, strength: tf.Tensor, drops: tf.Tensor, slant: tf.Tensor) -> tf.Tensor:
    """Lightens along streaks, as drops that fall during the exposure do (Garg & Nayar 2007).

    Args:
      images: the pictures.
      strength: opacity of the brightest streaks, 0 to 1.
      drops: float32 [B, H + L, W, 1], uniform in [0, 1): its smallest values are where streaks of L pixels begin.
      slant: pixels aside for each pixel down, float32 [B, 1, 1, 1].
    """
    height, width = tf.shape(images)[1], tf.shape(images)[2]
    length = tf.shape(drops)[1] - height
    begun = tf.nn.relu(1.0 - drops * tf.cast(length, tf.float32) / _RAIN_COVER)
    fallen = tf.cumsum(begun, axis=1)
    streaks = tf.clip_by_value(fallen[:, length:] - fallen[:, :height], 0.0, 1.0)
    aside = tf.cast(tf.round(slant[:, :, :, 0] * tf.range(tf.cast(height, tf.float32))[None, :, None]), tf.int32)
    streaks = tf.gather(streaks, (tf.range(width) - aside) % width, axis=2, batch_dims=2)
    return images + strength * streaks * (1.0 - images)
