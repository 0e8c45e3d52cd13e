"""The `perturbation` family: what happens to pictures on their way (DeepTag §4, FakeTagger §5.4).

Each perturbation is one class with a range of strengths, in the module of its kind; catalogue.py lists them. In
training they are drawn at random, for each picture where nothing else is said. In evaluation the range is one value,
and whatever else is random becomes a function of the picture alone, so that two evaluations agree. All map float32
[B, H, W, 3] in [0, 1] to the same shape and range, and all but the real codecs are differentiable.
"""

import tensorflow as tf

from faketagger.components.perturbations import draws

Range = tuple[float, float]
Draws = draws.New | draws.OfThePicture


class Perturbation:
    """Base: holds the range of strengths and draws from it.

    A subclass names the strengths it can take in LIMITS, both included, and what it does in `_apply`.

    Attributes:
      strength: (lowest, highest); the unit is the subclass's.

    Raises:
      ValueError: the range is no pair of numbers, empty, or beyond LIMITS.
    """

    LIMITS: Range = (0.0, 1.0)
    _ONE_FOR_THE_BATCH = False

    def __init__(self, strength: Range):
        name = type(self).__name__
        try:
            lowest, highest = map(float, strength)
        except (TypeError, ValueError):
            raise ValueError(f"{name}: strength must be (lowest, highest), got {strength!r}") from None
        if lowest > highest:
            raise ValueError(f"{name}: the range of strengths {strength} is empty")
        if not (self.LIMITS[0] <= lowest and highest <= self.LIMITS[1]):  # Written so that NaN is refused too.
            raise ValueError(f"{name}: strengths go from {self.LIMITS[0]:g} to {self.LIMITS[1]:g}, got {strength}")
        self.strength = (lowest, highest)

    def __call__(self, images: tf.Tensor) -> tf.Tensor:
        fixed = self.strength[0] == self.strength[1]
        drawn = draws.OfThePicture(images) if fixed else draws.New(images)
        shape = [] if self._ONE_FOR_THE_BATCH else [tf.shape(images)[0], 1, 1, 1]
        strength = draws.uniform(shape, *self.strength)
        return tf.ensure_shape(self._apply(images, strength, drawn), images.shape)

    def _apply(self, images: tf.Tensor, strength: tf.Tensor, drawn: Draws) -> tf.Tensor:
        """`strength` is float32 [B, 1, 1, 1], or a scalar where it is one for the batch."""
        raise NotImplementedError
