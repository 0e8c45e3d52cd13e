"""A face swap by landmarks: whose face is seen where, and what stays."""

import dataclasses

import numpy as np
import pytest

from faketagger.components.example_gen import face_drawing
from faketagger.components.faces import detector
from faketagger.components.simulator import landmark_swap


def _drawn(number: int) -> tuple[np.ndarray, detector.Face]:
    picture = np.asarray(face_drawing.draw(face_drawing.sample_traits(1, number), 256))
    (face,) = detector.find_faces(picture)
    return picture, face


@pytest.fixture(scope="module")
def swapped():
    picture, face = _drawn(0)
    donor, donor_face = _drawn(3)
    return picture, face, donor, donor_face, landmark_swap.swap(picture, face, donor, donor_face)


def _outside(face: detector.Face, margin: float) -> np.ndarray:
    (left, top), (right, bottom) = face.mesh.min(0) - margin, face.mesh.max(0) + margin
    rows, columns = np.mgrid[0:256, 0:256]
    return (columns < left) | (columns > right) | (rows < top) | (rows > bottom)


def test_only_the_face_changes_and_it_does(swapped):
    picture, face, _, _, made = swapped
    assert made.shape == picture.shape and made.dtype == np.uint8
    np.testing.assert_array_equal(made[_outside(face, 2.0)], picture[_outside(face, 2.0)])
    inside = ~_outside(face, -0.2 * face.eye_distance)
    assert np.abs(made.astype(float) - picture)[inside].mean() > 4.0


def test_the_new_face_keeps_the_old_ones_landmarks_and_mean_colour(swapped):
    picture, face, _, _, made = swapped
    (found,) = detector.find_faces(made)
    np.testing.assert_allclose(found.landmarks, face.landmarks, atol=0.12 * face.eye_distance)
    inside = ~_outside(face, -0.2 * face.eye_distance)
    assert np.abs(made[inside].mean(0) - picture[inside].mean(0)).max() < 25.0


def test_a_face_swapped_for_itself_is_nearly_the_same():
    picture, face = _drawn(0)
    made = landmark_swap.swap(picture, face, picture, face)
    assert np.abs(made.astype(float) - picture).mean() < 1.5


def test_a_face_outside_the_picture_leaves_it_alone(swapped):
    picture, face, donor, donor_face, _ = swapped
    away = dataclasses.replace(face, mesh=face.mesh + 1000.0)
    np.testing.assert_array_equal(landmark_swap.swap(picture, away, donor, donor_face), picture)
