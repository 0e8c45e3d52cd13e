"""What moves a face or changes its size: resizing and cropping. Both differentiable."""

import tensorflow as tf

from faketagger.components.perturbations.base import Perturbation


class Resize(Perturbation):
    """Shrinks with antialiasing and enlarges again; strength is the scale, one for the batch; 1 changes nothing."""

    LIMITS = (0.001, 1.0)
    _ONE_FOR_THE_BATCH = True

    def _apply(self, images, strength, drawn):
        size = tf.shape(images)[1:3]
        small = tf.maximum(1, tf.cast(tf.round(tf.cast(size, tf.float32) * strength), tf.int32))
        shrunk = tf.image.resize(images, small, antialias=True)
        return tf.clip_by_value(tf.image.resize(shrunk, size, method="bicubic"), 0.0, 1.0)


class Crop(Perturbation):
    """Cuts out a window at a random place and enlarges it; strength is its share of each side; 1 changes nothing.

    HiDDeN's crop (Zhu et al. 2018) hands the smaller window to a decoder of any size. Ours takes one size, to which
    whoever reads a cropped file brings it: what hurts is that the face moves and grows.
    """

    LIMITS = (0.1, 1.0)

    def _apply(self, images, strength, drawn):
        share = strength[:, 0, 0, 0]
        size = tf.shape(images)[1:3]
        top, left = tf.unstack(drawn.uniform([2]) * (1.0 - share)[:, None] * tf.cast(size - 1, tf.float32), axis=1)
        none = tf.zeros_like(share)
        # Not tf.image.crop_and_resize, of which TensorFlow's optimiser warns in every graph.
        return tf.raw_ops.ImageProjectiveTransformV3(
            images=images,
            transforms=tf.stack([share, none, left, none, share, top, none, none], 1),
            output_shape=size,
            fill_value=0.0,
            interpolation="BILINEAR",
        )
