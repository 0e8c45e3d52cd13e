"""Where a training that was killed had come to."""

import os

import tensorflow as tf


def steps_taken(checkpoints: str, epoch_steps: int) -> int:
    """Those up to the last checkpoint that Keras' BackupAndRestore wrote, one an epoch; 0 of a new training."""
    latest = tf.train.latest_checkpoint(os.path.join(checkpoints, "chief"))  # Where Keras keeps it.
    return epoch_steps * int(latest.rpartition("-")[2]) if latest else 0
