"""What a reader tries: views of a photograph under which a tag could be found, cheap and likely ones first.

A *hypothesis* says how the photograph may have been changed since it was tagged; its views show the same part of it,
slightly jittered, and their soft bits are averaged. Hypotheses come in *stages*. What a hypothesis depends on is the
picture alone, never the key, so that each is a fair try: a stage has a fixed share of the error probability, divided
equally among its hypotheses, and the shares add up to one however far the search goes.
"""

import dataclasses
import functools
import itertools
from collections.abc import Iterator, Sequence

import numpy as np

from faketagger.serving.photograph import trimming, views
from faketagger.serving.photograph.views import MIRROR, Photograph, compose, jitter

MOST_FACES = 32  # Of a photograph, the largest: more would make each one's proof dear.
LOOK, THOROUGH = 1, 6  # How many stages.

_SHARES = (0.5, 0.25, 0.125, 0.0625, 0.03125, 0.03125)
# A tag is read when it is off by 3% of the side, 5% of the scale or 2°. Of landmarks, which wander with what is around
# the face, the scale and the turn are off first.
AROUND = tuple(jitter(scale=scale, degrees=degrees) for scale in (0.95, 1.0, 1.05) for degrees in (-2.5, 0.0, 2.5))
_FURTHER = tuple(
    jitter(scale=scale, degrees=degrees)
    for scale in (0.85, 0.9, 0.95, 1.0, 1.05, 1.1, 1.15)
    for degrees in (-5.0, -2.5, 0.0, 2.5, 5.0)
)
_BESIDE = tuple(
    jitter((x, y), scale) for x in (-0.04, 0.0, 0.04) for y in (-0.04, 0.0, 0.04) for scale in (0.93, 1.0, 1.07)
)
# A swapped face's landmarks are closer together and lower or higher than those of the face that was there.
_SWAPPED = tuple(jitter((0.0, y), scale) for y in (-0.04, 0.04) for scale in (1.08, 1.16, 1.24))
_ANGLES = (-10, -7, -5, -3, -1.5, 1.5, 3, 5, 7, 10)
_CROPS = (0.04, 0.07, 0.1, 0.13, 0.16, 0.2, 0.25)  # Of the original's side, cut off at one side.
_ZOOMS = (0.04, 0.08, 0.12, 0.16, 0.2, 0.25, 0.3)  # Cut off of both sides together, all around.
_BORDERS = (0.02, 0.035, 0.05, 0.07, 0.1)  # Of the original's shorter side.
_ASPECTS = (9 / 16, 2 / 3, 3 / 4, 4 / 5, 5 / 4, 4 / 3, 3 / 2, 16 / 9)
_NEARLY = 8  # So many faces, the largest, are looked at where their landmarks are a little off;
_WIDELY = 3  # so many where they are more off.
_AS_IT_IS_OR_MIRRORED = (("", ()), ("mirrored and ", (MIRROR,)))


@dataclasses.dataclass(frozen=True, eq=False)
class View:
    """A transform (views.py), and whether the photograph's negative is seen."""

    transform: np.ndarray
    inverted: bool = False

    @functools.cached_property
    def key(self) -> tuple[bytes, bool]:
        """The same of views that show the same."""
        return (np.round(self.transform, 6) + 0.0).tobytes(), self.inverted  # −0 becomes 0.


@dataclasses.dataclass(frozen=True, eq=False)
class Hypothesis:
    """Attributes:
    face: whose tag would be read, its place in Photograph.faces; None for the photograph as a whole.
    how: the photograph was changed, for people; empty where it was not.
    views: whose logits are averaged.
    """

    face: int | None
    how: str
    views: tuple[View, ...]


@dataclasses.dataclass(frozen=True)
class Stage:
    """Hypotheses that are tried together.

    Attributes:
      share: of the error probability, that all of them have together.
      hypotheses: at least one.
    """

    share: float
    hypotheses: Sequence[Hypothesis]

    @property
    def tries(self) -> float:
        """What a p-value of this stage is multiplied by."""
        return len(self.hypotheses) / self.share


def stages(photograph: Photograph, depth: int = THOROUGH) -> Iterator[Stage]:
    """The first `depth` stages of the search, each made when it is asked for."""
    made = (_plain, _mirrored, _turned, _trimmed, _framed, _misplaced)
    for share, stage in zip(_SHARES, made[:depth]):
        hypotheses = list(stage(photograph))
        if hypotheses:
            yield Stage(share, hypotheses)


def _plain(photograph: Photograph) -> Iterator[Hypothesis]:
    yield from _everywhere(photograph.aligned[:MOST_FACES], views.whole(photograph), "")


def _mirrored(photograph: Photograph) -> Iterator[Hypothesis]:
    whole, faces = views.whole(photograph), photograph.aligned[:MOST_FACES]
    yield from _everywhere(faces, whole, "mirrored", [MIRROR])
    yield from _everywhere(faces[:_NEARLY], whole, "", around=AROUND)
    yield from _everywhere(faces[:_NEARLY], whole, "mirrored", [MIRROR], around=AROUND)
    yield from _each(faces[:_NEARLY], AROUND, mirrored=False)
    for transform in photograph.supposed:
        views_around = tuple(View(compose(each, transform)) for each in AROUND)
        yield Hypothesis(None, "cut out", (View(transform),))
        yield Hypothesis(None, "cut out", views_around)


def _turned(photograph: Photograph) -> Iterator[Hypothesis]:
    for turns, inverted in ((1, False), (3, False), (2, False), (0, True)):
        how = "inverted" if inverted else f"turned by {90 * turns}° clockwise"
        faces = photograph.turned_faces(turns, inverted)[:MOST_FACES]
        # The unit square turned is the view of the whole turned.
        whole = compose(views.turn(turns, (1, 1)), views.whole(photograph))
        for first, before in _AS_IT_IS_OR_MIRRORED:
            yield from _everywhere(faces, whole, first + how, before, inverted, named=False)
            if faces:
                yield from _everywhere(faces[:_NEARLY], whole, first + how, before, inverted, AROUND, named=False)


def _trimmed(photograph: Photograph) -> Iterator[Hypothesis]:
    for rectangle in trimming.rectangles(photograph):
        for first, before in _AS_IT_IS_OR_MIRRORED:
            yield from _everywhere([], rectangle, first + "with a rim", before)


def _framed(photograph: Photograph) -> Iterator[Hypothesis]:
    """The original's frame was another: a part of it was cut off, room was added, or it was turned a little."""
    inner = trimming.plain_rectangle(photograph)
    for outer in [views.whole(photograph)] + ([] if inner is None else [inner]):
        for how, frame in _frames(outer):
            for first, before in _AS_IT_IS_OR_MIRRORED:
                yield from _everywhere([], frame, first + how, before)


def _misplaced(photograph: Photograph) -> Iterator[Hypothesis]:
    """The landmarks have moved, as they do where a face was made anew or cut out closely."""
    faces, whole = photograph.aligned[:_WIDELY], View(views.whole(photograph))
    for each in _each(faces, _FURTHER + _BESIDE + _SWAPPED, mirrored=False):
        yield each
        # A swap leaves what is beside the face where it was: of both together more is left than of either.
        yield Hypothesis(None, "", (*each.views, whole))
    yield from _each(faces, AROUND, mirrored=True)
    for each in _each(photograph.supposed, _FURTHER + _BESIDE, mirrored=False):
        yield dataclasses.replace(each, face=None, how="cut out")


def _each(faces: Sequence[np.ndarray], around: Sequence[np.ndarray], mirrored: bool) -> Iterator[Hypothesis]:
    """A hypothesis for each jitter of each face."""
    for place, transform in enumerate(faces):
        start = compose(MIRROR, transform) if mirrored else transform
        for each in around:
            yield Hypothesis(place, "mirrored" if mirrored else "", (View(compose(each, start)),))


def _everywhere(
    faces: Sequence[np.ndarray],
    whole: np.ndarray,
    how: str,
    before: Sequence[np.ndarray] = (),
    inverted: bool = False,
    around: Sequence[np.ndarray] = (jitter(),),
    named: bool = True,
) -> Iterator[Hypothesis]:
    """A hypothesis for each face, one for the whole, and one for all of these together.

    Args:
      faces: their transforms.
      whole: the transform of the view of the whole.
      how: see Hypothesis.
      before: transforms within the view.
      inverted: see View.
      around: jitters, whose logits are averaged.
      named: whether `faces` are those of Photograph.faces.
    """
    seen = []
    for transform in (*faces, whole):
        for each in before:
            transform = compose(each, transform)
        seen.append(tuple(View(compose(each, transform), inverted) for each in around))
    for place, of_face in enumerate(seen[:-1]):
        yield Hypothesis(place if named else None, how, of_face)
    yield Hypothesis(None, how, seen[-1])
    if faces:
        yield Hypothesis(None, how, tuple(itertools.chain(*seen)))


def _frames(whole: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """How a photograph may have been reframed, and the original's frame as a transform of the unit square to the
    photograph.
    """
    (width, _, left), (_, height, top) = whole
    aspect = width / height

    def box(x0: float, y0: float, x1: float, y1: float) -> np.ndarray:
        """The rectangle from (x0, y0) to (x1, y1), in shares of the photograph."""
        return np.array([[(x1 - x0) * width, 0, left + x0 * width], [0, (y1 - y0) * height, top + y0 * height]])

    for cut in _CROPS:
        more = cut / (1 - cut)
        yield "cropped", box(-more, 0, 1, 1)
        yield "cropped", box(0, 0, 1 + more, 1)
        yield "cropped", box(0, -more, 1, 1)
        yield "cropped", box(0, 0, 1, 1 + more)
    for cut in _ZOOMS:
        more = cut / (1 - cut) / 2
        yield "cropped", box(-more, -more, 1 + more, 1 + more)
    for original in _ASPECTS:
        more = original / aspect - 1 if original > aspect else aspect / original - 1
        if 0.03 < more < 1.0:
            for before in (0.5, 0.0, 1.0):  # Of what was cut off, at the left or the top.
                one, other = -more * before, 1 + more * (1 - before)
                yield "cropped", box(one, 0, other, 1) if original > aspect else box(0, one, 1, other)
    for border in _BORDERS:
        # In shares of a side that has grown by twice the border.
        x, y = (border * min(1, 1 / each) for each in (aspect, 1 / aspect))
        x, y = x / (1 + 2 * x), y / (1 + 2 * y)
        yield "with a rim", box(x, y, 1 - x, 1 - y)
    for degrees in _ANGLES:
        for grown in (False, True):
            yield "turned a little", _turned_frame(whole, degrees, grown)


def _turned_frame(whole: np.ndarray, degrees: float, grown: bool) -> np.ndarray:
    """The frame of an original turned about its middle, in a canvas of its own size or one grown to hold it."""
    size = np.array([whole[0, 0], whole[1, 1]])
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    if grown:
        bounds = np.array([[cos, abs(sin)], [abs(sin), cos]])
        original = np.linalg.solve(bounds, size)
        size = original if np.all(original > 0.5 * size) else size
    matrix = np.array([[cos, -sin], [sin, cos]]) * size
    middle = whole @ [0.5, 0.5, 1.0]
    return np.concatenate([matrix, (middle - matrix @ [0.5, 0.5])[:, None]], 1)
