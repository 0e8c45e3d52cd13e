"""The loss's image terms (StegaStamp §4.3, FakeTagger eq. 3): L2 residual, perceptual, critic; its message term."""

import os
from collections.abc import Callable

import numpy as np
import tensorflow as tf
from tensorflow import keras

from faketagger.components.contract import colour

# The five layers that LPIPS compares (Zhang et al. 2018, §3), by Keras' names.
_VGG_LAYERS = ("block1_conv2", "block2_conv2", "block3_conv3", "block4_conv3", "block5_conv3")

_STREAK = _AROUND = 11  # Pixels of the network's picture.


def message_loss(codeword: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Cross entropy between codeword bits [B, n] and logits [B, n], in nats a bit, a scalar."""
    return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(codeword, logits))


def residual_loss(images: tf.Tensor, tagged: tf.Tensor) -> tf.Tensor:
    """Mean square of the residual, a scalar."""
    return tf.reduce_mean(tf.square(tagged - images))


def ssim_loss(images: tf.Tensor, tagged: tf.Tensor) -> tf.Tensor:
    """1 − SSIM, a scalar: the perceptual term where no ImageNet weights are there."""
    return 1.0 - tf.reduce_mean(tf.image.ssim(images, tagged, 1.0))


def visibility_loss(images: tf.Tensor, tagged: tf.Tensor) -> tf.Tensor:
    """What the eye sees from where single pixels blur: a scalar, mostly of the places that are changed most.

    The fourth power's mean over places of the difference in CIE 1976 L*a*b* of both pictures, averaged over 3×3 pixels
    of every second row and column.
    """
    first, second = (colour.lab(tf.nn.avg_pool2d(each, 3, 2, "SAME")) for each in (images, tagged))
    return tf.reduce_mean(tf.square(tf.reduce_sum(tf.square(first - second), -1)))


def streak_loss(residual: tf.Tensor) -> tf.Tensor:
    """How much the residual [B, H, W, 3] is drawn out along rows, columns or diagonals, where the eye finds it.

    The share of its energy, as grey, that an average over some pixels in a direction leaves, twice the mean over four
    directions, a scalar: 2 / 11 of noise, 0.6 of streaks.
    """
    grey = tf.reduce_mean(residual, -1, keepdims=True)
    energy = tf.reduce_mean(tf.square(grey), [1, 2, 3])
    along = tf.nn.conv2d(grey, _streaks(), 1, "SAME")
    return 2.0 * tf.reduce_mean(tf.reduce_mean(tf.square(along), [1, 2, 3]) / (energy + 1e-8))


def _streaks() -> np.ndarray:
    """A row, a column and both diagonals as averages, float32 [_STREAK, _STREAK, 1, 4]."""
    diagonal = np.eye(_STREAK, dtype=np.float32)
    row = np.zeros_like(diagonal)
    row[_STREAK // 2] = 1.0
    return np.stack([row, row.T, diagonal, diagonal[::-1]], -1)[:, :, None] / _STREAK


def steering_loss(residual: tf.Tensor, change: tf.Tensor) -> tf.Tensor:
    """How much of the residual lies where simulators change the picture (DeepTag §3.2's masks, as a soft one).

    Args:
      residual: float32 [B, H, W, 3].
      change: float32 [B, H, W, 3], how much they changed; its scale does not matter.

    Returns:
      The share of each residual's energy by the change around it, against the picture's mean change; their mean, a
      scalar: 1 where the residual heeds nothing.
    """
    around = tf.nn.avg_pool2d(tf.reduce_mean(change, -1, keepdims=True), _AROUND, 1, "SAME")
    relative = around / (tf.reduce_mean(around, [1, 2, 3], keepdims=True) + 1e-6)
    energy = tf.reduce_mean(tf.square(residual), -1, keepdims=True)
    return tf.reduce_mean(tf.reduce_mean(relative * energy, [1, 2, 3]) / (tf.reduce_mean(energy, [1, 2, 3]) + 1e-8))


def critic_loss(real: tf.Tensor, made: tf.Tensor) -> tf.Tensor:
    """Least squares (Mao et al. 2017, eq. 9) on the critic's answers, a scalar."""
    return tf.reduce_mean(tf.square(real - 1.0)) + tf.reduce_mean(tf.square(made))


def fooling_loss(made: tf.Tensor) -> tf.Tensor:
    """What the encoder pays when the critic tells its pictures, a scalar."""
    return tf.reduce_mean(tf.square(made - 1.0))


def perceptual_loss(vgg_weights: str | None) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """LPIPS' distance on VGG16, all channels weighted alike (Zhang et al. 2018, eq. 1); `ssim_loss` without weights.

    Args:
      vgg_weights: the ImageNet weights file of Keras' VGG16 without top, or None.

    Raises:
      ValueError: the file is missing or not of VGG16.
    """
    if vgg_weights is None:
        return ssim_loss
    if not os.path.isfile(vgg_weights):
        raise ValueError(
            f"{vgg_weights}: VGG16's ImageNet weights are missing: fetch "
            "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5 from Keras' applications and name it in vgg_weights"
        )
    vgg = keras.applications.VGG16(include_top=False, weights=None)
    try:
        vgg.load_weights(vgg_weights)
    except (OSError, ValueError) as error:
        raise ValueError(f"{vgg_weights}: not the weights of VGG16 without top: {error}") from error
    features = keras.Model(vgg.input, [vgg.get_layer(name).output for name in _VGG_LAYERS])
    features.trainable = False

    def distance(images: tf.Tensor, tagged: tf.Tensor) -> tf.Tensor:
        layers = zip(
            *(features(keras.applications.vgg16.preprocess_input(batch * 255.0)) for batch in (images, tagged))
        )
        differences = [tf.math.l2_normalize(real, -1) - tf.math.l2_normalize(made, -1) for real, made in layers]
        return tf.add_n([tf.reduce_mean(tf.reduce_sum(tf.square(each), -1)) for each in differences])

    return distance
