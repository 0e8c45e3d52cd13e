"""JPEG twice: a differentiable approximation for training, the real codec for evaluation."""

import numpy as np
import tensorflow as tf

from faketagger.components.perturbations.base import Perturbation

# ITU-T T.81, annex K: the example quantisation tables that encoders scale with the quality.
_LUMA = np.array(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ],
    np.float32,
)
_CHROMA = np.full((8, 8), 99, np.float32)
_CHROMA[:4, :4] = [[17, 18, 24, 47], [18, 21, 26, 66], [24, 26, 56, 99], [47, 66, 99, 99]]

# JFIF: full-range ITU-R BT.601.
_TO_YCBCR = np.array([[0.299, -0.168736, 0.5], [0.587, -0.331264, -0.418688], [0.114, 0.5, -0.081312]], np.float32)
_TO_RGB = np.linalg.inv(_TO_YCBCR).astype(np.float32)


class Jpeg(Perturbation):
    """JPEG compression; strength is the quality, 1 to 100. Differentiable."""

    LIMITS = (1.0, 100.0)

    def _apply(self, images, strength, drawn):
        return differentiable_jpeg(images, strength[:, 0, 0, 0])


class RealJpeg(Perturbation):
    """JPEG compression by the real codec, for evaluation; strength as Jpeg."""

    LIMITS = (1.0, 100.0)

    def _apply(self, images, strength, drawn):
        return real_jpeg(images, strength[:, 0, 0, 0])


def _dct_filters() -> np.ndarray:
    """The 64 orthonormal 8×8 DCT-II basis pictures as convolution filters [8, 8, 1, 64]."""
    frequency, place = np.mgrid[0:8, 0:8]
    basis = np.cos((2 * place + 1) * frequency * np.pi / 16) * np.where(frequency == 0, np.sqrt(1 / 8), 0.5)
    return np.einsum("ux,vy->xyuv", basis, basis).reshape(8, 8, 1, 64).astype(np.float32)


def _quantise(channel: tf.Tensor, table: tf.Tensor) -> tf.Tensor:
    """One channel [B, H, W, 1], H and W multiples of 8, through DCT, soft quantisation by `table` [B, 64] and back."""
    filters = tf.constant(_dct_filters())
    coefficients = tf.nn.conv2d(channel, filters, strides=8, padding="VALID") / table[:, None, None, :]
    rounded = tf.stop_gradient(tf.round(coefficients))
    # Rounding whose derivative is not zero: Shin & Song 2017, "JPEG-resistant adversarial images", eq. 1.
    soft = rounded + (coefficients - rounded) ** 3
    return tf.nn.conv2d_transpose(
        soft * table[:, None, None, :], filters, tf.shape(channel), strides=8, padding="VALID"
    )


def _tables(quality: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Luma and chroma tables [B, 64] for qualities [B], scaled as the IJG's library does."""
    scale = tf.where(quality < 50.0, 5000.0 / quality, 200.0 - 2.0 * quality) / 100.0
    return tuple(
        tf.clip_by_value(tf.floor(scale[:, None] * table.reshape(1, 64) + 0.5), 1.0, 255.0)
        for table in (_LUMA, _CHROMA)
    )


def differentiable_jpeg(images: tf.Tensor, quality: tf.Tensor) -> tf.Tensor:
    """JPEG with 4:2:0 chroma and soft rounding (Shin & Song 2017).

    Args:
      images: float32 [B, H, W, 3] in [0, 1].
      quality: float32 [B], 1 to 100.

    Returns:
      float32 [B, H, W, 3] in [0, 1].
    """
    height, width = tf.shape(images)[1], tf.shape(images)[2]
    padding = [[0, 0], [0, -height % 16], [0, -width % 16], [0, 0]]
    padded = tf.pad(images * 255.0, padding, "SYMMETRIC")
    ycbcr = tf.linalg.matmul(padded, _TO_YCBCR) - [128.0, 0.0, 0.0]
    luma_table, chroma_table = _tables(quality)
    luma = _quantise(ycbcr[..., :1], luma_table)
    chroma = tf.nn.avg_pool2d(ycbcr[..., 1:], 2, 2, "VALID")
    chroma = tf.concat([_quantise(chroma[..., i : i + 1], chroma_table) for i in (0, 1)], -1)
    chroma = tf.image.resize(chroma, tf.shape(luma)[1:3])
    rgb = tf.linalg.matmul(tf.concat([luma + 128.0, chroma], -1), _TO_RGB) / 255.0
    return tf.clip_by_value(rgb[:, :height, :width], 0.0, 1.0)


def real_jpeg(images: tf.Tensor, quality: tf.Tensor) -> tf.Tensor:
    """The real codec; arguments and result as differentiable_jpeg, the gradient passes straight through."""
    pixels = tf.clip_by_value(tf.stop_gradient(images), 0.0, 1.0)
    coded = tf.map_fn(
        lambda pair: tf.image.adjust_jpeg_quality(*pair),
        (pixels, tf.cast(quality, tf.int32)),
        fn_output_signature=tf.float32,
    )
    coded = tf.ensure_shape(coded, images.shape)
    return images + tf.stop_gradient(coded - images)
