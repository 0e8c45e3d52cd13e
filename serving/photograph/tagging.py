"""Lays tags over a photograph: one on each face's aligned view, one over the rest, blended, in its own resolution."""

import dataclasses
import enum
from collections.abc import Callable, Iterator, Sequence

import cv2
import numpy as np

from faketagger.components.faces.detector import Face
from faketagger.serving.photograph import search, views
from faketagger.serving.photograph.views import Photograph

SMALLEST_EYES = 16.0  # Pixels between the eyes: after JPEG 75 all of 12 such faces were read, 11 at 12 pixels.
MOST_FACES = search.MOST_FACES
_ALIKE = 0.08  # Of a side: how far the corners of a face's view may be from the photograph's for it to be one with it.
_HIDDEN = 0.4  # Of a face's view: where other faces' tags take more, its own is not counted on.

_RIM = 0.06  # Of a face's view: over it, from its border inwards, the tag rises from nothing to its full strength.
_FAVOUR = 48.0  # How sharply a place that two faces share goes to the one whose middle is nearer.
_ENLARGED = 4  # A residual is enlarged by cubic interpolation so far, and from there linearly, which is quicker.
_TILE = 192  # Pixels: small enough that most tiles are one layer's alone.


# float32 [B, S, S, 3] in [0, 1] → the same, tagged.
Encode = Callable[[np.ndarray], np.ndarray]


class FaceTag(enum.Enum):
    """Whether a face carries a tag of its own; its value says why not."""

    TAGGED = "tagged"
    TOO_SMALL = "too small for a tag of its own"
    OVERLAPPED = "hidden by larger faces' tags"
    ONE_TOO_MANY = f"one of more than {MOST_FACES} faces"


@dataclasses.dataclass(frozen=True)
class TaggedFace:
    """Attributes:
    box: (left, top, right, bottom) in pixels.
    tag: whether it carries a tag of its own.
    """

    box: tuple[float, float, float, float]
    tag: FaceTag


@dataclasses.dataclass(frozen=True)
class Layer:
    """A residual over a part of the photograph.

    Attributes:
      residual: float32 [S, S, 3], in grey levels of 1.
      transform: of the view that it was made for.
    """

    residual: np.ndarray
    transform: np.ndarray


def tag(photograph: Photograph, encode: Encode, side: int) -> tuple["Overlay", list[TaggedFace]]:
    """Makes a photograph's tags: one for each face that is large enough, and one for the rest of the picture.

    Args:
      photograph: left as it is.
      encode: calls the model's encoder with the codeword and strength wanted.
      side: S, of the model's views.

    Returns:
      What is to be added to the photograph, and what became of each face.
    """
    faces = _chosen(photograph)
    transforms = [_frame(face, photograph) for face, fate in faces if fate is FaceTag.TAGGED]
    transforms.append(views.whole(photograph))
    seen = np.stack([photograph.view(each, side) for each in transforms])
    layers = [Layer(*each) for each in zip(encode(seen) - seen, transforms)]
    factor = weakening(photograph.size, layers)
    layers = [Layer(factor * each.residual, each.transform) for each in layers]
    return Overlay(photograph.size, layers), [TaggedFace(face.box, fate) for face, fate in faces]


def _frame(face: Face, photograph: Photograph) -> np.ndarray:
    """The view that carries a face's tag: its aligned one, or the whole where that shows nearly the same.

    Of a portrait hardly anything lies beside the face, and a swap moves the landmarks: its borders stay where they are.
    """
    own, whole = views.aligned(face), views.whole(photograph)
    in_whole = views.compose(own, views.invert(whole))
    corners = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    apart = corners @ in_whole[:, :2].T + in_whole[:, 2] - corners
    return whole if np.abs(apart).max() <= _ALIKE else own


def _chosen(photograph: Photograph) -> list[tuple[Face, FaceTag]]:
    """The photograph's faces, the largest first, and which of them are tagged."""
    found: list[tuple[Face, FaceTag]] = []
    taken: list[Face] = []
    for face in photograph.faces:
        if face.eye_distance < SMALLEST_EYES:
            found.append((face, FaceTag.TOO_SMALL))
        elif len(taken) == MOST_FACES:
            found.append((face, FaceTag.ONE_TOO_MANY))
        elif _hidden(face, taken) > _HIDDEN:
            found.append((face, FaceTag.OVERLAPPED))
        else:
            taken.append(face)
            found.append((face, FaceTag.TAGGED))
    return found


def _hidden(face: Face, others: Sequence[Face]) -> float:
    """The share of a face's view in which another face's middle is nearer."""
    middles = (np.arange(16) + 0.5) / 16
    places = np.stack(np.meshgrid(middles, middles), -1).reshape(-1, 2)
    own = _closeness(places)
    transform = views.aligned(face)
    in_photograph = places @ transform[:, :2].T + transform[:, 2]
    lost = np.zeros(len(places), bool)
    for other in others:
        back = views.invert(views.aligned(other))
        lost |= _closeness(in_photograph @ back[:, :2].T + back[:, 2]) > np.maximum(own, 0)
    return float(lost.mean())


def _closeness(places: np.ndarray) -> np.ndarray:
    """How far places [N, 2] of a view are from its border, in sides; below 0 outside."""
    return 0.5 - np.abs(places - 0.5).max(-1)


class Overlay:
    """What is added to a photograph: residuals on its faces and one on the rest, in the photograph's own resolution.

    A face's residual wins inside its view, and gives way to the rest's at its border, so that there is no seam; where
    the views of several faces overlap, the one whose middle is nearer, measured in its own side, wins.
    """

    def __init__(self, size: tuple[int, int], layers: Sequence[Layer]):
        """Of a photograph of `size` (width, height); the last of the layers is the rest's."""
        self._size = size
        *self._faces, self._rest = [_Prepared.of(each) for each in layers]

    def strips(self) -> Iterator[tuple[int, np.ndarray]]:
        """Strips from top to bottom: the first row, and float32 [rows, W, 3] to add to the photograph in [0, 1]."""
        width, height = self._size
        for top in range(0, height, _TILE):
            strip = np.empty([min(_TILE, height - top), width, 3], np.float32)
            for left in range(0, width, _TILE):
                tile = strip[:, left : left + _TILE]
                tile[:] = _blended(tile.shape[:2], (left, top), self._faces, self._rest)
            yield top, strip

    def on(self, pixels: np.ndarray) -> np.ndarray:
        """The photograph, uint8 [H, W, 3], with the overlay: a new one."""
        added = np.empty_like(pixels)
        for top, strip in self.strips():
            rows = slice(top, top + len(strip))
            added[rows] = cv2.add(pixels[rows], strip * np.float32(255.0), dtype=cv2.CV_8U)
        return added


def weakening(size: tuple[int, int], layers: Sequence[Layer]) -> np.float32:
    """By which factor residuals, blended in a photograph of a size (width, height), are no stronger than each is.

    The model bounds each residual's mean square, and blending favours now one, now the other.
    """
    scale = min(1.0, 4 * layers[-1].residual.shape[0] / max(size))
    small = max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
    shrink = np.diag([small[0] / size[0], small[1] / size[1]])
    prepared = [_Prepared.of(Layer(each.residual, shrink @ each.transform)) for each in layers]
    together = np.mean(np.square(_blended(small[::-1], (0, 0), prepared[:-1], prepared[-1])))
    allowed = max(np.mean(np.square(each.residual)) for each in layers)
    return np.float32(min(1.0, np.sqrt(allowed / max(together, 1e-12))))


@dataclasses.dataclass(frozen=True)
class _Prepared:
    enlarged: np.ndarray
    back: np.ndarray  # From the photograph's places to those of the unit square.

    @classmethod
    def of(cls, layer: Layer) -> "_Prepared":
        side = layer.residual.shape[0] * _ENLARGED
        enlarged = cv2.resize(layer.residual, (side, side), interpolation=cv2.INTER_CUBIC)
        return cls(enlarged, views.invert(layer.transform))

    def seen(self, corner: tuple[int, int], shape: tuple[int, int]) -> np.ndarray:
        """The residual at a tile's pixels: float32 [h, w, 3]."""
        # As in views.py, half a pixel to and fro.
        side = self.enlarged.shape[0]
        matrix = self.back[:, :2] * side
        shift = self.back[:, 2] * side + matrix @ (np.array(corner) + 0.5) - 0.5
        return cv2.warpAffine(
            self.enlarged,
            np.concatenate([matrix, shift[:, None]], 1),
            shape[::-1],
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )

    def covers(self, corner: tuple[int, int], shape: tuple[int, int]) -> bool:
        """Whether a tile lies inside the rim."""
        return bool(np.all(self._corners(corner, shape) >= _RIM) and np.all(self._corners(corner, shape) <= 1 - _RIM))

    def meets(self, corner: tuple[int, int], shape: tuple[int, int]) -> bool:
        """Whether a tile and the view may have places in common."""
        corners = self._corners(corner, shape)
        return bool(np.all(corners.max(0) > 0) and np.all(corners.min(0) < 1))

    def _corners(self, corner: tuple[int, int], shape: tuple[int, int]) -> np.ndarray:
        """The tile's corners as places of the unit square, [4, 2]."""
        (left, top), (height, width) = corner, shape
        corners = np.float64([(x, y) for x in (left, left + width) for y in (top, top + height)])
        return corners @ self.back[:, :2].T + self.back[:, 2]

    def inside(self, corner: tuple[int, int], shape: tuple[int, int]) -> np.ndarray:
        """How far a tile's pixels are from the view's border, in sides, below 0 outside: float32 [h, w]."""
        x = np.arange(shape[1], dtype=np.float32) + np.float32(corner[0] + 0.5)
        y = np.arange(shape[0], dtype=np.float32)[:, None] + np.float32(corner[1] + 0.5)
        matrix = np.float32(self.back)
        across = matrix[0, 0] * x + (matrix[0, 1] * y + matrix[0, 2])
        along = matrix[1, 0] * x + (matrix[1, 1] * y + matrix[1, 2])
        return 0.5 - np.maximum(np.abs(across - 0.5), np.abs(along - 0.5))


def _blended(
    shape: tuple[int, int], corner: tuple[int, int], faces: Sequence[_Prepared], rest: _Prepared
) -> np.ndarray:
    """What a tile is given: float32 [h, w, 3]."""
    faces = [face for face in faces if face.meets(corner, shape)]
    if not faces:
        return rest.seen(corner, shape)
    if len(faces) == 1 and faces[0].covers(corner, shape):
        return faces[0].seen(corner, shape)
    weighted, total, left = np.float32(0.0), np.float32(1e-9), np.float32(1.0)
    for face in faces:
        inside = face.inside(corner, shape)[..., None]
        mask = _smooth(inside / np.float32(_RIM))
        weight = mask * np.exp(np.float32(_FAVOUR) * inside)
        weighted = weighted + weight * face.seen(corner, shape)
        total, left = total + weight, left * (1 - mask)
    return (1 - left) * weighted / total + left * rest.seen(corner, shape)


def _smooth(share: np.ndarray) -> np.ndarray:
    """0 below 0, 1 above 1, and between them without a corner."""
    share = np.clip(share, 0, 1)
    return share * share * (3 - 2 * share)
