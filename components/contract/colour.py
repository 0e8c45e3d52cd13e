"""Colours as the eye tells them apart."""

import numpy as np
import tensorflow as tf

# Columns are X, Y and Z relative to those of white.
_SRGB_TO_XYZ = np.array(
    [
        [0.4124 / 0.9505, 0.2126, 0.0193 / 1.089],
        [0.3576 / 0.9505, 0.7152, 0.1192 / 1.089],
        [0.1805 / 0.9505, 0.0722, 0.9505 / 1.089],
    ],
    np.float32,
)


def lab(images: tf.Tensor) -> tf.Tensor:
    """sRGB float32 [..., 3] in [0, 1] → CIE 1976 L*a*b* under D65 (IEC 61966-2-1, CIE 15)."""
    images = tf.clip_by_value(images, 1e-4, 1.0)
    linear = tf.where(images <= 0.04045, images / 12.92, tf.pow((images + 0.055) / 1.055, 2.4))
    xyz = tf.clip_by_value(linear @ tf.constant(_SRGB_TO_XYZ), 1e-6, 2.0)
    roots = tf.where(xyz > (6 / 29) ** 3, tf.pow(xyz, 1 / 3), xyz * (29 / 6) ** 2 / 3 + 4 / 29)
    x, y, z = tf.unstack(roots, axis=-1)
    return tf.stack([116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)], -1)
