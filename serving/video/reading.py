"""Reads a clip: the logits of a face are averaged over its frames, and the p-value covers all that is tried.

As in a photograph (photograph/search.py), what is tried depends on the pictures alone, never on the key: each try keeps
the promise, and each stage has a fixed share of the error probability, divided equally among what it tries.
"""

import collections
import dataclasses
import math
from collections.abc import Iterator, Sequence

import numpy as np

from faketagger.serving.photograph import search, views
from faketagger.serving.photograph.reading import PhotographReading, Reader, RegionReading
from faketagger.serving.photograph.views import MIRROR, Photograph, compose, jitter
from faketagger.serving.video import tracking
from faketagger.serving.video.clips import Clip
from faketagger.serving.video.tracking import Track, Tracks

FRAMES_A_SECOND = 10  # More are much alike.
MOST_FRAMES = 240  # Of a clip, spread evenly.
_MOST_CLOSELY = 20  # Of these, where each is looked at in many ways.
_AS_IT_IS = (jitter(),)
LOOK, THOROUGH = 1, 3  # How many stages.


@dataclasses.dataclass(frozen=True)
class ClipReading(PhotographReading):
    """What was read from a clip: a reading a face's track, and one of whole frames.

    Attributes:
      spans: the first and last second in which each of `faces` was seen.
      frames: how many were read.
    """

    spans: tuple[tuple[float, float], ...]
    frames: int


@dataclasses.dataclass(frozen=True, eq=False)
class _Look:
    """One way of looking at every region of every frame.

    Attributes:
      how: as search.Hypothesis'.
      before: a transform within the view.
      around: jitters, whose logits are averaged.
    """

    how: str
    before: np.ndarray
    around: Sequence[np.ndarray]

    def transforms(self, transform: np.ndarray) -> Iterator[np.ndarray]:
        for each in self.around:
            yield compose(each, compose(self.before, transform))


@dataclasses.dataclass(frozen=True)
class _Stage:
    """Ways of looking that are tried together: the how many-eth stage, and its share of the error probability."""

    number: int
    share: float
    looks: Sequence[_Look]


_PLAIN = _Stage(1, 0.5, [_Look("", jitter(), _AS_IT_IS)])
_CLOSER = _Stage(
    2,
    0.25,
    [
        _Look("mirrored", MIRROR, _AS_IT_IS),
        _Look("", jitter(), search.AROUND),
        _Look("mirrored", MIRROR, search.AROUND),
    ],
)
_SHARE_OF_ONE_FRAME = 0.25

# A region of a clip: the number of a face's track, or None for whole frames.
_Region = int | None


def read(clip: Clip, reader: Reader, depth: int = THOROUGH) -> ClipReading:
    """Searches a clip for the tag, at most `depth` stages; ends with the first that finds one.

    First every face and the whole frames, over all frames that are read; then mirrored, and where the landmarks are a
    little off; then one frame as a photograph, in all ways in which photographs are searched.

    Args:
      clip: gone through once to follow faces, and once or twice to read.
      reader: reads with one key and one model.
      depth: LOOK to THOROUGH.

    Raises:
      DamagedError, ImageError: as Clip.frames.
    """
    step = max(1, round(clip.rate / FRAMES_A_SECOND), math.ceil(clip.count / MOST_FRAMES))
    tracks = tracking.follow(clip, step)
    frames = math.ceil(tracks.frames / step)
    closely = step * max(1, math.ceil(frames / _MOST_CLOSELY))
    found: dict[_Region, RegionReading] = {}
    tries = _try(clip, reader, tracks, _PLAIN, step, found)
    if depth >= _CLOSER.number and not _tagged(found):
        tries += _try(clip, reader, tracks, _CLOSER, closely, found)
    if depth >= THOROUGH and not _tagged(found):
        tries += _search_frame(clip, reader, tracks, step, found)
    middles = [(track.first + track.last) // 2 for track in tracks.faces]
    faces = [
        dataclasses.replace(found[place], box=track.box(middle))
        for place, (track, middle) in enumerate(zip(tracks.faces, middles))
    ]
    spans = tuple((track.first / clip.rate, track.last / clip.rate) for track in tracks.faces)
    return ClipReading(tuple(faces), found[None], tries, reader.key_fingerprint, spans, frames)


def _tagged(found: dict[_Region, RegionReading]) -> bool:
    return any(each.tagged for each in found.values())


def _keep(found: dict[_Region, RegionReading], region: _Region, reading: RegionReading) -> None:
    """Keeps the better of a region's readings."""
    if region not in found or reading.p_value < found[region].p_value:
        found[region] = reading


def _try(
    clip: Clip, reader: Reader, tracks: Tracks, stage: _Stage, step: int, found: dict[_Region, RegionReading]
) -> int:
    """Tries a stage; returns how many tries it has, with each mask."""
    means = _averaged(clip, reader, tracks.faces, stage.looks, step)
    hypotheses = list(means)
    # Each face, whole frames, and all together; faces that fall between the frames of a coarser step count as tried.
    count = len(stage.looks) * (len(tracks.faces) + 2 if tracks.faces else 1)
    for number, reading in reader.judge(np.stack([means[each] for each in hypotheses]), count / stage.share):
        look, region, _ = hypotheses[number]
        _keep(found, region, dataclasses.replace(reading, how=stage.looks[look].how))
    return count * len(reader.payloads)


def _averaged(
    clip: Clip, reader: Reader, faces: Sequence[Track], looks: Sequence[_Look], step: int
) -> dict[tuple[int, _Region, bool], np.ndarray]:
    """The mean logits float32 [n] of each hypothesis: a look, a region, and whether it is everything together."""
    sums: dict[tuple[int, _Region], np.ndarray] = collections.defaultdict(lambda: np.zeros([], np.float32))
    counts: collections.Counter[tuple[int, _Region]] = collections.Counter()
    waiting: list[tuple[tuple[int, _Region], np.ndarray]] = []

    def settle() -> None:
        logits = reader.decode(np.stack([view for _, view in waiting]))
        for (key, _), each in zip(waiting, logits):
            sums[key] = sums[key] + each
            counts[key] += 1
        waiting.clear()

    for frame in clip.frames(step):
        photograph = Photograph(frame.pixels, ())
        shown: list[tuple[_Region, np.ndarray]] = [(None, views.whole(photograph))]
        shown += [
            (place, track.transform(frame.number))
            for place, track in enumerate(faces)
            if track.first <= frame.number <= track.last
        ]
        for number, look in enumerate(looks):
            for region, transform in shown:
                for each in look.transforms(transform):
                    waiting.append(((number, region), photograph.view(each, reader.side)))
                    if len(waiting) == reader.views_a_call:
                        settle()
    if waiting:
        settle()
    means = {(look, region, False): total / np.float32(counts[look, region]) for (look, region), total in sums.items()}
    if faces:
        for number in range(len(looks)):
            of_look = [key for key in sums if key[0] == number]
            count = sum(counts[key] for key in of_look)
            means[number, None, True] = np.sum([sums[key] for key in of_look], 0) / np.float32(count)
    return means


def _search_frame(clip: Clip, reader: Reader, tracks: Tracks, step: int, found: dict[_Region, RegionReading]) -> int:
    """Searches one frame as a photograph: of the face that takes up most of the clip, or the clip's, the middle one."""
    first, last = (tracks.faces[0].first, tracks.faces[0].last) if tracks.faces else (0, tracks.frames - 1)
    wanted = (first + last) // 2 // step * step
    frame = next(each for each in clip.frames(step) if each.number == wanted)
    reading = reader.read(Photograph(frame.pixels), share=_SHARE_OF_ONE_FRAME)
    best = reading.best
    near = [place for place, track in enumerate(tracks.faces) if best.box and _is_at(track, wanted, best)]
    _keep(found, near[0] if near else None, dataclasses.replace(best, box=None))
    return reading.tries


def _is_at(track: Track, number: int, reading: RegionReading) -> bool:
    return track.first <= number <= track.last and tracking.overlap(track.box(number), reading.box or ()) > 0
