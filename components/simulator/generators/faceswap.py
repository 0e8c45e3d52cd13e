"""`faceswap` (identity_swap): one encoder shared by two groups of faces, one decoder for each.

The scheme of FaceSwap and DeepFaceLab (Perov et al. 2020, "DeepFaceLab", §3.2): every picture of a group is warped a
little and restored by the group's own decoder, so the encoder keeps pose, expression and light, and the decoders the
look of their group. Decoding a face of one group with the other's decoder swaps it. The made face is pasted back
through a soft mask (§3.3); the `_whole` conditions leave that out and hand the decoder's whole picture on, which is
harder on a tag.
"""

from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow import keras

from faketagger.components.layers.addons import dense_image_warp
from faketagger.components.layers.normalisation import GroupNormalization
from faketagger.components.simulator.generators.base import Faces, Generator, endless, learnable
from faketagger.components.simulator.generators.face_mask import soft_face_mask
from faketagger.components.simulator.generators.settings import TrainingSettings

_GROUP_ATTRIBUTE = "Male"
_WARP_CELLS = 5
_WARP_PIXELS = 0.03  # Standard deviation of the training warp, as a share of the picture's side.


def _block(x, channels: int, stride: int = 1):
    x = keras.layers.Conv2D(channels, 3, stride, "same")(x)
    x = GroupNormalization(groups=8)(x)
    return keras.layers.LeakyReLU(0.2)(x)


def build_encoder(image_size: int, width: int) -> keras.Model:
    """Pictures [B, S, S, 3] in [0, 1] → latent [B, S/16, S/16, 2·width]; S/8 for pictures below 128."""
    images = keras.Input([image_size, image_size, 3])
    x = keras.layers.Rescaling(2.0, -1.0)(images)
    for multiple in (1, 2, 4, 8) if image_size >= 128 else (2, 4, 8):
        x = _block(x, multiple * width, stride=2)
    x = _block(x, 8 * width)
    latent = keras.layers.Conv2D(2 * width, 3, padding="same")(x)
    return keras.Model(images, latent, name="encoder")


def build_decoder(image_size: int, width: int, name: str) -> keras.Model:
    """Latent as build_encoder's → pictures [B, S, S, 3] in [0, 1]."""
    side = image_size // (16 if image_size >= 128 else 8)
    latent = keras.Input([side, side, 2 * width])
    x = _block(latent, 8 * width)
    for multiple in (4, 2, 1, 1) if image_size >= 128 else (4, 2, 1):
        # Upsampling + convolution: transposed convolutions leave checkerboards.
        x = keras.layers.UpSampling2D(interpolation="bilinear")(x)
        x = _block(x, multiple * width)
    x = keras.layers.Conv2D(3, 5, padding="same", activation="sigmoid")(x)
    return keras.Model(latent, x, name=name)


class FaceSwap(Generator):
    """Trains on pairs of batches, one of each group.

    The groups are women and men, where base.MIN_LABELLED of both are labelled; pictures without that label are then in
    neither. Otherwise the groups are any two halves.

    Args:
      image_size: the side of the pictures.
      width: channels of the first layer.
    """

    FAMILY = "identity_swap"
    GROUPED = True
    TOOLS = ("inswapper", "simswap", "facefusion", "deepfacelab", "deepfacelab_full")
    # The tools paste back themselves.
    TOOL_CONDITIONS = ("to_group_a_whole", "to_group_b_whole")
    conditions = ("to_group_a", "to_group_b", "to_group_a_whole", "to_group_b_whole")

    def __init__(self, image_size: int, width: int):
        super().__init__()
        self.image_size, self.width = image_size, width
        self.encoder = build_encoder(image_size, width)
        self.decoders = [build_decoder(image_size, width, name) for name in ("decoder_a", "decoder_b")]

    @property
    def settings(self) -> dict[str, Any]:
        return {"image_size": self.image_size, "width": self.width}

    @property
    def networks(self) -> list[keras.Model]:
        return [self.encoder, *self.decoders]

    @classmethod
    def build_for(cls, settings: TrainingSettings, faces: Faces) -> "FaceSwap":
        return cls(settings.image_size, settings.width)

    def batches(self, faces: Faces, settings: TrainingSettings) -> tf.data.Dataset:
        groups = (endless(pixels, settings) for pixels in _groups(faces))
        return tf.data.Dataset.zip(tuple(groups)).batch(settings.batch_size)

    def simulate(self, images: tf.Tensor, condition: tf.Tensor) -> tf.Tensor:
        """Swaps float32 [B, S, S, 3] in [0, 1] as `condition` [B], an index of `conditions`, says."""
        mask = tf.where((condition < 2)[:, None, None, None], soft_face_mask(images.shape[1]), 1.0)
        return images + mask * (self._swap(images, condition % 2) - images)

    def _swap(self, images: tf.Tensor, groups: tf.Tensor) -> tf.Tensor:
        latent = self.encoder(images)
        # Each decoder runs on its own part of the batch only: they are most of the work.
        places = [tf.where(tf.equal(groups, group))[:, 0] for group in (0, 1)]
        # One picture more for each, dropped again: group normalisation fails on an empty batch.
        padded = [tf.gather(latent, tf.concat([place, [0]], 0)) for place in places]
        made = [decoder(part)[:-1] for decoder, part in zip(self.decoders, padded)]
        order = tf.argsort(tf.concat(places, 0))
        return tf.ensure_shape(tf.gather(tf.concat(made, 0), order), images.shape)

    def train_step(self, data: tuple[tf.Tensor, tf.Tensor]) -> dict[str, tf.Tensor]:
        with tf.GradientTape() as tape:
            latents = tf.split(self.encoder(warp(tf.concat(data, 0)), training=True), 2)
            made = [decoder(latent, training=True) for latent, decoder in zip(latents, self.decoders)]
            loss = tf.add_n([reconstruction_loss(*each) for each in zip(data, made)])
            if self.adversary:
                # The swapped faces too: they are what the simulator makes, and no other loss sees them.
                made += [decoder(latent, training=True) for latent, decoder in zip(latents[::-1], self.decoders)]
                loss += self.adversary.fooling_loss(tf.concat(made, 0), self.optimizer.iterations)
        self.optimizer.minimize(loss, self.generator_variables, tape=tape)
        if not self.adversary:
            return {"loss": loss}
        return {"loss": loss, "critic": self.adversary.train(tf.concat([*data, *data], 0), tf.concat(made, 0))}


def _groups(faces: Faces) -> tuple[np.ndarray, np.ndarray]:
    """The pixels of the first group and of the second."""
    if _GROUP_ATTRIBUTE in learnable(faces):
        labels = faces.labels(_GROUP_ATTRIBUTE)
        return faces.pixels[labels == 0], faces.pixels[labels == 1]
    return faces.pixels[::2], faces.pixels[1::2]


def warp(images: tf.Tensor) -> tf.Tensor:
    """Moves the picture by a smooth random field, as FaceSwap's training does; same shape and range."""
    batch, size = tf.shape(images)[0], images.shape[1]
    coarse = tf.random.normal([batch, _WARP_CELLS, _WARP_CELLS, 2], stddev=_WARP_PIXELS * size)
    flow = tf.image.resize(coarse, [size, size], method="bicubic")
    return tf.ensure_shape(dense_image_warp(images, flow), images.shape)


def reconstruction_loss(images: tf.Tensor, made: tf.Tensor) -> tf.Tensor:
    """L1 + (1 − SSIM) / 2, a scalar."""
    return tf.reduce_mean(tf.abs(images - made)) + tf.reduce_mean(1.0 - tf.image.ssim(images, made, 1.0)) / 2.0
