"""Similarity transforms between photographs and aligned faces."""

import numpy as np
import pytest
import tensorflow as tf

from faketagger.components.faces import alignment

_TEMPLATE = alignment.Template(side=4.0, eyes_y=0.4)
_LANDMARKS = np.float32([[[210, 180], [268, 190], [240, 225], [208, 255], [255, 262]]])


def _spots(places: np.ndarray, height: int, width: int, deviation: float = 3.0) -> np.ndarray:
    """A picture [1, H, W, N] with one soft spot a channel."""
    rows, columns = np.mgrid[0:height, 0:width] + 0.5
    squared = [(columns - x) ** 2 + (rows - y) ** 2 for x, y in places]
    return np.float32(np.exp(-np.stack(squared, -1) / (2 * deviation**2)))[None]


def _centres(pictures: tf.Tensor) -> np.ndarray:
    """Where the spots of [1, H, W, N] are, (x, y), [N, 2]."""
    spots = np.asarray(pictures)[0]
    rows, columns = np.mgrid[0 : spots.shape[0], 0 : spots.shape[1]] + 0.5
    mass = spots.sum((0, 1))
    return np.stack([(spots * columns[..., None]).sum((0, 1)) / mass, (spots * rows[..., None]).sum((0, 1)) / mass], 1)


def test_landmarks_that_are_the_template_are_moved_onto_it():
    template = _TEMPLATE.landmarks(128)
    angle = np.radians(20)
    turn = 2.5 * np.float32([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    landmarks = template @ turn.T + [310, 45]
    transform = alignment.fit(tf.constant(landmarks[None], tf.float32), _TEMPLATE, 128)
    np.testing.assert_allclose(alignment.apply(transform, landmarks[None].astype(np.float32))[0], template, atol=1e-2)


def test_the_frame_of_an_aligned_picture_is_the_inverse_of_the_fit():
    landmarks = np.random.default_rng(2).uniform(100, 300, [5, 2])
    fitted = alignment.invert(alignment.fit(tf.constant(landmarks[None], tf.float32), _TEMPLATE, 1))[0]
    np.testing.assert_allclose(alignment.frame(landmarks, _TEMPLATE), fitted, rtol=1e-4, atol=1e-2)


def test_a_moved_picture_has_its_parts_where_the_transform_says_to_a_tenth_of_a_pixel():
    transform = alignment.fit(tf.constant(_LANDMARKS), _TEMPLATE, 128)
    moved = alignment.move(tf.constant(_spots(_LANDMARKS[0], 400, 420)), transform, (128, 128), scales=(0.4, 0.6))
    wanted = alignment.apply(transform, tf.constant(_LANDMARKS))[0]
    np.testing.assert_allclose(_centres(moved), wanted, atol=0.1)


def test_a_picture_moved_there_and_back_has_its_parts_where_they_were_to_a_tenth_of_a_pixel():
    transform = alignment.fit(tf.constant(_LANDMARKS), _TEMPLATE, 128)
    there = alignment.move(tf.constant(_spots(_LANDMARKS[0], 400, 420, 6.0)), transform, (128, 128), scales=(0.4, 0.6))
    back = alignment.move(there, alignment.invert(transform), (400, 420), scales=(1.0, 2.5), fill="CONSTANT")
    np.testing.assert_allclose(_centres(back), _LANDMARKS[0], atol=0.1)


def test_fine_stripes_average_to_grey_when_a_picture_is_shrunk():
    stripes = np.float32(np.indices((400, 400)).sum(0) % 2)[None, ..., None]
    transform = alignment.fit(tf.constant(_LANDMARKS), alignment.Template(side=6.0), 32)
    moved = alignment.move(tf.constant(stripes), transform, (32, 32), scales=(0.08, 0.1)).numpy()
    assert np.abs(moved - 0.5).max() < 0.1


@pytest.mark.parametrize(("size", "scales"), [(24, (0.3, 0.5)), (128, (1.9, 2.3))])
def test_gradients_are_those_of_the_linear_map_for_smooth_pictures(size, scales):
    transform = alignment.fit(tf.constant(_LANDMARKS / 4), _TEMPLATE, size)
    places = np.float32([[50, 50], [60, 45], [55, 60]])
    pictures, other = (tf.constant(_spots(places + shift, 100, 105, 8.0)) for shift in (0, 3))
    with tf.GradientTape() as tape:
        tape.watch(pictures)
        moved = alignment.move(pictures, transform, (size, size), scales)
        total = tf.reduce_sum(tf.square(moved))
    along = tf.reduce_sum(tape.gradient(total, pictures) * other)
    wanted = 2 * tf.reduce_sum(moved * alignment.move(other, transform, (size, size), scales))
    assert float(along) == pytest.approx(float(wanted), rel=0.02)


def test_composing_a_transform_with_its_inverse_leaves_places_alone():
    transform = alignment.fit(tf.constant(_LANDMARKS), _TEMPLATE, 128)
    places = tf.constant([[[3.0, 4.0], [100.0, 20.0]]])
    round_trip = alignment.compose(transform, alignment.invert(transform))
    np.testing.assert_allclose(alignment.apply(round_trip, places), places, atol=1e-3)
