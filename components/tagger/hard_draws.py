"""Which simulator and which conditions a training step takes: what is read badly comes more often."""

from collections.abc import Sequence

import tensorflow as tf

from faketagger.components.layers import distribution
from faketagger.components.perturbations import draws
from faketagger.components.tagger.config import HardDrawing

_ERRORS_AT_CHANCE = 0.5


class HardDraws(tf.Module):
    """Keeps the running bit error rate of every condition and draws in proportion to it.

    A group of conditions, which one batch can go through together, counts as its hardest condition does: were it the
    mean, one hard condition among many easy ones would hardly be met. (Shrivastava et al. 2016, "Training Region-based
    Object Detectors with Online Hard Example Mining", take the hard examples of each batch; here all of a batch goes
    through one group.)

    Args:
      conditions: how many conditions each group has.
      settings: how strongly what is read badly is preferred.
    """

    def __init__(self, conditions: Sequence[int], settings: HardDrawing):
        super().__init__()
        self._settings = settings
        # Where a group has fewer conditions than another, nothing is ever drawn.
        self._exists = tf.sequence_mask(conditions, dtype=tf.float32)
        self.bit_errors = distribution.shared_variable(_ERRORS_AT_CHANCE * self._exists)

    def draw(self, pictures: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """A group, int32 [], for a whole batch, and a condition for each of its `pictures`, int32 [B]."""
        hard = self.bit_errors
        if self._settings.spares_hopeless:
            hard = hard * (1.0 - hard / _ERRORS_AT_CHANCE)
        weights = (tf.nn.relu(hard) + self._settings.floor) * self._exists
        group = draws.one_of(tf.reduce_max(weights, 1))
        return group, draws.one_of(weights[group], pictures)

    def counted(self, group: tf.Tensor, condition: tf.Tensor, bit_errors: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """How a batch was read: the sums of bit error rates and the numbers of pictures, float32 as `bit_errors`.

        Args:
          group, condition: int32 [] and [B], as drawn.
          bit_errors: each picture's bit error rate, float32 [B].
        """
        places = tf.stack([tf.fill(tf.shape(condition), group), condition], 1)
        shape = self.bit_errors.shape
        return tf.scatter_nd(places, bit_errors, shape), tf.scatter_nd(places, tf.ones_like(bit_errors), shape)

    def take_up(self, sums: tf.Tensor, counts: tf.Tensor) -> None:
        """Takes up what was `counted`, of all replicas together where there are several."""
        kept, old = self._settings.smoothing, self.bit_errors
        found = sums / tf.maximum(counts, 1.0)
        self.bit_errors.assign(tf.where(counts > 0, kept * old + (1.0 - kept) * found, old))
