"""The optimiser that generators and critics are trained with."""

from tensorflow import keras


def decaying_adam(learning_rate: float, steps: int) -> keras.optimizers.Optimizer:
    """Adam as GANs are trained with, its rate decayed to a twentieth along a cosine."""
    schedule = keras.optimizers.schedules.CosineDecay(learning_rate, steps, alpha=0.05)
    return keras.optimizers.Adam(schedule, beta_1=0.5, clipnorm=1.0)
