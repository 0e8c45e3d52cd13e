"""The residual: what the encoder adds to a picture, where the eye misses it, within a bound.

The just-noticeable difference (JND) of a place follows Chou and Li 1995, §II: what its luminance hides, and what its
texture hides.
"""

import tensorflow as tf

from faketagger.components.tagger.config import Masking

# Rec. 601, as JPEG has it: luminance of RGB, and RGB of the two chroma channels.
LUMINANCE = (0.299, 0.587, 0.114)
_CB, _CR = (0.0, -0.344, 1.772), (1.402, -0.714, 0.0)
_MIDDLE_GREY = 127.0 / 255.0
_OVERLAP = 0.3  # What luminance and texture both hide counts once (Yang et al. 2005, eq. 6).
_WINDOW = 5
_AROUND = 3  # 5 takes no more from beside edges, and faces have little texture that wide.
_MEAN_JND = 6.8 / 255.0  # At 128×128, by Masking's defaults, root mean square over photographs of the train split.


def just_noticeable_difference(images: tf.Tensor, masking: Masking) -> tf.Tensor:
    """How large a change each place hides: float32 [B, H, W, 3] in [0, 1] → [B, H, W, 1], in the pictures' range."""
    luminance = tf.reduce_sum(images * LUMINANCE, -1, keepdims=True)
    background = _local_mean(luminance)
    deviation = tf.sqrt(tf.nn.relu(_local_mean(tf.square(luminance)) - tf.square(background)) + 1e-8)
    # The least there is around: beside an edge a plain surface hides nothing.
    deviation = -tf.nn.max_pool2d(-deviation, _AROUND, 1, "SAME")
    dark = 1.0 - tf.sqrt(tf.clip_by_value(background / _MIDDLE_GREY, 1e-4, 1.0))
    light = tf.nn.relu(background - _MIDDLE_GREY) / (1.0 - _MIDDLE_GREY)
    of_luminance = (masking.flat + masking.dark * dark + masking.light * light) / 255.0
    of_texture = masking.texture * deviation
    hidden = of_luminance + of_texture - _OVERLAP * tf.minimum(of_luminance, of_texture)
    return tf.stop_gradient(_local_mean(hidden))


def _local_mean(values: tf.Tensor) -> tf.Tensor:
    return tf.nn.avg_pool2d(values, _WINDOW, 1, "SAME")


def masked_residual(images: tf.Tensor, made: tf.Tensor, min_psnr: tf.Tensor, masking: Masking) -> tf.Tensor:
    """α · JND(image) · tanh(network), mostly luminance, softened.

    What changes from one pixel to the next would be lost where a picture is first resized, but counts as all else does
    in the bound; what generators hand through is coarser still.

    Args:
      images: float32 [B, S, S, 3] in [0, 1].
      made: float32 [B, S, S, 3], the network's luminance and two chroma channels.
      min_psnr: dB, a scalar: α is such that JND alone, at places of either sign, would have `headroom` times the error
        that it allows, in a picture whose JND is as photographs' are on average by Masking's defaults.
      masking: the larger its headroom, the freer is the network in where it puts how much.

    Returns:
      float32 [B, S, S, 3].
    """
    alpha = masking.headroom * tf.pow(10.0, -min_psnr / 20.0) / _MEAN_JND
    amplitude = alpha * just_noticeable_difference(images, masking)
    luminance, cb, cr = tf.split(tf.tanh(made), 3, -1)
    return _soft(amplitude * (luminance + masking.chroma * (cb * _CB + cr * _CR)), masking.softness)


def _soft(residual: tf.Tensor, times: int) -> tf.Tensor:
    """Averaged over 3×3 places with binomial weights, which leave nothing of the highest frequency, several times."""
    for _ in range(times):
        padded = tf.pad(residual, [[0, 0], [1, 1], [1, 1], [0, 0]], "SYMMETRIC")
        residual = tf.nn.avg_pool2d(tf.nn.avg_pool2d(padded, 2, 1, "VALID"), 2, 1, "VALID")
    return residual


def bounded(images: tf.Tensor, made: tf.Tensor, min_psnr: tf.Tensor, masking: Masking | None) -> tf.Tensor:
    """The residual float32 [B, S, S, 3] of pictures [B, S, S, 3] in [0, 1] and what the encoder made of them."""
    if masking:
        made = masked_residual(images, made, min_psnr, masking)
    return limit_residual(made, min_psnr)


def limit_residual(residual: tf.Tensor, min_psnr: tf.Tensor) -> tf.Tensor:
    """Scales each picture's residual down, where it must, so that the tagged picture keeps `min_psnr` dB.

    So picture quality is a bound and not a hope: the loss need not be tuned to reach it.

    Args:
      residual: float32 [B, H, W, 3].
      min_psnr: dB, a scalar.
    """
    root_mean_square = tf.sqrt(tf.reduce_mean(tf.square(residual), [1, 2, 3], keepdims=True) + 1e-12)
    allowed = tf.pow(10.0, -min_psnr / 20.0)
    return residual * tf.minimum(1.0, allowed / root_mean_square)
