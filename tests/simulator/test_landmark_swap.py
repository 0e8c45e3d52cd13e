"""A face swap by landmarks: whose face is seen where, and what stays."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from faketagger.components.contract import manifest
from faketagger.components.example_gen import face_drawing
from faketagger.components.faces import detector
from faketagger.components.simulator import landmark_swap, library


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


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A simulator of four drawn donors, and its directory."""
    directory = str(tmp_path_factory.mktemp("made") / landmark_swap.NAME)
    tf.io.gfile.makedirs(directory)
    described = manifest.SimulatorManifest(
        name=landmark_swap.NAME,
        family="identity_swap",
        conditions=landmark_swap.condition_names(),
        image_size=128,
        training_data="drawn faces",
        licence="the project's own",
    )
    manifest.write(described, directory)
    landmark_swap.save_donors(np.stack([_drawn(number)[0] for number in range(1, 8)]), directory)
    return library.load(directory), directory


def test_a_loaded_one_swaps_in_the_donor_that_the_condition_names(made):
    simulator, _ = made
    pictures = tf.constant(np.float32(_drawn(0)[0][None]) / 255.0)
    first, last = (simulator(pictures, tf.constant([number])).numpy() for number in (0, 3))
    assert first.shape == pictures.shape and not simulator.has_gradient
    assert np.abs(first - pictures).max() > 0.1
    assert np.abs(first - last).max() > 0.1


def test_a_picture_without_a_face_comes_back_as_it_was(made):
    simulator, _ = made
    grey = tf.fill([1, 128, 128, 3], 51.0 / 255.0)
    np.testing.assert_allclose(simulator(grey, tf.constant([1])), grey, atol=1e-6)


def test_donors_that_unpack_to_too_much_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(landmark_swap, "_MAX_DONORS_BYTES", 10_000)
    np.savez_compressed(tmp_path / "donors.npz", donors=np.zeros([4, 64, 64, 3], np.uint8))
    with pytest.raises(ValueError, match="donors.npz: not the donors of a landmark_swap: unpacks to 49,"):
        landmark_swap.Model(str(tmp_path))


def test_too_few_donors_and_damaged_ones_are_told(made, tmp_path):
    with pytest.raises(ValueError, match="0 of 2 pictures show one face"):
        landmark_swap.save_donors(np.full([2, 64, 64, 3], 99, np.uint8), str(tmp_path))
    (tmp_path / "donors.npz").write_bytes(b"no archive")
    with pytest.raises(ValueError, match="donors.npz: not the donors"):
        landmark_swap.Model(str(tmp_path))
