"""The classifiers that guide the training of attribute editors."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from faketagger.components.simulator.generators import guide
from faketagger.tests.simulator.helpers import faces_of

pytestmark = pytest.mark.slow


def test_the_guiding_loss_is_the_weighted_cross_entropy_to_smoothed_labels_over_known_ones():
    logits = np.float32([[[2.0, -1.0], [0.0, 3.0]]])
    labels, weights = np.float32([[1, -1]]), np.float32([[0.5, 9.0]])
    wanted = 0.95
    each = [np.log1p(np.exp(-x)) + (1 - wanted) * x for x in (2.0, 0.0)]
    assert guide.guiding_loss(logits, labels, weights).numpy() == pytest.approx(np.mean(each), rel=1e-4)
    both = guide.guiding_loss(logits, np.float32([[1, 0]]), np.float32([[1.0, 3.0]])).numpy()
    other = [np.log1p(np.exp(x)) - 0.05 * x for x in (-1.0, 3.0)]
    assert both == pytest.approx((np.mean(each) + 3 * np.mean(other)) / 4, rel=1e-4)
    assert guide.guiding_loss(logits, -np.ones([1, 2], np.float32)).numpy() == 0.0


def test_varied_pictures_are_seen_closer_flipped_and_in_another_light_with_a_slope():
    rows, columns = np.mgrid[0:1:80j, 0:1:80j]
    picture = tf.constant(np.stack([columns, rows, np.full_like(rows, 0.5)], -1)[None], tf.float32)
    many = tf.repeat(picture, 40, 0)
    with tf.GradientTape() as tape:
        tape.watch(many)
        varied = guide.vary(many)
        value = tf.reduce_mean(varied)
    assert varied.shape == [40, 64, 64, 3]
    leftward = np.mean(varied[:, :, -8:, 0], (1, 2)) < np.mean(varied[:, :, :8, 0], (1, 2))
    assert 0.2 < np.mean(leftward) < 0.8
    assert np.std(varied[..., 2]) > 0.02
    unlit = guide.vary(many, light=0.0)
    assert np.std(unlit[..., 2]) < 0.001 and np.std(unlit[..., 0]) > 0.2
    assert np.mean(np.asarray(tape.gradient(value, many)) != 0) > 0.5


def test_guides_learn_from_labelled_pictures_alone():
    keras.utils.set_random_seed(3)
    pictures = np.full([24, 32, 32, 3], 0.5, np.float32)
    pictures[:8, 8:24, 8:24] = 1.0
    pictures[8:16, 8:24, 8:24] = 0.0
    faces = faces_of(pictures, Male=[1] * 8 + [0] * 8 + [-1] * 8)
    guides = guide.build_guide(1)
    untrained = [each.numpy() for each in guides.trainable_variables]
    guide.train_guide(faces, ("Male",), guides, 60, 1)
    assert any(np.any(each != old) for each, old in zip(guides.trainable_variables, untrained))
    logits = guides(guide.reduced(faces.pixels[:16]) / np.float32(255))
    assert logits.shape == [16, 2, 1]
    assert np.mean((logits > 0) == (np.arange(16) < 8)[:, None, None]) > 0.9
