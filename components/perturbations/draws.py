"""The random numbers of perturbations: new ones at each call, or a function of each picture alone."""

import tensorflow as tf


class New:
    """Random numbers for each picture of a batch, other ones at each call.

    Args:
      images: float32 [B, H, W, 3] in [0, 1].
    """

    def __init__(self, images: tf.Tensor):
        self._count = tf.shape(images)[0]

    def uniform(self, shape: tf.types.experimental.TensorLike, low: float = 0.0, high: float = 1.0) -> tf.Tensor:
        """Uniform in [low, high), float32 [B, *shape]."""
        return tf.random.uniform(tf.concat([[self._count], shape], 0), low, high)

    def normal(self, shape: tf.types.experimental.TensorLike) -> tf.Tensor:
        """Of mean 0 and deviation 1, float32 [B, *shape]."""
        return tf.random.normal(tf.concat([[self._count], shape], 0))


class OfThePicture:
    """As New, but a function of each picture's 8-bit values alone: of neither call, batch, worker nor machine.

    Args:
      images: float32 [B, H, W, 3] in [0, 1].
    """

    def __init__(self, images: tf.Tensor):
        levels = tf.saturate_cast(tf.round(images * 255.0), tf.uint8)
        self._seeds = tf.bitcast(tf.reshape(tf.fingerprint(levels), [-1, 2, 4]), tf.int32)

    def uniform(self, shape: tf.types.experimental.TensorLike, low: float = 0.0, high: float = 1.0) -> tf.Tensor:
        """As New.uniform."""
        return self._each(lambda seed: tf.random.stateless_uniform(shape, seed, low, high, alg="philox"))

    def normal(self, shape: tf.types.experimental.TensorLike) -> tf.Tensor:
        """As New.normal."""
        return self._each(lambda seed: tf.random.stateless_normal(shape, seed, alg="philox"))

    def _each(self, draw) -> tf.Tensor:
        self._seeds += [0, 1]  # What is drawn next is independent of what was drawn before.
        return tf.map_fn(draw, self._seeds, fn_output_signature=tf.float32)
