"""Views: small square pictures of a photograph, each seen through an affine transform, as the networks take them.

Coordinates are those of components/faces/alignment.py: (x, y) in pixels, the first pixel's centre at (0.5, 0.5). A
view's transform is float64 [2, 3], from places of the unit square that the view shows to the photograph's places.
"""

import functools
import math
from collections.abc import Sequence

import cv2
import numpy as np

from faketagger.components.faces import alignment
from faketagger.components.faces.detector import Face, find_faces, suppose

# How much of a photograph a face's tag covers: CelebA-HQ's frame, on which the taggers are trained.
TEMPLATE = alignment.CELEBA_HQ
_LOOKED_AT = 2048  # Longest side of what faces are looked for in.
_FINER = 2  # Samples a view's pixel, each way.
_LONGEST = 32766  # Pixels of a side that cv2.warpAffine takes.
_SOFT = 0.03  # Of a view's side: the blur of what lies beyond the photograph.
_FILLS = 0.7  # Of the picture's width or height: a face that fills more is a cut-out without the room the mesh needs.
_ROOM = 0.4  # What is then added on each side.
_LARGEST_CUT_OUT = 1024  # Longest side of a picture that is taken for a cut-out though no face is found.
_MOST_IN_A_CUT_OUT = 2
_ALIKE = 0.02  # Of a view's side.
_MARGINS = (0.0, 0.2, 0.5)  # On each side of a face's box, in its sides: what cut-outs are tried to have.


class Photograph:
    """A photograph's pixels with what is made of them on the way to views, each once.

    Attributes:
      pixels: uint8 [H, W, 3].
    """

    def __init__(self, pixels: np.ndarray, faces: Sequence[Face] | None = None):
        """Takes `faces` for its own where they are known; ValueError where `pixels` are no photograph."""
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or 0 in pixels.shape:
            raise ValueError(f"a photograph is uint8 [H, W, 3], got {pixels.dtype} {list(pixels.shape)}")
        self.pixels = pixels
        self._levels = [pixels]
        self._known_faces = faces

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.pixels.shape[1], self.pixels.shape[0]

    @functools.cached_property
    def faces(self) -> list[Face]:
        """Its faces, the largest first; in a large photograph those that are large enough when it is reduced."""
        if self._known_faces is not None:
            return list(self._known_faces)
        reduced = self.reduced(_LOOKED_AT)
        scale = np.array(self.size) / reduced.shape[1::-1]
        return [_moved(face, scale, np.zeros(2)) for face in _faces(reduced)]

    @functools.cached_property
    def aligned(self) -> list[np.ndarray]:
        """The transforms of its faces' aligned views."""
        return [aligned(face) for face in self.faces]

    @functools.cached_property
    def supposed(self) -> list[np.ndarray]:
        """Transforms of the aligned views that a face would have of which this is a cut-out, with more or less room.

        For a reader alone, who finds out whether it is so; of small pictures in which two faces are found at most.
        Those of found faces are left out, and where faces are known, nothing is supposed.
        """
        width, height = self.size
        if self._known_faces is not None or max(self.size) > _LARGEST_CUT_OUT or len(self.faces) > _MOST_IN_A_CUT_OUT:
            return []
        room = math.ceil(_ROOM * max(self.size))
        padded = cv2.copyMakeBorder(self.pixels, room, room, room, room, cv2.BORDER_REPLICATE)
        middle = room + np.array([width, height]) / 2
        halves = [min(self.size) / 2 / (1 + 2 * margin) for margin in _MARGINS]
        found = [suppose(padded, (*(middle - half), *(middle + half))) for half in halves]
        known, new = list(self.aligned), []
        for face in found:
            transform = face and aligned(face) - [[0, 0, room], [0, 0, room]]
            if transform is not None and not any(_is_alike(transform, other) for other in known + new):
                new.append(transform)
        return new

    def turned_faces(self, quarter_turns: int, inverted: bool) -> list[np.ndarray]:
        """The aligned views' transforms of the faces that are found when the photograph is turned back, or inverted.

        Args:
          quarter_turns: by which it is turned counter-clockwise to look for faces.
          inverted: whether it is looked at as its negative.
        """
        reduced = self.reduced(_LOOKED_AT // 2)
        scale = np.array(self.size) / reduced.shape[1::-1]
        turned = np.ascontiguousarray(np.rot90(255 - reduced if inverted else reduced, quarter_turns))
        back = turn(quarter_turns, (reduced.shape[1], reduced.shape[0]))
        to_whole = np.array([[scale[0], 0, 0], [0, scale[1], 0]])
        return [compose(compose(aligned(face), back), to_whole) for face in _faces(turned)]

    def view(self, transform: np.ndarray, side: int) -> np.ndarray:
        """The photograph seen through a transform, antialiased: float32 [side, side, 3] in [0, 1].

        What lies beyond the photograph is its rim, drawn out and blurred.
        """
        step = math.sqrt(abs(np.linalg.det(transform[:, :2]))) / side  # Photograph's pixels a view's pixel.
        level = int(min(max(0.0, math.log2(max(step, 1e-9) / _FINER) + 0.5), math.log2(max(self.size))))
        fine = side * _FINER
        window, to_source = self._source(transform, level, fine)
        while max(window.shape[:2]) > _LONGEST:  # Of a picture that is far longer than wide.
            level += 1
            window, to_source = self._source(transform, level, fine)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        seen = cv2.warpAffine(np.float32(window), to_source, (fine, fine), flags=flags, borderMode=cv2.BORDER_REPLICATE)
        beyond = _beyond(window.shape[:2], to_source, fine)
        if beyond is not None:
            # Lines drawn out would look like something.
            seen[beyond] = _softened(seen)[beyond]
        return cv2.resize(seen, (side, side), interpolation=cv2.INTER_AREA) / np.float32(255.0)

    def _source(self, transform: np.ndarray, level: int, fine: int) -> tuple[np.ndarray, np.ndarray]:
        """What a view needs of the photograph halved `level` times, and where in that its `fine`² samples lie."""
        reduced, scale = self._level(level)
        back = transform / [[scale[0]], [scale[1]]]
        # cv2 counts a pixel's centre as whole: half a pixel is added to its places and taken off again.
        to_source = np.concatenate(
            [back[:, :2] / fine, back[:, 2:] + back[:, :2].sum(1, keepdims=True) / 2 / fine - 0.5], 1
        )
        window, corner = _window(reduced, to_source, fine)
        to_source[:, 2] -= corner
        return window, to_source

    def reduced(self, longest: int) -> np.ndarray:
        """The photograph halved until neither side is longer."""
        return self._level(max(0, math.ceil(math.log2(max(self.size) / longest))))[0]

    def _level(self, level: int) -> tuple[np.ndarray, np.ndarray]:
        """The photograph halved `level` times, and the photograph's pixels in one of its, each way."""
        while len(self._levels) <= level:
            height, width = self._levels[-1].shape[:2]
            half = (max(1, width // 2), max(1, height // 2))
            self._levels.append(cv2.resize(self._levels[-1], half, interpolation=cv2.INTER_AREA))
        height, width = self._levels[level].shape[:2]
        return self._levels[level], np.array(self.size) / (width, height)


def _softened(seen: np.ndarray) -> np.ndarray:
    """A square picture blurred by _SOFT of its side; at a quarter of it, which takes a tenth as long."""
    side = len(seen)
    small = cv2.resize(seen, (side // 4, side // 4), interpolation=cv2.INTER_AREA)
    return cv2.resize(cv2.GaussianBlur(small, (0, 0), _SOFT * side / 4), (side, side), interpolation=cv2.INTER_LINEAR)


def whole(photograph: Photograph) -> np.ndarray:
    """The transform of the view that shows the whole photograph, squeezed to a square."""
    width, height = photograph.size
    return np.array([[width, 0.0, 0.0], [0.0, height, 0.0]])


def _is_alike(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether a reader tells nothing apart in two views."""
    return bool(np.abs(compose(one, invert(other)) - np.eye(2, 3)).max() <= _ALIKE)


def aligned(face: Face) -> np.ndarray:
    """The transform of a face's aligned view."""
    return alignment.frame(face.landmarks, TEMPLATE)


def turn(quarter_turns: int, size: tuple[int, int]) -> np.ndarray:
    """The transform from a picture turned counter-clockwise to the picture, of `size` (width, height), as it is."""
    width, height = size
    return np.float64(
        {
            0: [[1, 0, 0], [0, 1, 0]],
            1: [[0, -1, width], [1, 0, 0]],
            2: [[-1, 0, width], [0, -1, height]],
            3: [[0, 1, 0], [-1, 0, height]],
        }[quarter_turns]
    )


def jitter(shift: tuple[float, float] = (0.0, 0.0), scale: float = 1.0, degrees: float = 0.0) -> np.ndarray:
    """The transform within the unit square, about its middle, by shares of the side; to compose before a view's."""
    cos, sin = scale * math.cos(math.radians(degrees)), scale * math.sin(math.radians(degrees))
    matrix = np.array([[cos, -sin], [sin, cos]])
    return np.concatenate([matrix, (np.array(shift) + 0.5 - matrix @ [0.5, 0.5])[:, None]], 1)


MIRROR = np.array([[-1.0, 0.0, 1.0], [0.0, 1.0, 0.0]])  # To compose before a view's transform.


def compose(first: np.ndarray, then: np.ndarray) -> np.ndarray:
    """The transform [2, 3] that does `first`, then `then`."""
    return np.concatenate([then[:, :2] @ first[:, :2], then[:, :2] @ first[:, 2:] + then[:, 2:]], 1)


def invert(transform: np.ndarray) -> np.ndarray:
    """The way back: [2, 3] → [2, 3]."""
    inverse = np.linalg.inv(transform[:, :2])
    return np.concatenate([inverse, -inverse @ transform[:, 2:]], 1)


def _window(picture: np.ndarray, to_source: np.ndarray, fine: int) -> tuple[np.ndarray, np.ndarray]:
    """The part of a picture that a view needs, so that its size is the view's and not the picture's."""
    corners = np.array([(0, 0), (fine, 0), (0, fine), (fine, fine)]) @ to_source[:, :2].T + to_source[:, 2]
    limit = np.array(picture.shape[1::-1])
    # A rim of two pixels for the kernel; at least one pixel where the view lies beside the picture.
    low = np.clip(np.floor(corners.min(0)).astype(int) - 2, 0, limit - 1)
    high = np.clip(np.ceil(corners.max(0)).astype(int) + 3, low + 1, limit)
    return picture[low[1] : high[1], low[0] : high[0]], low


def _beyond(shape: tuple[int, int], to_source: np.ndarray, fine: int) -> np.ndarray | None:
    """Which of a view's samples lie beside a window of its picture, bool [fine, fine]; None where none does."""
    limit = np.array(shape[::-1])
    corners = np.array([(0, 0), (fine - 1, 0), (0, fine - 1), (fine - 1, fine - 1)]) @ to_source[:, :2].T
    corners += to_source[:, 2]
    if np.all(corners >= -0.5) and np.all(corners <= limit - 0.5):
        return None
    steps = np.arange(fine)
    x, y = (row[0] * steps + row[1] * steps[:, None] + row[2] for row in to_source)
    return (x < -0.5) | (y < -0.5) | (x > limit[0] - 0.5) | (y > limit[1] - 0.5)


def _faces(pixels: np.ndarray) -> list[Face]:
    """The faces of a picture; one that fills it is looked at with room around it, without which landmarks wander."""
    found = find_faces(pixels)
    height, width = pixels.shape[:2]
    if found and not _is_tight(found[0], width, height):
        return found
    if not found and max(width, height) > _LARGEST_CUT_OUT:
        return found
    room = [math.ceil(side * _ROOM) for side in (height, width)]
    padded = cv2.copyMakeBorder(pixels, room[0], room[0], room[1], room[1], cv2.BORDER_REPLICATE)
    found_in_it = find_faces(padded, smallest=max(padded.shape))  # A face that fills it is found at the first look.
    inside = [_moved(face, np.ones(2), -np.array(room[::-1])) for face in found_in_it]
    # A rim drawn out can look like a face.
    return [face for face in inside if _is_within(face, width, height)] or found


def _is_tight(face: Face, width: int, height: int) -> bool:
    left, top, right, bottom = face.box
    return (right - left) > _FILLS * width or (bottom - top) > _FILLS * height


def _is_within(face: Face, width: int, height: int) -> bool:
    middle = face.landmarks.mean(0)
    return bool(np.all(middle >= 0) and middle[0] <= width and middle[1] <= height)


def _moved(face: Face, scale: np.ndarray, shift: np.ndarray) -> Face:
    box = np.ravel(np.reshape(face.box, [2, 2]) * scale + shift)
    return Face(tuple(box.tolist()), face.landmarks * scale + shift, face.mesh * scale + shift, face.score)
