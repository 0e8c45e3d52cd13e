"""What `stargan` and `stgan` (attribute_editing) share: which attributes, which batches, the critic, the training step.

Both train one generator for all attributes against a critic that says how real a picture is and which attributes it
shows (Choi et al. 2018, "StarGAN", §3.1; Liu et al. 2019, "STGAN", "Loss Functions"). A condition inverts one of them.

Two things differ from the papers, both for training on two cores and some hundred pictures:
- The critic is spectrally normalised and trained with the hinge loss (Miyato et al. 2018), one step for each of the
  generator's. WGAN-GP needs second-order gradients and five critic steps; R1 needs the former too, and a weight that
  suits the data. The bound on the critic's slope also makes its attribute head hard to satisfy by imperceptible noise.
- Large pictures are trained at half their side first, at a quarter of the cost. Two critics judge them (Wang et al.
  2018, "pix2pixHD", §3.2): one sees the whole face, reduced to at most 64 pixels and so the same in both stages, the
  other small patches at the picture's own scale.
"""

import abc
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow import keras

from faketagger.components.contract import features
from faketagger.components.simulator.generators.base import MIN_LABELLED, Faces, Generator, learnable, window
from faketagger.components.simulator.generators.critics import (
    SpectralConv2D,
    build_patch_critic,
    critic_layer,
    hinge_loss,
)
from faketagger.components.simulator.generators.optimiser import decaying_adam
from faketagger.components.simulator.generators.settings import TrainingSettings

_CONDITION_NAMES = {"Male": "gender", "Smiling": "happy"}  # As the papers call them; others are lower-case.
_HAIR_COLOURS = ("Black_Hair", "Blond_Hair", "Brown_Hair", "Gray_Hair")

_CRITIC_SIDE = 64
_CRITIC_WIDENING = 2  # The critic works on far fewer pixels than the generator: width is cheap there.
_HALF_SIDE_FROM = 128  # Sides at which training begins with half of it.
_HALF_SIDE_SHARE = 0.6  # Of all steps.
_SHIFT = 1 / 16  # Largest random shift of a training picture, as a share of its side.
_TINT = 0.15  # Largest random change of a training picture's colour channels, as a share of their values.

_INTENSITY = 1.5  # Of a simulated edit, that of training being 1, where intensity.calibrate chose no other.

Gradients = list[tf.Tensor]


class AttributeEditor(Generator):
    """Base of the attribute editors; a subclass makes `generator` and says how it edits.

    Args:
      image_size: the side of the pictures.
      width: channels of the generator's first layer.
      attributes: the names of the attributes it edits, of features.ATTRIBUTE_NAMES.
      intensities: of the simulated edits, one for each attribute; that of training is 1.

    Attributes:
      attributes: as given.
      conditions: one for each attribute, in the same order; it inverts that attribute.
      intensities: as given.
      generator: the network that edits, a keras.Model.
      critic: pictures [B, s, s, 3] in [0, 1], s the side but at most 64 → realness [B, h, h, 1], logits [B, A].
      patch_critic: pictures [B, S, S, 3] in [0, 1] → realness of small patches [B, S/8, S/8, 1].
      critic_optimizer: that of both critics.
      ATTRIBUTE_WEIGHT: of the attribute loss in the generator's, a mean over attributes; None for their number.
      RECONSTRUCTION_WEIGHT: of the reconstruction loss in the generator's.
      UNCHANGED_SHARE: of the targets drawn in training, how many are the picture's own labels.
    """

    FAMILY = "attribute_editing"
    ATTRIBUTE_WEIGHT: float
    RECONSTRUCTION_WEIGHT: float
    UNCHANGED_SHARE: float

    def __init__(
        self, image_size: int, width: int, attributes: Sequence[str], intensities: Sequence[float] | None = None
    ):
        super().__init__()
        self.image_size, self.width = image_size, width
        self.attributes = tuple(attributes)
        self.intensities = tuple(intensities or [_INTENSITY] * len(attributes))
        self.conditions = tuple(condition_name(each) for each in attributes)
        self.critic = build_critic(min(image_size, _CRITIC_SIDE), _CRITIC_WIDENING * width, len(attributes))
        self.patch_critic = build_patch_critic(width)
        self._excludes = exclusions(attributes)
        self._half_side_steps = 0

    def compile_for(self, settings: TrainingSettings, steps: int) -> None:
        self.compile(decaying_adam(settings.learning_rate, steps))
        self.optimizer.build(self.generator.trainable_variables)
        self.critic_optimizer = decaying_adam(settings.learning_rate, steps)
        self.critic_optimizer.build(self.critic_variables)
        halves = self.image_size >= _HALF_SIDE_FROM and self.image_size % 64 == 0  # Half of it suits every generator.
        self._half_side_steps = int(_HALF_SIDE_SHARE * steps) if halves else 0

    @property
    def settings(self) -> dict[str, Any]:
        return {
            "image_size": self.image_size,
            "width": self.width,
            "attributes": list(self.attributes),
            "intensities": list(self.intensities),
        }

    @property
    def networks(self) -> list[keras.Model]:
        # The critic says what the picture shows before the edit.
        return [self.generator, self.critic]

    @property
    def critic_variables(self) -> list[tf.Variable]:
        """What the critic's optimiser trains."""
        return self.critic.trainable_variables + self.patch_critic.trainable_variables

    def batches(self, faces: Faces, settings: TrainingSettings) -> tf.data.Dataset:
        """Pictures float32 [B, S, S, 3] in [0, 1] and labels float32 [B, A]: 0, 1, or −1 where unknown.

        Flipped, shifted and tinted at random, and drawn so that rare labels are seen often enough.
        """
        labels = np.stack([faces.labels(each) for each in self.attributes], 1)
        cumulative = np.cumsum(sampling_weights(labels))
        pixels, known = tf.constant(faces.pixels), tf.constant(labels, tf.float32)

        def pick(draw):  # Uniform in 0 … 2³² − 1.
            index = tf.searchsorted(cumulative / cumulative[-1], [tf.cast(draw, tf.float64) / 2.0**32], side="right")[0]
            picture = window(tf.cast(pixels[index], tf.float32) / 255.0, settings.image_size)
            return tint(shift(tf.image.random_flip_left_right(picture))), known[index]

        return tf.data.Dataset.random(seed=settings.seed).map(pick, tf.data.AUTOTUNE).batch(settings.batch_size)

    def train_step(self, data: tuple[tf.Tensor, tf.Tensor]) -> dict[str, tf.Tensor]:
        images, labels = data
        if self._half_side_steps:
            # By the optimiser's own count, which a resumed training goes on with.
            losses, of_generator, of_critic = tf.cond(
                self.optimizer.iterations < self._half_side_steps,
                lambda: self._losses_and_gradients(tf.nn.avg_pool2d(images, 2, 2, "VALID"), labels),
                lambda: self._losses_and_gradients(images, labels),
            )
        else:
            losses, of_generator, of_critic = self._losses_and_gradients(images, labels)
        self.optimizer.apply_gradients(zip(of_generator, self.generator.trainable_variables))
        self.critic_optimizer.apply_gradients(zip(of_critic, self.critic_variables))
        return losses

    def _losses_and_gradients(
        self, images: tf.Tensor, labels: tf.Tensor
    ) -> tuple[dict[str, tf.Tensor], Gradients, Gradients]:
        """The losses, and the gradients of the generator's and the critic's, both from the weights before this step."""
        targets = self.draw_targets(labels)
        with tf.GradientTape() as tape:
            made, reconstruction = self.edit_and_reconstruct(images, labels, targets)
            realness, logits = self._judge(made, training=False)
            adversarial = -tf.add_n([tf.reduce_mean(each) for each in realness]) / len(realness)
            attributes = attribute_loss(logits, targets)
            weight = len(self.attributes) if self.ATTRIBUTE_WEIGHT is None else self.ATTRIBUTE_WEIGHT
            loss = adversarial + weight * attributes + self.RECONSTRUCTION_WEIGHT * reconstruction
        of_generator = tape.gradient(loss, self.generator.trainable_variables)
        with tf.GradientTape() as tape:
            realness, logits = self._judge(tf.concat([images, tf.stop_gradient(made)], 0), training=True)
            # Summed over attributes, so that the head is of use early: the generator learns nothing before it.
            critic = hinge_loss(realness) + len(self.attributes) * attribute_loss(tf.split(logits, 2)[0], labels)
        of_critic = tape.gradient(critic, self.critic_variables)
        losses = {
            "critic": critic,
            "adversarial": adversarial,
            "attributes": attributes,
            "reconstruction": reconstruction,
        }
        return losses, of_generator, of_critic

    def _judge(self, images: tf.Tensor, training: bool) -> tuple[list[tf.Tensor], tf.Tensor]:
        """Both critics' realness, and the attribute logits [B, A], of pictures of any side."""
        realness, logits = self._whole_face(images, training)
        return [realness, self.patch_critic(images, training=training)], logits

    def _whole_face(self, images: tf.Tensor, training: bool) -> tuple[tf.Tensor, tf.Tensor]:
        if images.shape[1] > _CRITIC_SIDE:
            images = tf.image.resize(images, [_CRITIC_SIDE, _CRITIC_SIDE], antialias=True)
        return self.critic(images, training=training)

    def draw_targets(self, labels: tf.Tensor) -> tf.Tensor:
        """Target labels [B, A] for training: half are another picture's, half the picture's own with one inverted.

        The papers take only others' labels; one alone inverted is what `simulate` asks for. A share of UNCHANGED_SHARE
        keeps its own. Where another's label is unknown the picture's own stays.
        """
        batch = tf.shape(labels)[0]
        of_others = tf.random.shuffle(labels)
        of_others = tf.where(of_others < 0, labels, of_others)
        inverted = self.invert(labels, tf.random.uniform([batch], 0, len(self.attributes), tf.int32))
        draw = tf.random.uniform([batch, 1])
        changed = tf.where(draw < (1 + self.UNCHANGED_SHARE) / 2, of_others, inverted)
        return tf.where(draw < self.UNCHANGED_SHARE, labels, changed)

    def invert(self, labels: tf.Tensor, condition: tf.Tensor) -> tf.Tensor:
        """Labels float32 [B, A] with the attribute that `condition` [B] names inverted; unknown ones stay unknown.

        A picture has one hair colour: setting one sets the others to 0 (STGAN's test does the same).
        """
        chosen = tf.one_hot(condition, len(self.attributes), True, False, dtype=tf.bool)
        inverted = tf.where(chosen & (labels >= 0), 1.0 - labels, labels)
        was_set = tf.reduce_any(chosen & (inverted > 0), 1, keepdims=True)
        return tf.where(was_set & tf.gather(self._excludes, condition), 0.0, inverted)

    def emphasise(self, labels: tf.Tensor, condition: tf.Tensor) -> tf.Tensor:
        """As `invert`, but with more change, or less, in the attribute that `condition` names: its intensity.

        STGAN's authors draw their samples with such an intensity. Generators as small as those trained here edit
        timidly without it.
        """
        chosen = tf.one_hot(condition, len(self.attributes), True, False, dtype=tf.bool)
        intensity = tf.where(chosen, tf.constant(self.intensities, tf.float32), 1.0)
        return labels + intensity * (self.invert(labels, condition) - labels)

    def estimate_labels(self, images: tf.Tensor) -> tf.Tensor:
        """The attributes of pictures [B, S, S, 3] in [0, 1], as the critic sees them: float32 [B, A] of 0 and 1."""
        _, logits = self._whole_face(images, training=False)
        return tf.stop_gradient(tf.cast(logits > 0, tf.float32))

    @abc.abstractmethod
    def edit_and_reconstruct(
        self, images: tf.Tensor, labels: tf.Tensor, targets: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """In training: pictures [B, S, S, 3] edited from `labels` to `targets` [B, A], and the reconstruction loss.

        The loss is a mean absolute difference for pictures in [−1, 1], as the papers' weights expect.
        """


def condition_name(attribute: str) -> str:
    """How the papers call the edit of an attribute."""
    return _CONDITION_NAMES.get(attribute, attribute.lower())


def editable_attributes(faces: Faces) -> tuple[str, ...]:
    """The attributes that these faces can train, in features.ATTRIBUTE_NAMES' order: those that a judge can learn.

    Raises:
      ValueError: there are none; it counts those that are labelled at all.
    """
    editable = tuple(learnable(faces))
    if not editable:
        names = features.ATTRIBUTE_NAMES
        counts = {name: [int(np.sum(faces.labels(name) == value)) for value in (0, 1)] for name in names}
        labelled = ", ".join(f"{name} ({off} without, {on} with)" for name, (off, on) in counts.items() if off or on)
        raise ValueError(
            f"attribute editing needs pictures labelled with an attribute, at least {MIN_LABELLED} with it and "
            f"{MIN_LABELLED} without; found {labelled or 'no labels at all'}: label more, or train other simulators"
        )
    return editable


def exclusions(attributes: Sequence[str]) -> np.ndarray:
    """Which attributes (columns) a set one (row) excludes, bool [A, A]: the other hair colours."""
    hair = np.array([each in _HAIR_COLOURS for each in attributes], bool)
    return np.outer(hair, hair) & ~np.eye(len(hair), dtype=bool)


def sampling_weights(labels: np.ndarray) -> np.ndarray:
    """How often to draw each picture, relative to the others, float64 [N], for labels [N, A] of 0, 1 or −1.

    The mean over attributes of what would show each attribute's two labels equally often: a compromise, for
    full balance for one attribute would repeat its few pictures without end.
    """
    weights = np.ones(labels.shape, np.float64)
    for value in (0, 1):
        has = labels == value
        known = np.sum(labels >= 0, 0)
        weights = np.where(has, known / (2.0 * np.maximum(np.sum(has, 0), 1)), weights)
    return np.mean(weights, 1)


def shift(image: tf.Tensor) -> tf.Tensor:
    """Moves a picture [S, S, C] by up to a sixteenth of its side, at random; its rim is mirrored."""
    reach = int(_SHIFT * image.shape[0])
    padded = tf.pad(image, [[reach, reach], [reach, reach], [0, 0]], "REFLECT")
    return tf.image.random_crop(padded, image.shape)


def tint(image: tf.Tensor) -> tf.Tensor:
    """Puts a picture [S, S, 3] in [0, 1] into a light of another colour, at random.

    Without it the critic tells attributes by the picture's mean colour, and the generator learns to tint.
    """
    return tf.clip_by_value(image * tf.random.uniform([3], 1.0 - _TINT, 1.0 + _TINT), 0.0, 1.0)


def attribute_loss(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Binary cross-entropy of logits [B, A] over the labels [B, A] that are known (0 or 1, not −1), their mean."""
    known = tf.cast(labels >= 0, tf.float32)
    each = tf.nn.sigmoid_cross_entropy_with_logits(tf.maximum(labels, 0.0), logits)
    return tf.math.divide_no_nan(tf.reduce_sum(known * each), tf.reduce_sum(known))


def build_critic(side: int, width: int, attributes: int) -> keras.Model:
    """Pictures [B, side, side, 3] in [0, 1] → realness [B, h, h, 1] and attribute logits [B, attributes]; h is 4 to 7.

    StarGAN's (appendix table 5), cut short of its last layers, whose many weights would learn few pictures by heart.
    """
    images = keras.Input([side, side, 3])
    x = keras.layers.Rescaling(2.0, -1.0)(images)
    channels = width
    while x.shape[1] >= 8:
        x = critic_layer(x, channels)
        channels = min(2 * channels, 8 * width)
    realness = SpectralConv2D(1, 3, padding="same")(x)
    logits = keras.layers.Dropout(0.5)(keras.layers.Flatten()(x))
    return keras.Model(images, [realness, keras.layers.Dense(attributes)(logits)], name="critic")
