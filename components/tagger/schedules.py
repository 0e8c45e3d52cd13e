"""Weights of the loss terms as schedule objects: scale, delay, ramp (StegaStamp's training uses the same three)."""

import dataclasses
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class Ramp:
    """0 until `delay` steps after the decoder reads, then linearly up to `scale` within `ramp` steps.

    Attributes:
      scale: the final weight.
      delay: steps after the decoder first reads (training.py says when that is).
      ramp: steps from 0 to `scale`; 0 for a jump.
    """

    scale: float
    delay: int = 0
    ramp: int = 0

    def __post_init__(self):
        if self.scale < 0 or self.delay < 0 or self.ramp < 0:
            raise ValueError(f"scale, delay and ramp must not be negative, got {self}")

    def __call__(self, step: "tf.Tensor") -> "tf.Tensor":
        """The weight, a float32 scalar, `step` steps after the decoder first read; 0 for negative steps."""
        import tensorflow as tf  # Here: settings hold schedules, and a command's `--help` needs settings.

        passed = tf.cast(step, tf.float32) - self.delay
        share = tf.clip_by_value(passed / self.ramp, 0.0, 1.0) if self.ramp else tf.cast(passed >= 0, tf.float32)
        return self.scale * share
