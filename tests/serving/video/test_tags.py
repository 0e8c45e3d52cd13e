"""Clips tagged and read: with a tagger of patterns, on tracks that are given."""

import dataclasses
import io

import cv2
import numpy as np
import pytest

from faketagger.components.contract.picture import ImageError
from faketagger.serving.photograph import tagging as photograph_tagging
from faketagger.serving.photograph import views
from faketagger.serving.photograph.tagging import FaceTag
from faketagger.serving.video import reading, tagging, tracking, writing
from faketagger.serving.video.clips import Clip
from faketagger.tests import stubs
from faketagger.tests.serving.photograph import helpers as of_photographs
from faketagger.tests.serving.video import helpers

SIZE = (320, 192)
COUNT = 12


def _track(first=0, count=COUNT, eyes=24.0, start=(110, 90), step=3.0):
    """A face that moves to the right."""
    faces = [of_photographs.face(start[0] + step * number, start[1], eyes) for number in range(count)]
    landmarks, boxes = (np.stack(it) for it in ([face.landmarks for face in faces], [face.box for face in faces]))
    return tracking.Track(np.arange(first, first + count), landmarks, boxes, 1.5)


@pytest.fixture
def follows(monkeypatch):
    """Makes faces be found where it is said."""

    def say(*tracks, shots=(0,), frames=COUNT):
        found = tracking.Tracks(tracks, shots, frames)
        monkeypatch.setattr(tracking, "follow", lambda clip, step=1: found)
        return found

    return say


def _clip(count=COUNT):
    return helpers.clip(helpers.spots(count, SIZE), crf=5)


def _tagged(clip, tracks, uid=of_photographs.UID):
    made = tagging.tag(clip, tracks, lambda views: of_photographs.encode(views, uid), stubs.SIZE)
    out = io.BytesIO()
    writing.write(clip, made.on, out, "mp4", crf=18)
    return made, Clip(out)


def test_a_clip_with_a_moving_face_is_tagged_and_read_from_face_and_whole(follows):
    clip, track = _clip(), _track()
    _, tagged = _tagged(clip, follows(track))
    found = reading.read(tagged, of_photographs.reader(), reading.LOOK)
    assert [each.uid for each in found.faces] == [of_photographs.UID]
    assert found.whole.uid == of_photographs.UID and found.uid == of_photographs.UID
    assert found.spans == ((0.0, (COUNT - 1) / 25),) and found.frames == COUNT // 2
    assert found.faces[0].box == track.box(5)
    assert reading.read(clip, of_photographs.reader()).uid is None


def test_the_residual_is_held_still_on_the_face(follows):
    """Seen in the face's own frame it is the same in each of the clip's frames, and one call of the encoder made it."""
    calls = []

    def encode(views):
        calls.append(len(views))
        return of_photographs.encode(views)

    track = _track()
    made = tagging.tag(_clip(), follows(track), encode, stubs.SIZE)
    assert calls == [2]  # The face and the rest.
    seen = []
    for number in (0, 4, 9):
        layers = made.layers(number, SIZE)
        strips = photograph_tagging.Overlay(SIZE, layers).strips()
        added = np.concatenate([strip for _, strip in strips])
        shown = views.Photograph(np.uint8(127 + 1000 * added.clip(-0.1, 0.1)), ())
        seen.append(shown.view(track.transform(number), 48)[8:40, 8:40])
    assert np.ptp(seen[0]) > 0.02
    assert max(np.abs(each - seen[0]).mean() for each in seen) < 0.1 * np.std(seen[0])


def test_each_shot_has_a_residual_of_its_own_and_small_faces_none(follows):
    tracks = follows(_track(count=6), _track(6, 6, eyes=9.0), shots=(0, 6))
    made = tagging.tag(_clip(), tracks, of_photographs.encode, stubs.SIZE)
    assert len(made.of_shots) == 2
    assert [each.tag for each in made.faces] == [FaceTag.TAGGED, FaceTag.TOO_SMALL]
    assert [len(made.layers(number, SIZE)) for number in (0, 5, 6, 11)] == [2, 2, 1, 1]
    assert made.layers(11, SIZE)[-1].residual is made.of_shots[1]


def test_a_clip_of_more_shots_than_memory_is_kept_for_is_refused(follows):
    tracks = follows(shots=tuple(range(1001)), frames=1001)
    with pytest.raises(ImageError, match="more than 1,000 shots: cut it into parts"):
        tagging.tag(_clip(), tracks, of_photographs.encode, stubs.SIZE)


def test_soft_bits_of_many_frames_say_more_than_those_of_one(follows):
    """With noise, of its own in each frame, that hides the tag in single frames."""
    tracks, draws = follows(), np.random.default_rng(3)
    clip = _clip(16)
    made = tagging.tag(clip, dataclasses.replace(tracks, frames=16), of_photographs.encode, stubs.SIZE)

    def noisy(frame):
        noise = cv2.resize(draws.normal(0, 30, [48, 48]), SIZE, interpolation=cv2.INTER_NEAREST)
        return np.uint8((made.on(frame) + noise[..., None]).clip(0, 255))

    out = io.BytesIO()
    writing.write(clip, noisy, out, "mp4", crf=8)
    follows(frames=16)
    many = reading.read(Clip(out), of_photographs.reader(), reading.LOOK)
    single = io.BytesIO()
    writing.write(helpers.clip([next(Clip(out).frames()).pixels], crf=5), lambda frame: frame.pixels, single, "mp4", 5)
    follows(frames=1)
    one = reading.read(Clip(single), of_photographs.reader(), reading.LOOK)
    assert (many.frames, one.frames) == (8, 1)
    assert many.uid == of_photographs.UID and many.whole.p_value < 0.1 * one.whole.p_value


def test_a_mirrored_clip_is_read_in_the_second_stage(follows):
    clip, track = _clip(), _track()
    made, _ = _tagged(clip, follows(track))
    out = io.BytesIO()
    writing.write(clip, lambda frame: made.on(frame)[:, ::-1], out, "mp4", crf=10)
    follows()
    found = reading.read(Clip(out), of_photographs.reader())
    assert (found.uid, found.whole.how) == (of_photographs.UID, "mirrored")
    assert reading.read(Clip(out), of_photographs.reader(), reading.LOOK).uid is None


def test_p_values_are_multiplied_by_what_is_tried_and_by_the_stages_share(follows, monkeypatch):
    follows(_track(), _track(start=(200, 100), step=0.0))
    tries = []
    judged = type(of_photographs.reader())._judged

    def noted(self, logits, count):
        tries.append((len(logits), count))
        return judged(self, logits, count)

    monkeypatch.setattr(type(of_photographs.reader()), "_judged", noted)
    found = reading.read(_clip(), of_photographs.reader())
    # Two faces, the whole, all together: 4 in half of the probability; three ways each in a quarter; then one frame.
    assert tries[:2] == [(4, 8.0), (12, 48.0)]
    assert len(tries) > 2 and all(count >= 8 * rows for rows, count in tries[2:])
    assert found.tries == 4 + 12 + sum(rows for rows, _ in tries[2:])
