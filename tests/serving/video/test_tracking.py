"""Faces through frames: on drawn faces, by the detector that photographs have."""

import numpy as np
import pytest

from faketagger.serving.video import tracking
from faketagger.tests.serving.video import helpers


def _along(count, start=(100, 96), step=(2, 0)):
    return [(start[0] + step[0] * number, start[1] + step[1] * number) for number in range(count)]


def test_what_moves_evenly_is_neither_delayed_nor_drawn_in_at_the_ends():
    times = np.array([0, 1, 2, 4, 5, 9])
    values = np.stack([3.0 * times + 1, -times], -1).reshape(6, 2, 1)
    for time in (0, 3, 7, 9):
        found = tracking.smoothed(times, values, time, 1.5)
        assert found.ravel() == pytest.approx([3 * time + 1, -time], abs=0.1)


def test_trembling_is_smoothed():
    draws = np.random.default_rng(1)
    times = np.arange(40)
    values = draws.normal(0, 1, [40, 1])
    smooth = np.array([tracking.smoothed(times, values, each, 1.5) for each in times])
    assert np.diff(smooth, axis=0).std() < 0.35 * np.diff(values, axis=0).std()


@pytest.mark.slow
def test_a_face_that_moves_is_one_track_and_its_view_moves_along():
    places = _along(14)
    found = tracking.follow(helpers.clip(helpers.faces(places)))
    (track,) = found.faces
    assert (track.first, track.last, found.frames, found.shots) == (0, 13, 14, (0,))
    middles = np.array([track.transform(number) @ [0.5, 0.5, 1.0] for number in range(14)])
    moved = middles - middles[0] - (np.array(places) - places[0])
    assert np.abs(moved).max() < 2.5
    steps = np.diff(middles[:, 0])
    assert steps.std() < 0.5


@pytest.mark.slow
def test_a_cut_ends_a_track_and_a_short_absence_does_not():
    first, second = helpers.faces(_along(12)), helpers.faces(_along(12), traits=(1, 3))
    second = [np.uint8(255 - 0.5 * frame) for frame in second]
    cut = tracking.follow(helpers.clip(first + second))
    assert cut.shots == (0, 12)
    assert cut.shot(11) == 0 and cut.shot(12) == 1
    assert all(track.last < 12 or track.first >= 12 for track in cut.faces)
    places = [None if number in (12, 13) else place for number, place in enumerate(_along(26, step=(1, 0)))]
    (track,) = tracking.follow(helpers.clip(helpers.faces(places))).faces
    assert (track.first, track.last) == (0, 25)
    assert track.transform(13).shape == (2, 3)


@pytest.mark.slow
def test_frames_without_faces_have_no_tracks():
    found = tracking.follow(helpers.clip(helpers.spots(5)), step=2)
    assert found.faces == () and found.shots == (0,)
