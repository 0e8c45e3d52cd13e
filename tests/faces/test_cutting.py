"""Photographs cut to squares keep their faces' landmarks."""

import numpy as np
import pytest

from faketagger.components.faces import alignment, cutting
from faketagger.components.faces.detector import Face


def _face(turn_degrees: float = 8.0, eye_distance: float = 72.0, middle=(336.0, 225.0)) -> Face:
    shape = (alignment.Template(1.0, 0.0, 0.0).landmarks(1)) * eye_distance
    angle = np.radians(turn_degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return Face((0.0, 0.0, 1.0, 1.0), shape @ turn.T + middle, np.zeros([468, 2]), 0.9)


def _spots(face: Face, height: int, width: int) -> np.ndarray:
    """A dark photograph uint8 with a bright soft spot at the face's left eye."""
    rows, columns = np.mgrid[0:height, 0:width] + 0.5
    x, y = face.landmarks[0]
    spot = 255 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * 6.0**2))
    return np.repeat(np.uint8(spot)[..., None], 3, axis=2)


def _centre(square: np.ndarray) -> np.ndarray:
    rows, columns = np.mgrid[0 : square.shape[0], 0 : square.shape[1]] + 0.5
    mass = square[..., 0].astype(np.float64)
    return np.array([(mass * columns).sum(), (mass * rows).sum()]) / mass.sum()


@pytest.mark.parametrize("size", [64, 256])
def test_landmarks_follow_the_face_into_the_aligned_square(size):
    face = _face()
    square, landmarks = cutting.aligned_square(_spots(face, 600, 800), size, face)
    assert square.shape == (size, size, 3) and square.dtype == np.uint8
    np.testing.assert_allclose(_centre(square), size * landmarks[0], atol=0.3)
    np.testing.assert_allclose(landmarks, alignment.Template(4.4).landmarks(1), atol=0.01)  # Upright, where it belongs.


def test_a_square_that_would_leave_the_photograph_is_cut_closer():
    face = _face(eye_distance=72.0, middle=(336.0, 130.0))
    _, landmarks = cutting.aligned_square(_spots(face, 600, 800), 128, face)
    side = 1.0 / np.linalg.norm(landmarks[1] - landmarks[0])
    assert 3.0 < side < 4.0


def test_what_lies_beyond_the_photograph_is_its_mirrored_rim():
    face = _face(turn_degrees=0.0, middle=(336.0, 60.0))
    photograph = np.full([600, 800, 3], 90, np.uint8)
    square, _ = cutting.aligned_square(photograph, 128, face)
    np.testing.assert_array_equal(square, 90)


def test_landmarks_follow_the_face_into_the_centred_square():
    face = _face()
    square, landmarks = cutting.centred_square(_spots(face, 600, 800), 128, face)
    np.testing.assert_allclose(_centre(square), 128 * landmarks[0], atol=0.3)
    assert cutting.centred_square(_spots(face, 600, 800), 128, None)[1] is None
