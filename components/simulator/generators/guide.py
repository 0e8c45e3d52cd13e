"""Guides: classifiers of real pictures that tell an attribute editor in training whether its edits show.

The critic's own head learns attributes while the generator waits for it, and of the critic's few pictures a step: edits
show after tens of thousands of steps. Guides know them before the generator's first step. Two of them, unlike each
other, look at each edited picture cut out and lit at random: what deceives one network at one place by one tint is
worth little.
"""

import numpy as np
import tensorflow as tf
from tensorflow import keras

from faketagger.components.simulator.generators.base import Faces

SIDE = 64  # Their own; attributes of a face are seen at it.
_WIDTH = 24
_BATCH = 32
_LEARNING_RATE = 2e-3
_CUT = 0.12  # Most that is cut off a side, as a share of it.
_LIGHT = 0.2  # Largest random change of each colour's share and of the contrast; of the brightness half of it.
_SHADES, _SHADE = 6, 0.12  # Cells a side of a random field of colours, and its largest standard deviation.
_NOISE = 0.03  # Largest standard deviation of the noise.
_SMOOTHED = 0.05  # Of a label: a guide that is never certain always has a slope.


def train_guide(faces: Faces, attributes: tuple[str, ...], guide: keras.Model, steps: int, seed: int) -> None:
    """Trains a guide on the pictures of which any of the attributes is known.

    Args:
      faces: real pictures.
      attributes: the names of the guide's attributes.
      guide: as build_guide's; trained in place.
      steps: optimiser steps.
      seed: for shuffling.
    """
    labels = np.stack([faces.labels(name) for name in attributes], 1).astype(np.float32)
    used = np.flatnonzero((labels >= 0).any(1))
    known, small = tf.constant(labels[used]), tf.constant(reduced(faces.pixels[used]))
    order = tf.data.Dataset.range(len(used)).shuffle(len(used), seed=seed).repeat().batch(_BATCH)
    optimizer = keras.optimizers.AdamW(keras.optimizers.schedules.CosineDecay(_LEARNING_RATE, steps), weight_decay=5e-3)

    @tf.function
    def step(numbers: tf.Tensor) -> None:
        with tf.GradientTape() as tape:
            logits = guide(vary(tf.cast(tf.gather(small, numbers), tf.float32) / 255.0), training=True)
            loss = guiding_loss(logits, tf.gather(known, numbers))
        optimizer.minimize(loss, guide.trainable_variables, tape=tape)

    for numbers in order.take(steps):
        step(numbers)


def reduced(pixels: np.ndarray) -> np.ndarray:
    """Pictures uint8 [N, S, S, 3] at the guides' side, a thousand at a time as floats are large."""
    parts = np.split(pixels, range(1000, len(pixels), 1000))
    small = [tf.image.resize(part, [SIDE, SIDE], antialias=True) for part in parts]
    return np.concatenate([tf.cast(tf.round(each), tf.uint8) for each in small])


def guiding_loss(logits: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor | float = 1.0) -> tf.Tensor:
    """Cross-entropy of logits [B, G, A] to labels [B, A] of 0, 1 or −1: weighted mean over the known, guides' mean.

    Args:
      logits: of each guide.
      labels: −1 where unknown.
      weights: of each label, [B, A] or a number.
    """
    counted = tf.cast(labels >= 0, tf.float32) * weights
    wanted = tf.maximum(labels, 0.0) * (1.0 - 2.0 * _SMOOTHED) + _SMOOTHED
    each = tf.nn.sigmoid_cross_entropy_with_logits(tf.broadcast_to(wanted[:, None], tf.shape(logits)), logits)
    return tf.math.divide_no_nan(tf.reduce_sum(counted * tf.reduce_mean(each, 1)), tf.reduce_sum(counted))


def vary(pictures: tf.Tensor, light: tf.Tensor | float = 1.0) -> tf.Tensor:
    """Pictures [B, S, S, 3] in [0, 1], each seen in another way: [B, 64, 64, 3], differentiable.

    Cut out, flipped, lit by coloured lamps and covered with noise, at random; `light` multiplies how much the last two
    vary.
    """
    batch = tf.shape(pictures)[0]
    top, left, bottom, right = tf.unstack(tf.random.uniform([4, batch], 0.0, _CUT))
    left, right = _flip_half(left, 1.0 - right)
    boxes = tf.stack([top, left, 1.0 - bottom, right], 1)
    if pictures.shape[1] > SIDE:
        pictures = tf.image.resize(pictures, [SIDE, SIDE], antialias=True)
    cut = tf.image.crop_and_resize(pictures, boxes, tf.range(batch), [SIDE, SIDE])
    contrast = 1.0 + light * tf.random.uniform([batch, 1, 1, 1], -_LIGHT, _LIGHT)
    colours = 1.0 + light * tf.random.uniform([batch, 1, 1, 3], -_LIGHT, _LIGHT)
    middle = (
        tf.reduce_mean(cut, [1, 2], keepdims=True) + light * tf.random.uniform([batch, 1, 1, 1], -_LIGHT, _LIGHT) / 2.0
    )
    shades = tf.random.normal([batch, _SHADES, _SHADES, 3]) * tf.random.uniform([batch, 1, 1, 1], 0.0, _SHADE)
    lit = (middle + contrast * (cut - middle)) * colours + light * tf.image.resize(shades, [SIDE, SIDE])
    noise = tf.random.normal(tf.shape(lit)) * tf.random.uniform([batch, 1, 1, 1], 0.0, _NOISE)
    return lit + light * noise


def _flip_half(left: tf.Tensor, right: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    flipped = tf.random.uniform(tf.shape(left)) < 0.5
    return tf.where(flipped, right, left), tf.where(flipped, left, right)


def build_guide(attributes: int) -> keras.Model:
    """Pictures [B, 64, 64, 3] around [0, 1] → logits of two networks [B, 2, attributes]."""
    images = keras.Input([SIDE, SIDE, 3])
    x = keras.layers.Rescaling(2.0, -1.0)(images)
    logits = [_member(x, attributes, 3, "relu", False), _member(x, attributes, 5, "swish", True)]
    return keras.Model(images, tf.stack(logits, 1), name="guide")


def _member(x, attributes: int, first_kernel: int, activation: str, pooled: bool):
    for level, multiple in enumerate((1, 2, 4, 4)):
        kernel, stride = first_kernel if level == 0 else 3, 1 if level == 3 else 2
        if pooled and stride == 2 and level:
            x, stride = keras.layers.AveragePooling2D()(x), 1
        x = keras.layers.Conv2D(multiple * _WIDTH, kernel, stride, "same", use_bias=False)(x)
        x = keras.layers.Activation(activation)(keras.layers.BatchNormalization()(x))
    x = keras.layers.Dropout(0.4)(keras.layers.GlobalAveragePooling2D()(x))
    return keras.layers.Dense(attributes)(x)
