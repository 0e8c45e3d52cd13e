"""Lays tags over a clip: a residual for each face, made once and moved with it, and one for the rest of each shot.

Were it made anew for each frame, it would flicker: the residual follows the picture's noise.
"""

import collections
import dataclasses
from collections.abc import Sequence

import numpy as np

from faketagger.components.contract.picture import ImageError
from faketagger.serving.photograph import views
from faketagger.serving.photograph.reading import PhotographReading
from faketagger.serving.photograph.tagging import SMALLEST_EYES, Encode, FaceTag, Layer, Overlay, TaggedFace, weakening
from faketagger.serving.photograph.views import Photograph
from faketagger.serving.video.clips import Clip, Frame
from faketagger.serving.video.tracking import Track, Tracks

_MOST_SHOTS = 1000  # Of a clip: each takes a view and a residual in memory.


@dataclasses.dataclass(frozen=True, eq=False)
class ClipTag:
    """The tag of one clip, to be added to its frames.

    Attributes:
      tracks: the clip's faces and shots.
      of_faces: the residual of each face that carries a tag, float32 [S, S, 3]; None for the others.
      of_shots: the residual of the rest of each shot's frames.
      replaced: what was read before, where another tag was replaced.
    """

    tracks: Tracks
    of_faces: tuple[np.ndarray | None, ...]
    of_shots: tuple[np.ndarray, ...]
    replaced: PhotographReading | None = None

    @property
    def faces(self) -> tuple[TaggedFace, ...]:
        """What became of each face, with its place in the middle of its track."""
        fates = [FaceTag.TOO_SMALL if residual is None else FaceTag.TAGGED for residual in self.of_faces]
        boxes = [track.box((track.first + track.last) // 2) for track in self.tracks.faces]
        return tuple(map(TaggedFace, boxes, fates))

    def on(self, frame: Frame) -> np.ndarray:
        """A frame with its tags, uint8 [H, W, 3]."""
        size = frame.pixels.shape[1], frame.pixels.shape[0]
        return Overlay(size, self.layers(frame.number, size)).on(frame.pixels)

    def layers(self, number: int, size: tuple[int, int]) -> list[Layer]:
        """What lies over a frame of a size (width, height); the rest's layer is the last."""
        found = [
            Layer(residual, track.transform(number))
            for track, residual in zip(self.tracks.faces, self.of_faces)
            if residual is not None and track.first <= number <= track.last
        ]
        width, height = size
        rest = np.array([[width, 0.0, 0.0], [0.0, height, 0.0]])
        return [*found, Layer(self.of_shots[self.tracks.shot(number)], rest)]


def tag(clip: Clip, tracks: Tracks, encode: Encode, side: int) -> ClipTag:
    """Makes a clip's tags, each from one frame.

    Args:
      clip: gone through once.
      tracks: of every frame of it.
      encode: calls the model's encoder with the codeword and strength wanted.
      side: S, of the model's views.

    Raises:
      DamagedError, ImageError: as Clip.frames; ImageError also where it has too many shots.
    """
    if len(tracks.shots) > _MOST_SHOTS:
        raise ImageError(f"{clip.name}: more than {_MOST_SHOTS:,} shots: cut it into parts")
    large = [place for place, track in enumerate(tracks.faces) if track.eye_distance >= SMALLEST_EYES]
    ends = [*tracks.shots[1:], tracks.frames]
    # The number of the frame of each face, then of each shot, that its residual is made from.
    shown = [_best_frame(tracks.faces[place]) for place in large]
    shown += [(first + last) // 2 for first, last in zip(tracks.shots, ends)]
    places: dict[int, list[int]] = collections.defaultdict(list)
    for place, number in enumerate(shown):
        places[number].append(place)
    seen = np.empty([len(shown), side, side, 3], np.float32)
    for frame in clip.frames(until=max(shown) + 1):
        photograph = Photograph(frame.pixels, ())
        for place in places.get(frame.number, ()):
            of_face = place < len(large)
            view = tracks.faces[large[place]].transform(frame.number) if of_face else views.whole(photograph)
            seen[place] = photograph.view(view, side)
    residuals = [encoded - each for each, encoded in zip(seen, _in_calls(encode, seen))]
    of_faces = dict(zip(large, residuals))
    made = ClipTag(
        tracks, tuple(of_faces.get(place) for place in range(len(tracks.faces))), tuple(residuals[len(large) :])
    )
    return _weakened(made, shown, clip.size)


def _best_frame(track: Track) -> int:
    """Where the face is largest, of the middle half of its track: at the ends it comes and goes."""
    quarter = len(track.numbers) // 4
    eyes = np.linalg.norm(track.landmarks[:, 1] - track.landmarks[:, 0], axis=1)[quarter : len(track.numbers) - quarter]
    return int(track.numbers[quarter + np.argmax(eyes)])


def _in_calls(encode: Encode, seen: np.ndarray) -> np.ndarray:
    """`encode` in calls of at most 64 pictures, as models take them."""
    return np.concatenate([encode(seen[first : first + 64]) for first in range(0, len(seen), 64)])


def _weakened(made: ClipTag, shown: Sequence[int], size: tuple[int, int]) -> ClipTag:
    """All residuals by the one factor with which no frame that they were made from gets more than the model allows."""
    factor = min(weakening(size, made.layers(number, size)) for number in shown)
    of_faces = tuple(None if each is None else factor * each for each in made.of_faces)
    return dataclasses.replace(made, of_faces=of_faces, of_shots=tuple(factor * each for each in made.of_shots))
