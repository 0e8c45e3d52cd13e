"""What `stargan` and `stgan` (attribute_editing) share: attributes, batches, critics, the training step.

Both train one generator for all attributes against a critic that says how real a picture is, and a classifier that says
which attributes it shows (Choi et al. 2018, "StarGAN", §3.1; Liu et al. 2019, "STGAN", "Loss Functions"). A condition
inverts one of them.

Four things differ from the papers, all for training on two cores and some thousand pictures:
- The generator may work at half the side and make a mask beside its colours: the rest is the picture itself (Pumarola
  et al. 2018, "GANimation", eq. 1), which stays sharp, at a quarter of the cost. Change itself costs something.
- The classifier is no head of the critic: guides that know the attributes before training begins (guide.py). They also
  say what a picture shows before it is edited.
- The critics are spectrally normalised and trained with the hinge loss (Miyato et al. 2018), one step for each of the
  generator's. WGAN-GP needs second-order gradients and five critic steps; R1 needs the former too, and a weight that
  suits the data. Two judge (Wang et al. 2018, "pix2pixHD", §3.2): one sees the whole face at 64 pixels at most, the
  other small patches at the picture's own scale.
- The one that sees the face also has an output for each attribute's two values, and learns with it from pictures that
  have this value or were edited to it (Choi et al. 2020, "StarGAN v2", §2.2): edits look as the attribute does.
"""

import abc
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow import keras

from faketagger.components.contract import features
from faketagger.components.simulator.generators import guide as guides
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
_SEEING_WIDENING = 2  # Of the critics that were trained before there were guides.
_SHIFT = 1 / 16  # Largest random shift of a training picture, as a share of its side.
_TINT = 0.15  # Largest random change of a training picture's colour channels, as a share of their values.

_LEAST_SHARE = 0.03  # Of an attribute's rarer label among the labelled pictures: fewer teach no edit.
_OTHERS_SHARE = 0.25  # Of the changed targets, those that are another picture's labels.
_BYSTANDERS = 0.5  # Weight of the attributes that an edit should leave, beside those that it changes.
# Of the steps in which edits must also show in another light. It keeps them from being mere tints, but makes them
# stronger than those of the light they are in.
_LIT_SHARE = 2 / 3
_BOLD_SHARE = 0.3  # Of the steps, until change costs all it should and critics are fully heard: edits must show first.


class AttributeEditor(Generator):
    """Base of the attribute editors; a subclass makes `generator` and says how it edits.

    Args:
      image_size: the side of the pictures.
      width: channels of the generator's first layer.
      attributes: the names of the attributes it was trained to edit, of features.ATTRIBUTE_NAMES.
      attention: whether the generator works at half the side and makes a mask of what it changes.
      intensities: by which the change of simulated edits is multiplied, one for each attribute; 1 by default.
      offered: those of the attributes that are conditions; all by default.
      guided: whether guides say what pictures show; shipped ones that were trained before there were guides ask a head
        of their critic, and their intensities multiply labels instead of changes.

    Attributes:
      attributes: as given.
      conditions: one for each attribute that is offered, in the same order; it inverts that attribute.
      intensities: as given.
      generator: the network that edits, a keras.Model.
      guide: pictures [B, 64, 64, 3] → logits of two classifiers [B, 2, A]; trained by `prepare`.
      critic: pictures [B, s, s, 3] in [0, 1], s the side but at most 64 → realness [B, h, h, 1], and realness among the
        pictures without and with each attribute [B, A, 2].
      patch_critic: pictures [B, S, S, 3] in [0, 1] → realness of small patches [B, S/8, S/8, 1].
      critic_optimizer: that of both critics.
      ADVERSARIAL_WEIGHT: of what the critics say in the generator's loss.
      ATTRIBUTE_WEIGHT: of the guides' loss.
      RECONSTRUCTION_WEIGHT: of the reconstruction loss.
      CHANGE_WEIGHT: of the edits' mean absolute change, where the settings give no other.
      UNCHANGED_SHARE: of the targets drawn in training, how many are the picture's own labels.
    """

    FAMILY = "attribute_editing"
    ADVERSARIAL_WEIGHT = 0.3
    ATTRIBUTE_WEIGHT: float
    RECONSTRUCTION_WEIGHT: float
    CHANGE_WEIGHT: float
    UNCHANGED_SHARE: float

    def __init__(
        self,
        image_size: int,
        width: int,
        attributes: Sequence[str],
        attention: bool = False,
        intensities: Sequence[float] | None = None,
        offered: Sequence[str] | None = None,
        guided: bool = False,
    ):
        super().__init__()
        self.image_size, self.width, self.attention = image_size, width, attention
        self.attributes = tuple(attributes)
        self.intensities = tuple(intensities or [1.0] * len(attributes))
        self.offer(attributes if offered is None else offered)
        self.guided = guided
        side = min(image_size, _CRITIC_SIDE)
        if guided:
            self.guide = guides.build_guide(len(attributes))
            self.critic = build_critic(side, width, len(attributes))
        else:
            self.critic = build_seeing_critic(side, _SEEING_WIDENING * width, len(attributes))
        self.patch_critic = build_patch_critic(max(8, width // 2))
        self._excludes = exclusions(attributes, [_HAIR_COLOURS])

    def offer(self, attributes: Sequence[str]) -> None:
        """Makes some of the attributes the conditions, in their own order; the generator stays as it is."""
        self.offered = tuple(each for each in self.attributes if each in attributes)
        self.conditions = tuple(condition_name(each) for each in self.offered)

    def compile_for(self, settings: TrainingSettings, steps: int) -> None:
        self.compile(decaying_adam(settings.learning_rate, steps))
        self.optimizer.build(self.generator_variables)
        self.critic_optimizer = decaying_adam(settings.learning_rate, steps)
        self.critic_optimizer.build(self.critic_variables)
        self._change_weight = self.CHANGE_WEIGHT if settings.change is None else settings.change
        self._bold_steps, self._lit_steps = _BOLD_SHARE * steps, _LIT_SHARE * steps

    def prepare(self, faces: Faces, settings: TrainingSettings) -> None:
        guides.train_guide(faces, self.attributes, self.guide, settings.guide_steps, settings.seed)

    @property
    def settings(self) -> dict[str, Any]:
        return {
            "image_size": self.image_size,
            "width": self.width,
            "attributes": list(self.attributes),
            "attention": self.attention,
            "intensities": list(self.intensities),
            "offered": list(self.offered),
            "guided": self.guided,
        }

    @property
    def networks(self) -> list[keras.Model]:
        return [self.generator, self.guide if self.guided else self.critic]

    @property
    def generator_variables(self) -> list[tf.Variable]:
        return self.generator.trainable_variables

    @property
    def critic_variables(self) -> list[tf.Variable]:
        """What the critic's optimiser trains."""
        return self.critic.trainable_variables + self.patch_critic.trainable_variables

    def batches(self, faces: Faces, settings: TrainingSettings) -> tf.data.Dataset:
        """Pictures float32 [B, S, S, 3] in [0, 1] and labels float32 [B, A]: 0, 1, or −1 where unknown.

        Flipped, shifted and tinted at random, and drawn so that rare labels are seen often enough.
        """
        labels = np.stack([faces.labels(each) for each in self.attributes], 1)
        used = np.flatnonzero((labels >= 0).any(1))  # The others teach no edit.
        labels = labels[used]
        cumulative = np.cumsum(sampling_weights(labels))
        pixels, known = tf.constant(faces.pixels[used]), tf.constant(labels, tf.float32)

        def pick(draw):  # Uniform in 0 … 2³² − 1.
            index = tf.searchsorted(cumulative / cumulative[-1], [tf.cast(draw, tf.float64) / 2.0**32], side="right")[0]
            picture = window(tf.cast(pixels[index], tf.float32) / 255.0, settings.image_size)
            return tint(shift(tf.image.random_flip_left_right(picture))), known[index]

        return tf.data.Dataset.random(seed=settings.seed).map(pick, tf.data.AUTOTUNE).batch(settings.batch_size)

    def train_step(self, data: tuple[tf.Tensor, tf.Tensor]) -> dict[str, tf.Tensor]:
        images, labels = data
        targets = self.draw_targets(labels)
        with tf.GradientTape() as tape:
            made, losses = self._edit(images, labels, targets)
            loss = tf.add_n(list(losses.values()))
        of_generator = tape.gradient(loss, self.generator_variables)
        with tf.GradientTape() as tape:
            critic = self._critics_loss(images, labels, tf.stop_gradient(made), targets)
        of_critic = tape.gradient(critic, self.critic_variables)
        self.optimizer.apply_gradients(zip(of_generator, self.generator_variables))
        self.critic_optimizer.apply_gradients(zip(of_critic, self.critic_variables))
        return {"critic": critic, **losses}

    def _edit(self, images: tf.Tensor, labels: tf.Tensor, targets: tf.Tensor) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """Edited pictures, and the parts of the generator's loss, weighted."""
        made, reconstruction = self.edit_and_reconstruct(images, labels, targets)
        changed = self._changed(labels, targets)
        light = tf.cast(tf.cast(self.optimizer.iterations, tf.float32) < self._lit_steps, tf.float32)
        logits = self.guide(guides.vary(made, light), training=False)
        edited = guides.guiding_loss(logits, targets, tf.cast(changed, tf.float32))
        bystanders = guides.guiding_loss(logits, targets, tf.cast(~changed, tf.float32))
        realness, shown = self._judge(made, training=False)
        cost = tf.minimum(1.0, tf.cast(self.optimizer.iterations, tf.float32) / self._bold_steps)
        adversarial = -tf.add_n([tf.reduce_mean(each) for each in realness]) / len(realness)
        adversarial -= _mean_where(changed, of_value(shown, targets))
        return made, {
            "adversarial": cost * self.ADVERSARIAL_WEIGHT * adversarial,
            "attributes": self.ATTRIBUTE_WEIGHT * (edited + _BYSTANDERS * bystanders),
            "change": cost * self._change_weight * tf.reduce_mean(tf.abs(made - images)),
            "reconstruction": cost * self.RECONSTRUCTION_WEIGHT * reconstruction,
        }

    def _critics_loss(self, images: tf.Tensor, labels: tf.Tensor, made: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        realness, shown = self._judge(tf.concat([images, made], 0), training=True)
        of_real, of_made = tf.split(shown, 2)
        real = _mean_where(labels >= 0, tf.nn.relu(1.0 - of_value(of_real, labels)))
        fake = _mean_where(self._changed(labels, targets), tf.nn.relu(1.0 + of_value(of_made, targets)))
        return hinge_loss(realness) + real + fake

    def _changed(self, labels: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        """Which attributes an edit changes, bool [B, A]."""
        return (labels >= 0) & (targets >= 0) & tf.not_equal(labels, targets)

    def _judge(self, images: tf.Tensor, training: bool) -> tuple[list[tf.Tensor], tf.Tensor]:
        """Both critics' realness, and that among the pictures of each attribute's values [B, A, 2]."""
        realness, shown = self._whole_face(images, training)
        return [realness, self.patch_critic(images, training=training)], shown

    def _whole_face(self, images: tf.Tensor, training: bool) -> tuple[tf.Tensor, tf.Tensor]:
        if images.shape[1] > _CRITIC_SIDE:
            images = tf.image.resize(images, [_CRITIC_SIDE, _CRITIC_SIDE], antialias=True)
        return self.critic(images, training=training)

    def draw_targets(self, labels: tf.Tensor) -> tf.Tensor:
        """Target labels [B, A] for training: a quarter are another picture's, the others its own with one inverted.

        The papers take only others' labels; one alone inverted is what `simulate` asks for. A share of UNCHANGED_SHARE
        keeps its own. Where another's label is unknown the picture's own stays.
        """
        batch = tf.shape(labels)[0]
        of_others = tf.random.shuffle(labels)
        of_others = tf.where(of_others < 0, labels, of_others)
        inverted = self.invert(labels, tf.random.uniform([batch], 0, len(self.attributes), tf.int32))
        draw = tf.random.uniform([batch, 1])
        others = self.UNCHANGED_SHARE + (1 - self.UNCHANGED_SHARE) * _OTHERS_SHARE
        changed = tf.where(draw < others, of_others, inverted)
        return tf.where(draw < self.UNCHANGED_SHARE, labels, changed)

    def invert(self, labels: tf.Tensor, condition: tf.Tensor) -> tf.Tensor:
        """Labels float32 [B, A] with the attribute that `condition` [B] names inverted; unknown ones stay unknown.

        A picture has one hair colour: setting one sets the others to 0 (STGAN's test does the same).
        """
        return invert_labels(labels, condition, self._excludes)

    def estimate_labels(self, images: tf.Tensor) -> tf.Tensor:
        """The attributes of pictures [B, S, S, 3] in [0, 1], as the guides see them: float32 [B, A] of 0 and 1."""
        if self.guided:
            small = tf.image.resize(images, [guides.SIDE, guides.SIDE], antialias=True)
            logits = tf.add_n([tf.reduce_mean(self.guide(each), 1) for each in (small, small[:, :, ::-1])])
        else:
            _, logits = self._whole_face(images, training=False)
        return tf.stop_gradient(tf.cast(logits > 0, tf.float32))

    def compose(self, images: tf.Tensor, made: tf.Tensor) -> tf.Tensor:
        """Pictures in [0, 1] from what the generator made of them, [B, h, w, 3] in [−1, 1], or with the mask 4."""
        colours = (made[..., :3] + 1.0) / 2.0
        if not self.attention:
            return colours
        enlarged = tf.image.resize(tf.concat([colours, made[..., 3:]], -1), tf.shape(images)[1:3])
        return images + enlarged[..., 3:] * (enlarged[..., :3] - images)

    def as_input(self, images: tf.Tensor) -> tf.Tensor:
        """Pictures [B, S, S, 3] in [0, 1] as the generator takes them: in [−1, 1], with a mask at half the side."""
        return 2.0 * (tf.nn.avg_pool2d(images, 2, 2, "VALID") if self.attention else images) - 1.0

    def simulate(self, images: tf.Tensor, condition: tf.Tensor) -> tf.Tensor:
        """Edits float32 [B, S, S, 3] in [0, 1] as `condition` [B], an index of `conditions`, says.

        The change is as intense as was chosen for the attribute. STGAN's authors draw their samples with an intensity
        too, but multiply the labels by it.
        """
        attribute = tf.gather([self.attributes.index(each) for each in self.offered], condition)
        intensity = tf.gather(tf.constant(self.intensities, tf.float32), attribute)[:, None]
        labels = self.estimate_labels(images)
        targets = self.invert(labels, attribute)
        if not self.guided:
            chosen = tf.one_hot(attribute, len(self.attributes), True, False, dtype=tf.bool)
            return self.edit(images, labels, labels + tf.where(chosen, intensity, 1.0) * (targets - labels))
        change = self.edit(images, labels, targets) - images
        return tf.clip_by_value(images + intensity[:, None, None] * change, 0.0, 1.0)

    @abc.abstractmethod
    def edit(self, images: tf.Tensor, labels: tf.Tensor, targets: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Pictures float32 [B, S, S, 3] in [0, 1] edited from `labels` to `targets`, float32 [B, A], all known."""

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

    Attributes whose rarer label has under 3% of the labelled pictures are left out, as no edit of them would show.

    Raises:
      ValueError: there are none; it counts those that are labelled at all.
    """
    editable = tuple(each for each in learnable(faces) if _rarer_share(faces.labels(each)) >= _LEAST_SHARE)
    if not editable:
        names = features.ATTRIBUTE_NAMES
        counts = {name: [int(np.sum(faces.labels(name) == value)) for value in (0, 1)] for name in names}
        labelled = ", ".join(f"{name} ({off} without, {on} with)" for name, (off, on) in counts.items() if off or on)
        raise ValueError(
            f"attribute editing needs pictures labelled with an attribute, at least {MIN_LABELLED} with it and "
            f"{MIN_LABELLED} without; found {labelled or 'no labels at all'}: label more, or train other simulators"
        )
    return editable


def _rarer_share(labels: np.ndarray) -> float:
    having = np.mean(labels[labels != features.UNKNOWN])
    return float(min(having, 1.0 - having))


def exclusions(attributes: Sequence[str], groups: Sequence[Sequence[str]]) -> np.ndarray:
    """Which attributes (columns) a set one (row) excludes, bool [A, A]: the others of its groups."""
    return np.array(
        [[a != b and any(a in group and b in group for group in groups) for b in attributes] for a in attributes], bool
    )


def invert_labels(labels: tf.Tensor, condition: tf.Tensor, excludes: np.ndarray) -> tf.Tensor:
    """Labels float32 [B, A] with the attribute that `condition` [B] names inverted; unknown ones stay unknown.

    One that is set by it sets those to 0 that it `excludes`, as `exclusions` says.
    """
    chosen = tf.one_hot(condition, len(excludes), True, False, dtype=tf.bool)
    changed = tf.where(chosen & (labels >= 0), 1.0 - labels, labels)
    was_set = tf.reduce_any(chosen & (changed > 0), 1, keepdims=True)
    return tf.where(was_set & tf.gather(excludes, condition), 0.0, changed)


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


def of_value(shown: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Of outputs [B, A, 2] for attributes without and with, those of labels [B, A]; unknown is without."""
    return tf.where(labels > 0.5, shown[..., 1], shown[..., 0])


def _mean_where(counted: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
    """The mean of values where bool `counted` says so; 0 where it nowhere does."""
    weights = tf.cast(counted, tf.float32)
    return tf.math.divide_no_nan(tf.reduce_sum(weights * values), tf.reduce_sum(weights))


def build_critic(side: int, width: int, attributes: int) -> keras.Model:
    """Pictures [B, side, side, 3] in [0, 1] → realness [B, h, h, 1], and of each value [B, attributes, 2].

    StarGAN's (appendix table 5), cut short of its last layers, whose many weights would learn few pictures by heart.
    h is 4 to 7.
    """
    images, x = _critic_trunk(side, width)
    realness = SpectralConv2D(1, 3, padding="same")(x)
    shown = SpectralConv2D(2 * attributes, x.shape[1])(keras.layers.Dropout(0.3)(x))
    return keras.Model(images, [realness, keras.layers.Reshape([attributes, 2])(shown)], name="critic")


def build_seeing_critic(side: int, width: int, attributes: int) -> keras.Model:
    """As build_critic's, but for logits [B, attributes] of what a picture shows beside its realness."""
    images, x = _critic_trunk(side, width)
    realness = SpectralConv2D(1, 3, padding="same")(x)
    logits = keras.layers.Dense(attributes)(keras.layers.Dropout(0.5)(keras.layers.Flatten()(x)))
    return keras.Model(images, [realness, logits], name="critic")


def _critic_trunk(side: int, width: int) -> tuple[tf.Tensor, tf.Tensor]:
    images = keras.Input([side, side, 3])
    x = keras.layers.Rescaling(2.0, -1.0)(images)
    channels = width
    while x.shape[1] >= 8:
        x = critic_layer(x, channels)
        channels = min(2 * channels, 8 * width)
    return images, x
