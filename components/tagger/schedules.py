"""Weights of the loss terms as schedule objects: scale, delay, ramp (StegaStamp's training uses the same three)."""

from typing import TYPE_CHECKING

from faketagger.components.contract.settings import Field, Settings

if TYPE_CHECKING:
    import tensorflow as tf


class Ramp(Settings):
    """0 until `delay` steps after the decoder reads, then linearly up to `scale` within `ramp` steps.

    Attributes:
      scale: the final weight.
      delay: steps after the decoder first reads (training.py says when that is).
      ramp: steps from 0 to `scale`; 0 for a jump.
    """

    scale: float = Field(..., ge=0)
    delay: int = Field(0, ge=0)
    ramp: int = Field(0, ge=0)

    def __call__(self, step: "tf.Tensor") -> "tf.Tensor":
        """The weight, a float32 scalar, `step` steps after the decoder first read; 0 for negative steps."""
        import tensorflow as tf  # Here: settings hold schedules, and a command's `--help` needs settings.

        passed = tf.cast(step, tf.float32) - self.delay
        share = tf.clip_by_value(passed / self.ramp, 0.0, 1.0) if self.ramp else tf.cast(passed >= 0, tf.float32)
        return self.scale * share
