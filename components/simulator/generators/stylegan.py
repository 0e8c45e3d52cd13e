"""`stylegan` (entire_synthesis): a picture is encoded into the latent of a style-based generator and synthesised anew.

The generator is that of Karras et al. 2019 ("A Style-Based Generator Architecture for Generative Adversarial
Networks", CVPR, §2): a mapping network z → w, a learned constant, a style and a noise input for each layer. Its
convolutions are modulated and demodulated in place of AdaIN (Karras et al. 2020, "Analyzing and Improving the Image
Quality of StyleGAN", §2.2): that leaves no droplets and is cheaper, for it takes no statistics of feature maps. Every
resolution adds to the picture's colours (§4.1, output skips): the coarse picture comes first without growing networks.

The encoder gives W+, one w a layer, as offsets from the mean w (Richardson et al. 2021, "Encoding in Style", §3).
Learned from a few hundred photographs, W+ alone yields some face, not this face, and no tag comes through; so the
encoder also gives a coarse feature code that is added to the features of its resolution (the F/W+ space of Kang et al.
2021, "GAN Inversion for Out-of-Range Images with Geometric Transformations", §3). The code is normalised by channel
over the picture, as are the content codes of Huang et al. 2018 ("MUNIT", §5.1): colour and contrast are left to W+.

Encoder, generator and critic are trained together from the first step, with the non-saturating loss. The slope of the
critic is held down as R1 does, but measured by a finite difference, which needs no second-order gradients. The critic
sees augmented pictures alone (Zhao et al. 2020), so that it cannot learn the few photographs by heart. Against a critic
alone a short training paints noise in place of mixed styles: their grey picture is held to the photograph's.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow import keras

from faketagger.components.contract.settings import Unexpected
from faketagger.components.layers.normalisation import GroupNormalization
from faketagger.components.simulator.generators.base import Faces, Generator, endless
from faketagger.components.simulator.generators.faceswap import reconstruction_loss
from faketagger.components.simulator.generators.optimiser import decaying_adam
from faketagger.components.simulator.generators.settings import TrainingSettings
from faketagger.components.simulator.generators.stylegan_layers import (
    EqualisedDense,
    LearnedConstant,
    ModulatedConvolution,
    NoiseInput,
    activate,
)

_CONSTANT_SIDE = 4
_MAPPING_LAYERS = 4  # The paper's 8 are for 70,000 photographs.
_MAPPING_RATE = 0.1  # The paper's 0.01 goes with four times our learning rate and a hundred times our steps.
_SEED = 2019
_FIXED_Z = 64  # How many of them the mean w is taken over.
_TRUNCATION = 0.7  # ψ of the 2019 paper, appendix B.
_KEPT = 0.5  # Share of the sampled pictures that keep the code and the coarse styles of a photograph.
_RECONSTRUCTION_WEIGHT = 10.0
_STRUCTURE_WEIGHT = 3.0
_OFFSETS_WEIGHT = 0.02
_CRITIC_RATE = 2.0  # The critic's learning rate in the generator's (Heusel et al. 2017, TTUR).
_PENALTY_WEIGHT = 0.1  # γ of R1, for pictures in [0, 1].
_PENALTY_STEP = 0.03  # Standard deviation of the difference, in the pictures' range of 1.


def style_layers(image_size: int) -> int:
    """How many w there are in W+: one for 4×4, two for each further resolution."""
    return 1 + 2 * (image_size // _CONSTANT_SIDE).bit_length() - 2


def code_side(image_size: int) -> int:
    """The feature code's side: S/16; S/8 for pictures below 128."""
    return image_size // (16 if image_size >= 128 else 8)


def _channels(side: int, image_size: int, width: int) -> int:
    return min(image_size // side, 8) * width


def build_mapping(width: int) -> keras.Model:
    """z [B, 8·width], scaled to a mean square of 1 → w [B, 8·width]."""
    z = keras.Input([8 * width])
    x = z * tf.math.rsqrt(tf.reduce_mean(tf.square(z), -1, keepdims=True) + 1e-8)
    for _ in range(_MAPPING_LAYERS):
        x = activate(EqualisedDense(8 * width, _MAPPING_RATE)(x))
    return keras.Model(z, x, name="mapping")


def build_synthesis(image_size: int, width: int) -> keras.Model:
    """W+ [B, style_layers, 8·width] and code [B, code_side, code_side, 2·width] → pictures [B, S, S, 3] in [0, 1].

    With a code of zeros the picture is made of W+ alone.
    """
    w_plus = keras.Input([style_layers(image_size), 8 * width])
    code = keras.Input([code_side(image_size), code_side(image_size), 2 * width])

    def styled(x, layer: int, channels: int):
        x = ModulatedConvolution(channels, 3)([x, w_plus[:, layer]])
        return activate(NoiseInput(_SEED + layer)(x))

    def upsampled(x):
        return keras.layers.UpSampling2D(interpolation="bilinear")(x)

    x, colours, side = LearnedConstant(_CONSTANT_SIDE, 8 * width)(w_plus), 0.0, _CONSTANT_SIDE
    for layer in range(0, style_layers(image_size), 2):
        if layer:
            side *= 2
            # Convolved, then upsampled: a quarter of the cost.
            x = upsampled(styled(x, layer - 1, _channels(side, image_size, width)))
            colours = upsampled(colours)
        x = styled(x, layer, _channels(side, image_size, width))
        if side == code_side(image_size):
            x += keras.layers.Conv2D(_channels(side, image_size, width), 1, use_bias=False)(code)
        colours += ModulatedConvolution(3, 1, demodulate=False)([x, w_plus[:, layer]])
    return keras.Model([w_plus, code], tf.sigmoid(colours), name="synthesis")


def _halved(x, channels: int, normalise: bool):
    x = keras.layers.Conv2D(channels, 3, 2, "same")(x)
    if normalise:
        x = GroupNormalization(groups=8)(x)
    return keras.layers.LeakyReLU(0.2)(x)


def build_encoder(image_size: int, width: int) -> keras.Model:
    """Pictures [B, S, S, 3] in [0, 1] → offsets from the mean w [B, style_layers, 8·width], and the feature code
    [B, code_side, code_side, 2·width], each channel of mean 0 and variance 1.
    """
    images = keras.Input([image_size, image_size, 3])
    x, side, layers = keras.layers.Rescaling(2.0, -1.0)(images), image_size, style_layers(image_size)
    while side > _CONSTANT_SIDE:
        side //= 2
        x = _halved(x, _channels(side, image_size, width), normalise=True)
        if side == code_side(image_size):
            code = keras.layers.Conv2D(2 * width, 3, padding="same")(x)
            code = GroupNormalization(groups=2 * width, center=False, scale=False)(code)
    offsets = keras.layers.Dense(layers * 8 * width)(keras.layers.GlobalAveragePooling2D()(x))
    return keras.Model(images, [keras.layers.Reshape([layers, 8 * width])(offsets), code], name="encoder")


def build_critic(image_size: int, width: int) -> keras.Model:
    """Pictures [B, S, S, 3] → scores [B], high for photographs."""
    images = keras.Input([image_size, image_size, 3])
    x, side = keras.layers.Rescaling(2.0, -1.0)(images), image_size
    while side > _CONSTANT_SIDE:
        side //= 2
        x = _halved(x, _channels(side, image_size, width), normalise=False)
    return keras.Model(images, keras.layers.Dense(1)(keras.layers.Flatten()(x))[:, 0], name="critic")


class StyleGAN(Generator):
    """`reconstruct` makes a picture of its own W+ and code. `style_mix` takes the finer half of the layers from one
    fixed, truncated w of the mapping network (2019 paper, §3.1 and appendix B): another look of the same face.

    Args:
      image_size: the side of the pictures, a power of two.
      width: channels of the last layer. The paper's networks at 256×256 have 64; 16 to 24 suit two cores.
    """

    FAMILY = "entire_synthesis"
    GROUPED = True
    TOOLS = ("facefusion",)
    conditions = ("reconstruct", "style_mix")

    def __init__(self, image_size: int, width: int):
        super().__init__()
        self.image_size, self.width = image_size, width
        self.mapping = build_mapping(width)
        self.synthesis = build_synthesis(image_size, width)
        self.encoder = build_encoder(image_size, width)
        self.critic = build_critic(image_size, width)
        self._fixed_z = np.float32(np.random.default_rng(_SEED).normal(size=[_FIXED_Z, 8 * width]))

    @classmethod
    def check_size(cls, image_size: int, depth: int | None) -> None:
        if image_size & (image_size - 1):
            raise Unexpected("a power of two, as stylegan's resolutions double", image_size, "image_size")

    @property
    def settings(self) -> dict[str, Any]:
        return {"image_size": self.image_size, "width": self.width}

    @property
    def networks(self) -> list[keras.Model]:
        return [self.mapping, self.synthesis, self.encoder]

    @classmethod
    def build_for(cls, settings: TrainingSettings, faces: Faces) -> "StyleGAN":
        cls.check_size(settings.image_size, settings.depth)
        return cls(settings.image_size, settings.width)

    @property
    def generator_variables(self) -> list[tf.Variable]:
        """What the generator's step trains: everything but the critic."""
        parts = (self.mapping, self.synthesis, self.encoder)
        return [variable for part in parts for variable in part.trainable_variables]

    def compile_for(self, settings: TrainingSettings, steps: int) -> None:
        self.compile(decaying_adam(settings.learning_rate, steps))
        self.optimizer.build(self.generator_variables)
        self.critic_optimizer = decaying_adam(_CRITIC_RATE * settings.learning_rate, steps)
        self.critic_optimizer.build(self.critic.trainable_variables)

    def batches(self, faces: Faces, settings: TrainingSettings) -> tf.data.Dataset:
        return endless(faces.pixels, settings).batch(settings.batch_size)

    def simulate(self, images: tf.Tensor, condition: tf.Tensor) -> tf.Tensor:
        """Synthesises float32 [B, S, S, 3] in [0, 1] anew as `condition` [B], an index of `conditions`, says."""
        offsets, code = self.encoder(images, training=False)
        looks = self.mapping(self._fixed_z)
        mean = tf.reduce_mean(looks, 0)
        w_plus = mean + offsets
        mixed = mix_styles(w_plus, mean + _TRUNCATION * (looks[:1] - mean))
        w_plus = tf.where(tf.equal(condition, 1)[:, None, None], mixed, w_plus)
        return self.synthesis([w_plus, code], training=False)

    def train_step(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        batch = tf.shape(images)[0]
        # Both steps start from the same pictures and scores (Mescheder et al. 2018, §2): half the work.
        with tf.GradientTape(persistent=True) as tape:
            made, kept, size_of_offsets = self._make(images)
            seen = augment(tf.concat([images, made], 0))
            scores = self.critic(seen, training=True)
            real, fake = scores[:batch], scores[batch:]
            reconstruction = reconstruction_loss(images, made[:batch])
            adversarial = tf.reduce_mean(tf.nn.softplus(-fake))
            structure = tf.reduce_mean(kept * structure_loss(images, made[batch:]))
            loss = _RECONSTRUCTION_WEIGHT * reconstruction + _STRUCTURE_WEIGHT * structure + adversarial
            loss += _OFFSETS_WEIGHT * size_of_offsets
            critic = tf.reduce_mean(tf.nn.softplus(fake)) + tf.reduce_mean(tf.nn.softplus(-real))
            penalty = slope_penalty(lambda pictures: self.critic(pictures, training=True), seen[:batch], real)
            critic_loss = critic + _PENALTY_WEIGHT / 2.0 * penalty
        self.optimizer.minimize(loss, self.generator_variables, tape=tape)
        self.critic_optimizer.minimize(critic_loss, self.critic.trainable_variables, tape=tape)
        losses = {"reconstruction": reconstruction, "structure": structure, "adversarial": adversarial}
        return {**losses, "critic": critic, "penalty": penalty}

    def _make(self, images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """The pictures reconstructed, then as many sampled, [2·B, S, S, 3]; which of these keep a photograph's code and
        coarse styles, 0 or 1, [B]; and the mean square of the offsets from the mean w, in variances of w: the term that
        keeps W+ where the mapping network's w are (Richardson et al. 2021, equation 3).
        """
        batch = tf.shape(images)[0]
        offsets, code = self.encoder(images, training=True)
        looks = self.mapping(tf.concat([self._fixed_z, tf.random.normal([batch, self._fixed_z.shape[1]])], 0))
        fixed, sampled = looks[:_FIXED_Z], looks[_FIXED_Z:, None]
        w_plus = tf.reduce_mean(fixed, 0) + offsets
        # Some samples mix styles, as `style_mix` will.
        kept = tf.random.uniform([batch, 1, 1]) < _KEPT
        styles = tf.where(kept, mix_styles(w_plus, sampled), tf.repeat(sampled, offsets.shape[1], 1))
        codes = tf.where(kept[..., None], code, 0.0)
        made = self.synthesis([tf.concat([w_plus, styles], 0), tf.concat([code, codes], 0)], training=True)
        variance = tf.stop_gradient(tf.reduce_mean(tf.math.reduce_variance(fixed, 0)))
        return made, tf.cast(kept[:, 0, 0], tf.float32), tf.reduce_mean(tf.square(offsets)) / (variance + 1e-6)


def mix_styles(w_plus: tf.Tensor, w: tf.Tensor) -> tf.Tensor:
    """W+ [B, layers, D] with its finer half replaced by w, [B or 1, 1, D] or [1, D]."""
    coarse = w_plus.shape[1] // 2
    return tf.concat([w_plus[:, :coarse], tf.zeros_like(w_plus[:, coarse:]) + w], 1)


def structure_loss(images: tf.Tensor, made: tf.Tensor) -> tf.Tensor:
    """1 − SSIM of the pictures in grey, [B]: style mixing may change colours, not the face."""
    return 1.0 - tf.image.ssim(tf.reduce_mean(images, 3, True), tf.reduce_mean(made, 3, True), 1.0)


def augment(images: tf.Tensor) -> tf.Tensor:
    """Brightness, saturation, contrast and place of each picture changed at random (Zhao et al. 2020, "Differentiable
    Augmentation for Data-Efficient GAN Training", §3.2; `Color` and `Translation` of the authors' code).

    Float32 [B, S, S, 3] in [0, 1] → the same shape, somewhat out of range; differentiable.
    """
    batch, size = tf.shape(images)[0], images.shape[1]

    def drawn(low: float, high: float) -> tf.Tensor:
        return tf.random.uniform([batch, 1, 1, 1], low, high)

    images += drawn(-0.25, 0.25)
    grey = tf.reduce_mean(images, 3, keepdims=True)
    images = grey + drawn(0.0, 2.0) * (images - grey)
    mean = tf.reduce_mean(images, [1, 2, 3], keepdims=True)
    images = mean + drawn(0.5, 1.5) * (images - mean)
    return shift(images, tf.random.uniform([batch, 2], -size // 8, size // 8 + 1, tf.int32))


def shift(images: tf.Tensor, pixels: tf.Tensor) -> tf.Tensor:
    """Moves each picture of [B, S, S, 3] down and to the right by int32 [B, 2] pixels; what comes in is 0."""
    down, right = tf.unstack(tf.cast(pixels, tf.float32), axis=1)
    ones, zeros = tf.ones_like(down), tf.zeros_like(down)
    moved = tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=tf.stack([ones, zeros, -right, zeros, ones, -down, zeros, zeros], 1),
        output_shape=images.shape[1:3],
        fill_value=0.0,
        interpolation="NEAREST",
    )
    return tf.ensure_shape(moved, images.shape)


def slope_penalty(critic: Callable[[tf.Tensor], tf.Tensor], images: tf.Tensor, scores: tf.Tensor) -> tf.Tensor:
    """R1, the mean squared norm of the critic's gradient at photographs (Mescheder et al. 2018, §4.1), estimated by one
    step in a random direction (Lin et al. 2025, "Diffusion Adversarial Post-Training", approximated R1).

    Args:
      critic: pictures → scores [B].
      images: the photographs, [B, S, S, 3].
      scores: the critic's of the photographs, [B].
    """
    nearby = critic(images + tf.random.normal(tf.shape(images), stddev=_PENALTY_STEP))
    return tf.reduce_mean(tf.square((nearby - scores) / _PENALTY_STEP))
