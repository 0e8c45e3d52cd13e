"""Follows faces through a clip: landmarks of every frame, without gaps and without the detector's trembling."""

import dataclasses
import functools
from collections.abc import Sequence

import cv2
import numpy as np

from faketagger.components.faces import detector
from faketagger.components.faces.detector import Face
from faketagger.serving.photograph import views
from faketagger.serving.photograph.views import Photograph
from faketagger.serving.video.clips import Clip, Frame

MOST_TRACKS = 32  # Of a clip, those that take up most of it.
_SMOOTHED = 0.06  # Seconds: deviation of the weights around a frame; a nod takes half a second.
_LOOKED_FOR = 0.4  # Seconds between two looks for new faces; between them known ones are followed.
_SMALLEST = 0.07  # Of a frame's longer side: what one look finds.
_SAME = 0.3  # Intersection over union with where a face was last, from which on it is the same.
_LOST = 0.5  # Seconds without it after which a face is another one.
_FEWEST = 3  # Frames: what is seen in fewer, of many, is hardly a face.
_CUT = 0.13  # Mean difference of two frames' thumbnails, of 1: between two shots it is larger, within one smaller.
_THUMBNAIL = 32
_NEVER = float("inf")


@dataclasses.dataclass(frozen=True, eq=False)
class Track:
    """A face through the frames of one shot.

    Attributes:
      numbers: int [N], of the frames in which it was seen, rising.
      landmarks: float64 [N, 5, 2], as seen, in pixels.
      boxes: float64 [N, 4].
      deviation: frames; how far the smoothing reaches.
    """

    numbers: np.ndarray
    landmarks: np.ndarray
    boxes: np.ndarray
    deviation: float

    @property
    def first(self) -> int:
        """The first frame's number."""
        return int(self.numbers[0])

    @property
    def last(self) -> int:
        """The last frame's number."""
        return int(self.numbers[-1])

    @functools.cached_property
    def eye_distance(self) -> float:
        """Pixels between the eyes, the median over the frames."""
        return float(np.median(np.linalg.norm(self.landmarks[:, 1] - self.landmarks[:, 0], axis=1)))

    @property
    def weight(self) -> float:
        """How much of the clip it takes up."""
        return self.eye_distance * len(self.numbers)

    def box(self, number: int) -> tuple[float, float, float, float]:
        """Where it was seen, nearest to a frame."""
        left, top, right, bottom = self.boxes[np.argmin(np.abs(self.numbers - number))]
        return float(left), float(top), float(right), float(bottom)

    def transform(self, number: int) -> np.ndarray:
        """Of the face's aligned view in a frame (views.py), smoothed; also where it was not seen in between."""
        landmarks = smoothed(self.numbers, self.landmarks, number, self.deviation)
        return views.aligned(Face(self.box(number), landmarks, landmarks, 1.0))


def smoothed(times: np.ndarray, values: np.ndarray, time: float, deviation: float) -> np.ndarray:
    """A line fitted by least squares to what is near a time: values [N, ...] at times [N] → [...] at `time`.

    What moves evenly is not delayed, at the beginning and the end of a track neither (Cleveland 1979).
    """
    apart = np.asarray(times, np.float64) - time
    nearest = np.abs(apart).min()
    weights = np.exp(-0.5 * np.square((np.abs(apart) - nearest) / deviation))
    flat = np.reshape(values, [len(times), -1])
    mean_time, mean = weights @ apart / weights.sum(), weights @ flat / weights.sum()
    beside = apart - mean_time
    slope = (weights * beside) @ (flat - mean) / max(weights @ np.square(beside), 1e-9)
    return (mean - mean_time * slope).reshape(values.shape[1:])


@dataclasses.dataclass(frozen=True)
class Tracks:
    """What a clip shows.

    Attributes:
      faces: those that take up most of it come first.
      shots: the number of each shot's first frame, the first of which is 0.
      frames: how many there are, those that were not looked at included.
    """

    faces: tuple[Track, ...]
    shots: tuple[int, ...]
    frames: int

    def shot(self, number: int) -> int:
        """Which shot a frame belongs to."""
        return int(np.searchsorted(self.shots, number, "right")) - 1


def follow(clip: Clip, step: int = 1) -> Tracks:
    """Goes through a clip and follows its faces, looking at every `step`-th frame. Errors are Clip.frames'."""
    open_tracks: list[_Growing] = []
    done: list[_Growing] = []
    shots, before, last = [0], None, 0
    since_look = _NEVER
    for frame in clip.frames(step):
        last = frame.number
        shown = _thumbnail(frame)
        if before is not None and np.mean(np.abs(shown - before)) > _CUT:
            shots.append(frame.number)
            done, open_tracks, since_look = done + open_tracks, [], _NEVER
        before = shown
        was, looks = since_look, since_look >= _LOOKED_FOR * clip.rate
        since_look = step if looks else since_look + step
        _keep_on(open_tracks, frame)
        if looks:
            # Small faces are looked for once a shot, as that takes ten times as long.
            _begin(open_tracks, frame, Photograph(frame.pixels).faces if was == _NEVER else _large_faces(frame))
        lost = [each for each in open_tracks if frame.number - each.numbers[-1] > _LOST * clip.rate + step]
        done += lost
        open_tracks = [each for each in open_tracks if each not in lost]
    enough = min(_FEWEST, 1 + last // step)
    found = [each.made(max(1.0, _SMOOTHED * clip.rate)) for each in done + open_tracks if len(each.numbers) >= enough]
    found.sort(key=lambda each: -each.weight)
    return Tracks(tuple(found[:MOST_TRACKS]), tuple(shots), last + step if step > 1 else last + 1)


@dataclasses.dataclass(eq=False)
class _Growing:
    """A track that may go on."""

    face: Face  # Where it was last.
    numbers: list[int]
    faces: list[Face]

    def add(self, face: Face, number: int) -> None:
        self.face = face
        self.numbers.append(number)
        # The mesh's 468 points are needed but of the last.
        self.faces.append(dataclasses.replace(face, mesh=face.landmarks))

    def made(self, deviation: float) -> Track:
        landmarks, boxes = (np.stack(it) for it in ([f.landmarks for f in self.faces], [f.box for f in self.faces]))
        return Track(np.array(self.numbers), landmarks, boxes, deviation)


def _keep_on(tracks: Sequence[_Growing], frame: Frame) -> None:
    """Finds the tracks' faces in a frame."""
    found: list[Face] = []
    for track in tracks:
        face = detector.follow(frame.pixels, track.face)
        # A mesh that jumps is another face's, or none.
        if face is not None and overlap(face.box, track.face.box) >= _SAME and not _known(face, found):
            track.add(face, frame.number)
            found.append(face)


def _begin(tracks: list[_Growing], frame: Frame, faces: Sequence[Face]) -> None:
    """Begins tracks of a frame's faces that are on none, or goes on with one that was lost."""
    for face in faces:
        if _known(face, [each.face for each in tracks if each.numbers[-1] == frame.number]):
            continue
        lost = [each for each in tracks if each.numbers[-1] != frame.number]
        track = max(lost, key=lambda each: overlap(each.face.box, face.box), default=None)
        if track is None or overlap(track.face.box, face.box) < _SAME:
            track = _Growing(face, [], [])
            tracks.append(track)
        track.add(face, frame.number)


def _large_faces(frame: Frame) -> list[Face]:
    return detector.find_faces(frame.pixels, smallest=_SMALLEST * max(frame.pixels.shape))


def _known(face: Face, others: Sequence[Face]) -> bool:
    return any(overlap(face.box, other.box) >= _SAME for other in others)


def overlap(one: Sequence[float], other: Sequence[float]) -> float:
    """Intersection over union of two boxes (left, top, right, bottom)."""
    width = max(0.0, min(one[2], other[2]) - max(one[0], other[0]))
    height = max(0.0, min(one[3], other[3]) - max(one[1], other[1]))
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return width * height / max(areas - width * height, 1e-9)


def _thumbnail(frame: Frame) -> np.ndarray:
    return cv2.resize(frame.pixels, (_THUMBNAIL, _THUMBNAIL), interpolation=cv2.INTER_AREA).astype(np.float32) / 255.0
