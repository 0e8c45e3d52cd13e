"""`autoencoder` (entire_synthesis): a picture encoded into a small latent and decoded, as latent-diffusion editors do.

The first stage of Rombach et al. 2022 ("High-Resolution Image Synthesis with Latent Diffusion Models", §3.1 and
appendix G): a convolutional autoencoder whose latent is held near a normal distribution, trained by reconstruction and
a patch critic. Whatever such an editor is asked to change, the whole picture goes through this latent. The conditions
are the paper's commonest: sides 4 and 8 times smaller, of 3 and 4 channels.
"""

from typing import Any

import tensorflow as tf
from tensorflow import keras

from faketagger.components.layers.normalisation import GroupNormalization
from faketagger.components.simulator.generators.base import Faces, Generator, endless
from faketagger.components.simulator.generators.faceswap import reconstruction_loss
from faketagger.components.simulator.generators.settings import TrainingSettings

_LATENTS = {4: 3, 8: 4}  # Channels by how many times the side is smaller.
_DIVERGENCE_WEIGHT = 1e-4  # The paper's is 1e-6 beside sums over pixels.


def _block(x, channels: int, stride: int = 1):
    x = keras.layers.Conv2D(channels, 3, stride, "same")(x)
    return keras.activations.swish(GroupNormalization(groups=8)(x))


def _residual_block(x):
    channels = x.shape[-1]
    return x + keras.layers.Conv2D(channels, 3, padding="same")(_block(x, channels))


def build_encoder(image_size: int, width: int, factor: int) -> keras.Model:
    """Pictures [B, S, S, 3] in [0, 1] → mean and log variance of the latent, [B, S/factor, S/factor, 2·channels]."""
    images = keras.Input([image_size, image_size, 3])
    x, channels = keras.layers.Rescaling(2.0, -1.0)(images), width
    while x.shape[1] > image_size // factor:
        channels = min(2 * channels, 4 * width)
        x = _residual_block(_block(x, channels, stride=2))
    # Small at first: a variance is the exponential of what comes out, and drowns the picture in noise else.
    first = keras.initializers.RandomNormal(stddev=0.01)
    x = keras.activations.swish(GroupNormalization(groups=8)(_residual_block(x)))
    moments = keras.layers.Conv2D(2 * _LATENTS[factor], 3, padding="same", kernel_initializer=first)(x)
    return keras.Model(images, moments, name=f"encoder_{factor}")


def build_decoder(image_size: int, width: int, factor: int) -> keras.Model:
    """Latents [B, S/factor, S/factor, channels] → pictures [B, S, S, 3] in [0, 1]."""
    latents = keras.Input([image_size // factor, image_size // factor, _LATENTS[factor]])
    x = _residual_block(_block(latents, 4 * width))
    while x.shape[1] < image_size:
        x = keras.layers.UpSampling2D(interpolation="bilinear")(x)
        channels = width if x.shape[1] == image_size else 2 * width
        x = _block(x, channels)
        if x.shape[1] < image_size:
            x = _residual_block(x)
    made = keras.layers.Conv2D(3, 3, padding="same", activation="sigmoid")(x)
    return keras.Model(latents, made, name=f"decoder_{factor}")


class Autoencoder(Generator):
    """`latent_4` and `latent_8` hand a picture through latents of a quarter and an eighth of its side.

    Args:
      image_size: the side of the pictures, a multiple of 16.
      width: channels at full resolution.
    """

    FAMILY = "entire_synthesis"
    GROUPED = True
    TOOLS = ("facefusion",)
    conditions = tuple(f"latent_{factor}" for factor in _LATENTS)

    def __init__(self, image_size: int, width: int):
        super().__init__()
        self.image_size, self.width = image_size, width
        self.encoders = [build_encoder(image_size, width, factor) for factor in _LATENTS]
        self.decoders = [build_decoder(image_size, width, factor) for factor in _LATENTS]

    @property
    def settings(self) -> dict[str, Any]:
        return {"image_size": self.image_size, "width": self.width}

    @property
    def networks(self) -> list[keras.Model]:
        return [*self.encoders, *self.decoders]

    @classmethod
    def build_for(cls, settings: TrainingSettings, faces: Faces) -> "Autoencoder":
        return cls(settings.image_size, settings.width)

    def batches(self, faces: Faces, settings: TrainingSettings) -> tf.data.Dataset:
        return endless(faces.pixels, settings).batch(settings.batch_size)

    def simulate(self, images: tf.Tensor, condition: tf.Tensor) -> tf.Tensor:
        """Encodes and decodes float32 [B, S, S, 3] in [0, 1] as `condition` [B], an index of `conditions`, says."""

        def through(place: int) -> tf.Tensor:
            mean, _ = tf.split(self.encoders[place](images, training=False), 2, -1)
            return self.decoders[place](mean, training=False)

        # Both, always: TensorFlow finds no gradient of a loaded model's condition inside a training's own.
        return tf.where(tf.equal(condition, 1)[:, None, None, None], through(1), through(0))

    def train_step(self, data: tf.Tensor) -> dict[str, tf.Tensor]:
        with tf.GradientTape() as tape:
            made, divergences = zip(*(self._restore(data, place) for place in range(len(_LATENTS))))
            reconstruction = tf.add_n([reconstruction_loss(data, each) for each in made])
            divergence = tf.add_n(divergences)
            loss = reconstruction + _DIVERGENCE_WEIGHT * divergence
            if self.adversary:
                loss += self.adversary.fooling_loss(tf.concat(made, 0), self.optimizer.iterations)
        self.optimizer.minimize(loss, self.generator_variables, tape=tape)
        losses = {"loss": loss, "reconstruction": reconstruction, "divergence": divergence}
        if self.adversary:
            losses["critic"] = self.adversary.train(tf.concat([data, data], 0), tf.concat(made, 0))
        return losses

    def _restore(self, images: tf.Tensor, place: int) -> tuple[tf.Tensor, tf.Tensor]:
        """The pictures through one latent, drawn from its distribution; and that one's divergence from a normal one."""
        mean, log_variance = tf.split(self.encoders[place](images, training=True), 2, -1)
        log_variance = tf.clip_by_value(log_variance, -30.0, 20.0)
        latent = mean + tf.exp(log_variance / 2.0) * tf.random.normal(tf.shape(mean))
        divergence = 0.5 * tf.reduce_mean(tf.square(mean) + tf.exp(log_variance) - 1.0 - log_variance)
        return self.decoders[place](latent, training=True), divergence
