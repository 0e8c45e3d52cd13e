"""Colour and light: brightness, contrast, hue, saturation, exposure, vignetting. All differentiable.

Throughout, images are float32 [B, H, W, 3] in [0, 1] (sRGB) and so is what is returned; the other arguments of the
functions are float32 [B, 1, 1, 1].
"""

import math

import numpy as np
import tensorflow as tf

from faketagger.components.contract import startup
from faketagger.components.perturbations.base import Perturbation, Range

with startup.hidden_notices():
    import keras_cv

# NTSC (1953): red, green and blue (rows) to luma, I and Q (columns).
_TO_YIQ = np.array([[0.299, 0.596, 0.211], [0.587, -0.274, -0.523], [0.114, -0.322, 0.312]])


def _rgb_matrix(yiq_matrix) -> np.ndarray:
    """What a matrix does to YIQ as a matrix [3, 3] to RGB; pixels are rows."""
    return np.float32(_TO_YIQ @ np.array(yiq_matrix) @ np.linalg.inv(_TO_YIQ))


_LUMA = _rgb_matrix([[1, 0, 0], [0, 0, 0], [0, 0, 0]])
_CHROMA = _rgb_matrix([[0, 0, 0], [0, 1, 0], [0, 0, 1]])
_QUARTER_TURN = _rgb_matrix([[0, 0, 0], [0, 0, -1], [0, 1, 0]])  # From red towards yellow, as in HSV.


class Brightness(Perturbation):
    """Adds a constant; strength from −1 (black) to 1 (white)."""

    LIMITS = (-1.0, 1.0)

    def __init__(self, strength: Range):
        super().__init__(strength)
        # Its formula, our draws: keras-cv's own generator cannot be seeded by the picture.
        self._layer = keras_cv.layers.RandomBrightness(factor=1.0, value_range=(0, 1))

    def _apply(self, images, strength, drawn):
        return self._layer.augment_images(images, transformations=strength)


class Contrast(Perturbation):
    """Scales each channel's distance from its mean; strength f scales by 1 + f."""

    LIMITS = (-1.0, 1.0)

    def __init__(self, strength: Range):
        super().__init__(strength)
        self._layer = keras_cv.layers.RandomContrast(factor=1.0, value_range=(0, 1))

    def _apply(self, images, strength, drawn):
        return self._layer.augment_images(images, transformations=1.0 + strength)


class Hue(Perturbation):
    """Rotates hues; strength in turns of the colour circle."""

    LIMITS = (-0.5, 0.5)

    def _apply(self, images, strength, drawn):
        return turn_colours(images, turns=strength, saturation=tf.ones_like(strength))


class Saturation(Perturbation):
    """Scales the distance from grey; strength f scales by 1 + f."""

    LIMITS = (-1.0, 1.0)

    def _apply(self, images, strength, drawn):
        return turn_colours(images, turns=tf.zeros_like(strength), saturation=1.0 + strength)


class Exposure(Perturbation):
    """Multiplies the light; strength in stops: 1 doubles it."""

    LIMITS = (-4.0, 4.0)

    def _apply(self, images, strength, drawn):
        return expose(images, strength)


class Vignetting(Perturbation):
    """Darkens towards the corners; strength is the share of its light that a corner loses."""

    LIMITS = (0.0, 0.99)

    def _apply(self, images, strength, drawn):
        return vignette(images, strength)


def turn_colours(images: tf.Tensor, turns: tf.Tensor, saturation: tf.Tensor) -> tf.Tensor:
    """Rotates hues by `turns` of the colour circle and multiplies saturation, greys and luma staying as they are.

    In YIQ, where both are linear: HSV, in which keras-cv works, has no gradient in TensorFlow.
    """
    angle = 2.0 * math.pi * turns[:, 0]
    scaled = saturation[:, 0]
    matrices = _LUMA + scaled * (tf.cos(angle) * _CHROMA + tf.sin(angle) * _QUARTER_TURN)
    pixels = tf.reshape(images, [tf.shape(images)[0], -1, 3])
    return tf.clip_by_value(tf.reshape(tf.matmul(pixels, matrices), tf.shape(images)), 0.0, 1.0)


def expose(images: tf.Tensor, stops: tf.Tensor) -> tf.Tensor:
    """Multiplies the light by 2^stops; what is then too bright becomes white."""
    return _to_srgb(tf.minimum(_to_linear(images) * tf.pow(2.0, stops), 1.0))


def vignette(images: tf.Tensor, lost: tf.Tensor) -> tf.Tensor:
    """Darkens towards the corners by the cos⁴ law of natural vignetting (Kang & Weiss 2000).

    Args:
      images: the pictures.
      lost: the share of its light that a corner loses, 0 to less than 1.
    """
    height, width = tf.unstack(tf.cast(tf.shape(images)[1:3], tf.float32))
    rows = tf.square(tf.range(height) - (height - 1.0) / 2.0)
    columns = tf.square(tf.range(width) - (width - 1.0) / 2.0)
    squared = rows[:, None, None] + columns[None, :, None]
    squared = tf.math.divide_no_nan(squared, tf.reduce_max(squared))  # Distance from the centre; 1 in the corners.
    spread = tf.math.rsqrt(1.0 - lost) - 1.0
    return _to_srgb(_to_linear(images) / tf.square(1.0 + spread * squared))


def _to_linear(images: tf.Tensor) -> tf.Tensor:
    """sRGB to light (IEC 61966-2-1)."""
    curve = tf.pow((tf.maximum(images, 0.04045) + 0.055) / 1.055, 2.4)
    return tf.where(images <= 0.04045, images / 12.92, curve)


def _to_srgb(light: tf.Tensor) -> tf.Tensor:
    """Light to sRGB (IEC 61966-2-1)."""
    curve = 1.055 * tf.pow(tf.maximum(light, 0.0031308), 1.0 / 2.4) - 0.055  # The bound keeps the slope finite.
    return tf.where(light <= 0.0031308, light * 12.92, curve)
