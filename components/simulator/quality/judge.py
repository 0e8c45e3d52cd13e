"""How well a simulator does its job: whether its edits are seen, and how near its pictures are to real ones.

Both are asked of an attribute classifier that is trained apart, on real pictures of the train split alone: it learns
nothing from what a simulator makes, and no simulator's weights are trained against it. But intensity.py chooses by its
verdict how far each edit goes, on photographs of the train split: edits are made to be seen by this judge, and another
classifier may see fewer of them.
"""

import numpy as np
import tensorflow as tf
from tensorflow import keras

from faketagger.components.contract import features, images
from faketagger.components.simulator.generators.base import MIN_LABELLED, Faces, learnable

_SIDE = 64  # The classifier's own; attributes of a face are seen at it, and it keeps the training short.
_WIDTH = 24
_BATCH = 32
_RESIZED = 1000  # Pictures at a time, as they are many and large.
_LEARNING_RATE = 1e-3


class Judge:
    """A trained attribute classifier.

    Args:
      network: pictures float32 [B, 64, 64, 3] in [0, 1] → (logits [B, A], features [B, F]).
      attributes: the names of the A attributes.
    """

    def __init__(self, network: keras.Model, attributes: list[str]):
        self._network = network
        self.attributes = attributes

    def look(self, pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """float32 [N, S, S, 3] in [0, 1] → the probability of each attribute [N, A], and features [N, F]."""
        small = tf.image.resize(pictures, [_SIDE, _SIDE], antialias=True)
        logits, found = self._network.predict(small, batch_size=64, verbose=0)
        return tf.sigmoid(logits).numpy(), found

    def accuracy(self, faces: Faces) -> dict[str, float]:
        """The share of real pictures with a known label whose attribute it names rightly, by attribute."""
        seen = self.look(faces.pictures)[0] > 0.5
        known = {name: faces.labels(name) != features.UNKNOWN for name in self.attributes}
        return {
            name: float(np.mean((seen[:, index] == faces.labels(name))[known[name]]))
            for index, name in enumerate(self.attributes)
            if known[name].any()
        }

    def edit_success(self, edited: np.ndarray, faces: Faces, attribute: str) -> float:
        """The share of edits that are seen: edited pictures whose attribute is the opposite of the photograph's label.

        Args:
          edited: float32 [N, S, S, 3] in [0, 1], made from `faces.pictures` with `attribute` inverted.
          faces: the photographs and their labels.
          attribute: one of `attributes`.

        Returns:
          0…1, of the pictures whose label is known; NaN where there are none.
        """
        labels = faces.labels(attribute)
        known = labels != features.UNKNOWN
        if not known.any():
            return float("nan")
        seen = self.look(edited)[0][:, self.attributes.index(attribute)] > 0.5
        return float(np.mean((seen != labels)[known]))


def train_judge(faces: Faces, steps: int, seed: int) -> Judge:
    """Trains the classifier on the attributes that are labelled often enough.

    Args:
      faces: real pictures of the train split.
      steps: optimiser steps.
      seed: for initial weights and shuffling.

    Raises:
      ValueError: no attribute is labelled often enough.
    """
    attributes = learnable(faces)
    if not attributes:
        raise ValueError(f"no attribute has {MIN_LABELLED} pictures with and without it: nothing to judge edits by")
    keras.utils.set_random_seed(seed)
    network = _build(len(attributes))
    labels = np.stack([faces.labels(name) for name in attributes], 1).astype(np.float32)
    parts = np.split(faces.pixels, range(_RESIZED, len(faces.pixels), _RESIZED))
    small = tf.concat([tf.image.resize(images.to_float(part), [_SIDE, _SIDE], antialias=True) for part in parts], 0)
    data = tf.data.Dataset.from_tensor_slices((small, labels)).shuffle(len(small), seed=seed).repeat()
    data = data.map(lambda picture, label: (_vary(picture), label)).batch(_BATCH).prefetch(4)
    network.compile(
        keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(_LEARNING_RATE, steps)),
        loss=[_known_cross_entropy, None],
    )
    network.fit(data, steps_per_epoch=steps, verbose=0)
    return Judge(network, attributes)


def kernel_distance(real: np.ndarray, made: np.ndarray, paired: bool = False) -> float:
    """KID: the unbiased squared maximum mean discrepancy under a cubic kernel (Bińkowski et al. 2018, §3, eq. 4).

    Fréchet's distance would need more pictures than there are feature dimensions squared; this one is fair to few.

    Args:
      real: features float [N, F], N at least 2.
      made: features float [M, F], M at least 2.
      paired: whether each picture of `made` was made of that of `real` at its place. Then no picture is held against
        its own photograph, to which it is nearer than to others: the distance would come out too small (Gretton et al.
        2012, "A Kernel Two-Sample Test", Lemma 6, has both estimators).

    Returns:
      Around 0 for pictures of one kind (it may be slightly negative), larger the more they differ.
    """

    def kernel(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        return (first.astype(np.float64) @ second.T / first.shape[1] + 1.0) ** 3

    def without_itself(values: np.ndarray) -> float:
        return (values.sum() - np.trace(values)) / (len(values) * (len(values) - 1))

    across = without_itself(kernel(real, made)) if paired else kernel(real, made).mean()
    return float(without_itself(kernel(real, real)) + without_itself(kernel(made, made)) - 2.0 * across)


def _build(attributes: int) -> keras.Model:
    images = keras.Input([_SIDE, _SIDE, 3])
    x = keras.layers.Rescaling(2.0, -1.0)(images)
    for multiple in (1, 2, 4, 4):
        x = keras.layers.Conv2D(multiple * _WIDTH, 3, 2, "same", use_bias=False)(x)
        x = keras.layers.BatchNormalization()(x)
        x = keras.layers.ReLU()(x)
    found = keras.layers.GlobalAveragePooling2D()(x)
    logits = keras.layers.Dense(attributes)(keras.layers.Dropout(0.3)(found))
    return keras.Model(images, [logits, found], name="judge")


def _vary(picture: tf.Tensor) -> tf.Tensor:
    side = tf.random.uniform([], int(0.85 * _SIDE), _SIDE + 1, tf.int32)
    window = tf.image.random_crop(tf.image.random_flip_left_right(picture), [side, side, 3])
    varied = tf.image.random_brightness(tf.image.resize(window, [_SIDE, _SIDE]), 0.1)
    return tf.clip_by_value(tf.image.random_contrast(varied, 0.8, 1.2), 0.0, 1.0)


def _known_cross_entropy(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    known = tf.cast(labels >= 0, tf.float32)
    each = tf.nn.sigmoid_cross_entropy_with_logits(tf.maximum(labels, 0.0), logits)
    return tf.reduce_sum(known * each) / tf.maximum(1.0, tf.reduce_sum(known))
