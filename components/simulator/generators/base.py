"""What every trainable simulator is: a Keras model that trains on faces and then simulates."""

import abc
import dataclasses
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from tensorflow import keras

from faketagger.components.contract import features, images
from faketagger.components.simulator.generators.critics import PatchAdversary
from faketagger.components.simulator.generators.optimiser import decaying_adam
from faketagger.components.simulator.generators.settings import TrainingSettings

MIN_LABELLED = 8  # Pictures with and without an attribute below which neither a judge nor an editor can learn it.


@dataclasses.dataclass(frozen=True)
class Faces:
    """A split of the Examples.

    In memory as 8-bit values: the 27,000 photographs of CelebA-HQ's train split at 256×256 are 5 GB, as floats 20.

    Attributes:
      pixels: uint8 [N, S, S, 3].
      attributes: int64 [N, 40] in features.ATTRIBUTE_NAMES' order; −1 where unknown.
      landmarks: float32 [N, 5, 2] as shares of the side, NaN where unknown; None where all are.
    """

    pixels: np.ndarray
    attributes: np.ndarray
    landmarks: np.ndarray | None = None

    @property
    def pictures(self) -> np.ndarray:
        """float32 [N, S, S, 3] in [0, 1], made anew each time: for the few of an eval split."""
        return images.to_float(self.pixels)

    def resized(self, side: int) -> "Faces":
        """The same pictures at another side."""
        if self.pixels.shape[1] == side:
            return self
        small = tf.image.resize(self.pictures, [side, side], antialias=True)
        return dataclasses.replace(self, pixels=images.to_uint8(small.numpy()))

    def first(self, count: int) -> "Faces":
        """The first `count` of them."""
        landmarks = None if self.landmarks is None else self.landmarks[:count]
        return Faces(self.pixels[:count], self.attributes[:count], landmarks)

    def labels(self, attribute: str) -> np.ndarray:
        """One attribute's labels, int64 [N]."""
        return self.attributes[:, features.ATTRIBUTE_NAMES.index(attribute)]


def read_faces(examples_uri: str, split: str, image_size: int, limit: int | None = None) -> Faces:
    """Reads a split of an Examples artifact; at most `limit` pictures of it."""
    pixels, attributes, landmarks = [], [], []
    for example in features.read_dataset(examples_uri, split, image_size, limit).as_numpy_iterator():
        pixels.append(images.to_uint8(example[features.IMAGE]))
        attributes.append(example[features.ATTRIBUTES])
        landmarks.append(example[features.LANDMARKS])
    return Faces(np.stack(pixels), np.stack(attributes), np.stack(landmarks))


def learnable(faces: Faces) -> list[str]:
    """The attributes that enough pictures have and enough have not, in features.ATTRIBUTE_NAMES' order."""
    counts = [(name, np.bincount(faces.labels(name) + 1, minlength=3)) for name in features.ATTRIBUTE_NAMES]
    return [name for name, (_, without, having) in counts if min(without, having) >= MIN_LABELLED]


def window(picture: tf.Tensor, side: int) -> tf.Tensor:
    """A random square window of a picture [T, T, 3], at least `side` pixels wide and resized to it: [side, side, 3].

    Tools cut faces out closer or wider than data sets do, and not always in the middle.
    """
    largest = picture.shape[0]
    if largest == side:
        return picture
    cut = tf.random.uniform([], side, largest + 1, tf.int32)
    shown = tf.image.resize(tf.image.random_crop(picture, [cut, cut, 3]), [side, side], antialias=True)
    return tf.ensure_shape(shown, [side, side, 3])


def endless(pixels: np.ndarray, settings: TrainingSettings) -> tf.data.Dataset:
    """Windows of pictures uint8 [N, T, T, 3] without end, float32 [S, S, 3] in [0, 1], shuffled and flipped at random.

    Their numbers are shuffled, as a buffer of pictures would hold all of them once more.
    """
    kept = tf.constant(pixels)
    order = tf.data.Dataset.range(len(pixels)).shuffle(len(pixels), seed=settings.seed).repeat()

    def vary(number: tf.Tensor) -> tf.Tensor:
        picture = window(tf.cast(kept[number], tf.float32) / 255.0, settings.image_size)
        return tf.image.random_flip_left_right(picture)

    return order.map(vary, tf.data.AUTOTUNE)


class Depth(NamedTuple):
    """What a generator's depth counts, and from how many to how many."""

    parts: str
    least: int
    most: int


class Generator(keras.Model, abc.ABC):
    """Base of the trainable simulators; a subclass also defines Keras' `train_step` over what `batches` yields.

    Attributes:
      FAMILY: one of contract/manifest.py's families.
      GROUPED: whether it normalises in eight groups of channels, so that its width must be a multiple of 8.
      DEPTH: what it takes for `depth`, where it can be made deeper.
      TOOLS: the deepfake tools as which it is applied besides (simulator/tools.py).
      TOOL_CONDITIONS: those of its conditions that such tools ask for; empty for all.
      conditions: the names of `condition`'s values.
      image_size: the side of its pictures.
      adversary: the patch critic of a training whose settings ask for one.
    """

    FAMILY: str
    GROUPED = False
    DEPTH: Depth | None = None
    TOOLS: tuple[str, ...] = ()
    TOOL_CONDITIONS: tuple[str, ...] = ()
    conditions: tuple[str, ...]
    image_size: int
    adversary: PatchAdversary | None = None

    @classmethod
    def check_size(cls, image_size: int, depth: int | None) -> None:
        """Raises ValueError for a side of pictures, a multiple of 16, that it cannot make at this depth."""

    @property
    @abc.abstractmethod
    def settings(self) -> dict[str, Any]:
        """The constructor's arguments, as JSON values."""

    @property
    @abc.abstractmethod
    def networks(self) -> list[keras.Model]:
        """What `simulate` uses, in a fixed order: their weights are the simulator."""

    @property
    def generator_variables(self) -> list[tf.Variable]:
        """What the generator's optimiser trains."""
        return [variable for network in self.networks for variable in network.trainable_variables]

    @classmethod
    @abc.abstractmethod
    def build_for(cls, settings: TrainingSettings, faces: Faces) -> "Generator":
        """An untrained one, its weights created; `faces` says which attributes are labelled.

        Raises:
          ValueError: these faces cannot train it, and what they lack.
        """

    def compile_for(self, settings: TrainingSettings, steps: int) -> None:
        """Sets the optimisers up, their state created, for `steps` steps of training; a subclass adds a critic's."""
        self.compile(decaying_adam(settings.learning_rate, steps))
        self.optimizer.build(self.generator_variables)
        if settings.critic:
            self.adversary = PatchAdversary(settings.critic, settings.learning_rate, steps, settings.width)

    def prepare(self, faces: Faces, settings: TrainingSettings) -> None:
        """Trains what must be trained before the generator; nothing here."""

    @abc.abstractmethod
    def batches(self, faces: Faces, settings: TrainingSettings) -> tf.data.Dataset:
        """Endless shuffled batches for `train_step`."""

    @abc.abstractmethod
    def simulate(self, images: tf.Tensor, condition: tf.Tensor) -> tf.Tensor:
        """float32 [B, S, S, 3] in [0, 1] and int32 [B] → the same shape and range; differentiable."""
