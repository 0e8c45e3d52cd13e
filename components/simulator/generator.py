"""What every trainable simulator is: a Keras model that trains on faces and then simulates."""

import abc
import dataclasses
from typing import Any, Dict, List, Optional, Tuple

import numpy as np
import tensorflow as tf
from tensorflow import keras

from faketagger.components.contract import features
from faketagger.components.simulator.config import SimulatorConfig


@dataclasses.dataclass(frozen=True)
class Faces:
    """A split of the Examples.

    Attributes:
      pictures: float32 [N, S, S, 3] in [0, 1].
      attributes: int64 [N, 40] in features.ATTRIBUTE_NAMES' order; −1 where unknown.
    """

    pictures: np.ndarray
    attributes: np.ndarray

    def first(self, count: int) -> "Faces":
        """The first `count` of them."""
        return Faces(self.pictures[:count], self.attributes[:count])

    def labels(self, attribute: str) -> np.ndarray:
        """One attribute's labels, int64 [N]."""
        return self.attributes[:, features.ATTRIBUTE_NAMES.index(attribute)]


def read_faces(examples_uri: str, split: str, image_size: int, limit: Optional[int] = None) -> Faces:
    """Reads a split of an Examples artifact; at most `limit` pictures of it."""
    examples = list(features.read_dataset(examples_uri, split, image_size, limit).as_numpy_iterator())
    return Faces(
        np.stack([example[features.IMAGE] for example in examples]),
        np.stack([example[features.ATTRIBUTES] for example in examples]),
    )


class Generator(keras.Model, abc.ABC):
    """Base of the trainable simulators; a subclass also defines Keras' `train_step` over what `batches` yields.

    Attributes:
      FAMILY: one of contract/manifest.py's families.
      conditions: the names of `condition`'s values.
      image_size: the side of its pictures.
    """

    FAMILY: str
    conditions: Tuple[str, ...]
    image_size: int

    @property
    @abc.abstractmethod
    def settings(self) -> Dict[str, Any]:
        """The constructor's arguments, as JSON values."""

    @property
    @abc.abstractmethod
    def networks(self) -> List[keras.Model]:
        """What `simulate` uses, in a fixed order: their weights are the simulator."""

    @classmethod
    @abc.abstractmethod
    def build_for(cls, config: SimulatorConfig, faces: Faces) -> "Generator":
        """An untrained one, its weights created; `faces` says which attributes are labelled.

        Raises:
          ValueError: these faces cannot train it, and what they lack.
        """

    def compile_for(self, config: SimulatorConfig, steps: int) -> None:
        """Sets the optimisers up, their state created, for training of `steps` steps; a critic's is added by its subclass."""
        self.compile(decaying_adam(config.learning_rate, steps))
        self.optimizer.build(self.trainable_variables)

    @abc.abstractmethod
    def batches(self, faces: Faces, config: SimulatorConfig) -> tf.data.Dataset:
        """Endless shuffled batches for `train_step`."""

    @abc.abstractmethod
    def simulate(self, images: tf.Tensor, condition: tf.Tensor) -> tf.Tensor:
        """float32 [B, S, S, 3] in [0, 1] and int32 [B] → the same shape and range; differentiable."""


def decaying_adam(learning_rate: float, steps: int) -> keras.optimizers.Optimizer:
    """Adam as GANs are trained with, its rate decayed to a twentieth along a cosine."""
    schedule = keras.optimizers.schedules.CosineDecay(learning_rate, steps, alpha=0.05)
    return keras.optimizers.Adam(schedule, beta_1=0.5, clipnorm=1.0)
