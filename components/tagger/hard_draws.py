"""Which simulator and which conditions a training step takes: what is read badly comes more often."""

from collections.abc import Sequence

import tensorflow as tf

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
        self.bit_errors = tf.Variable(_ERRORS_AT_CHANCE * self._exists, trainable=False)

    def draw(self, pictures: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """A group, int32 [], for a whole batch, and a condition for each of its `pictures`, int32 [B]."""
        hard = self.bit_errors
        if self._settings.spares_hopeless:
            hard = hard * (1.0 - hard / _ERRORS_AT_CHANCE)
        weights = (tf.nn.relu(hard) + self._settings.floor) * self._exists
        group = _one_of(tf.reduce_max(weights, 1), 1)[0]
        return group, _one_of(weights[group], pictures)

    def note(self, group: tf.Tensor, condition: tf.Tensor, bit_errors: tf.Tensor) -> None:
        """Takes up how a batch was read: draw's int32 [] and [B], and each picture's bit error rate [B]."""
        count = self.bit_errors.shape[1]
        drawn = tf.math.unsorted_segment_sum(tf.ones_like(bit_errors), condition, count) > 0
        found = tf.math.unsorted_segment_mean(bit_errors, condition, count)
        old = self.bit_errors[group]
        kept = self._settings.smoothing
        new = tf.where(drawn, kept * old + (1.0 - kept) * found, old)
        self.bit_errors.scatter_update(tf.IndexedSlices(new, group))


def _one_of(weights: tf.Tensor, times: tf.Tensor) -> tf.Tensor:
    return tf.random.categorical(tf.math.log(weights)[None], times, tf.int32)[0]
