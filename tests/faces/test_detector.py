"""Faces are found in drawn photographs, where they were put."""

import concurrent.futures
import time

import numpy as np
import pytest
from PIL import Image

from faketagger.components.example_gen import face_drawing
from faketagger.components.faces import detector


def _drawn(number: int, size: int) -> Image.Image:
    return Image.fromarray(np.asarray(face_drawing.draw(face_drawing.sample_traits(1, number), size)))


def _photograph(width: int, height: int, *faces: tuple[int, int, int]) -> np.ndarray:
    """A grey photograph with drawn faces at (left, top, size)."""
    photograph = Image.new("RGB", (width, height), (120, 130, 140))
    for number, (left, top, size) in enumerate(faces):
        photograph.paste(_drawn(number, size), (left, top))
    return np.asarray(photograph)


@pytest.fixture(scope="module")
def alone() -> detector.Face:
    """A drawn face of 256 pixels as it is found in the picture of itself."""
    (face,) = detector.find_faces(np.asarray(_drawn(0, 256)))
    return face


def test_each_face_of_a_group_is_found_where_it_is(alone):
    faces = detector.find_faces(_photograph(1200, 700, (60, 80, 400), (600, 200, 256), (950, 420, 200)))
    assert len(faces) == 3
    assert [round(face.box[0], -2) for face in faces] == [100, 700, 1000]  # The largest first.
    shown = (faces[0].landmarks - [60, 80]) * 256 / 400
    np.testing.assert_allclose(shown, alone.landmarks, atol=0.06 * alone.eye_distance)


def test_a_small_face_of_a_large_photograph_is_found(alone):
    (face,) = detector.find_faces(_photograph(2048, 1536, (1700, 1000, 160)))
    shown = (face.landmarks - [1700, 1000]) * 256 / 160
    np.testing.assert_allclose(shown, alone.landmarks, atol=0.06 * alone.eye_distance)


def test_a_turned_face_has_its_landmarks_turned(alone):
    turned = _drawn(0, 256).rotate(20, Image.Resampling.BICUBIC, fillcolor=(120, 130, 140))
    (face,) = detector.find_faces(np.asarray(turned))
    angle = np.radians(-20)  # Counterclockwise, where y goes down.
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    wanted = (alone.landmarks - 128) @ turn.T + 128
    np.testing.assert_allclose(face.landmarks, wanted, atol=0.08 * alone.eye_distance)


def test_a_box_that_lies_beside_its_face_is_looked_for_again_and_the_face_counted_once(monkeypatch):
    photograph, look = _photograph(600, 600, (150, 150, 300)), detector._look
    (face,) = detector.find_faces(photograph)
    beside = (0.55 * (face.box[2] - face.box[0]), 0.0)

    def misled(window, also=True):
        found = look(window)
        if window.shape != photograph.shape:
            return found
        ((points, score),) = found
        return [(points, score), (points + beside, 0.6)] if also else [(points + beside, 0.6)]

    for also in (True, False):
        monkeypatch.setattr(detector, "_look", lambda window, also=also: misled(window, also))
        (found,) = detector.find_faces(photograph)
        np.testing.assert_allclose(found.landmarks, face.landmarks, atol=0.02 * face.eye_distance)
        np.testing.assert_allclose(found.box, face.box, atol=0.1 * face.eye_distance)


def test_a_photograph_without_faces_has_none():
    assert detector.find_faces(_photograph(640, 480)) == []


def test_left_and_right_are_the_pictures(alone):
    eye_left, eye_right, _, mouth_left, mouth_right = alone.landmarks[:, 0]
    assert eye_left < eye_right
    assert mouth_left < mouth_right


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 2)])
def test_pictures_too_small_for_a_face_are_looked_at_without_failing(size):
    assert detector.find_faces(_photograph(*size)) == []


def test_no_two_threads_ask_a_network_at_a_time(monkeypatch):
    """TensorFlow Lite's interpreters are not safe to share."""
    inside, most = [], []

    def detect(window):
        inside.append(window)
        most.append(len(inside))
        time.sleep(0.01)
        inside.pop()
        return []

    monkeypatch.setattr(detector, "_networks", lambda: (detect, None))
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(detector.find_faces, [np.zeros([8, 8, 3], np.uint8)] * 8))
    assert most == [1] * 8
