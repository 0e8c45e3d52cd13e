"""Perceptual hashes of pictures and of what lies outside their faces, and how two pictures differ by them.

A hash (imagehash's phash) is the signs of a picture's lowest DCT coefficients against their median: the count of bits
in which two differ stays small under saving, shrinking and tags, and is about half of all for two pictures that have
nothing to do with each other.
"""

import dataclasses
import enum
import io
from collections.abc import Callable, Sequence

import cv2
import imagehash
import numpy as np
from PIL import Image

PREVIEW_SIDE = 512
RESIDUAL_GAIN = 4
_PREVIEW_QUALITY = 88
_BITS_SIDE = 8  # 64 bits, to look a picture up by.
_FINE_SIDE = 16  # 256 bits, to compare two.
_FINE_FACE = 64  # Pixels: smaller faces have no more than 64 bits that last.

# Of a face's side: how far around its box what a deepfake changes may reach.
_MARGIN = 0.12
_LEAST_OUTSIDE = 0.08  # Of a picture: less tells nothing of it.

# Shares of the bits in which two pictures differ: between what docs/platform.md has measured of the same and of others.
_SAME, _FACE_SAME, _RELATED = 0.11, 0.17, 0.27
_WORTH_ALIGNING = 0.2  # From here on it is looked whether one is a part of the other.

# A feature counts where its likeliest match is so much nearer than the next; of so many, a similarity is believed.
_FEATURES, _SURER, _LEAST_INLIERS = 1000, 0.8, 10
_LEAST_OVERLAP = 0.2

Box = Sequence[float]  # Left, top, right, bottom in shares of the sides.


class Change(str, enum.Enum):
    """How a picture differs from the registered one that it is compared with."""

    NONE = "none"
    FACE = "face"
    SURROUNDINGS = "surroundings"
    WHOLE = "whole"
    OTHER = "other"


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What two pictures have in common.

    Attributes:
      change: the verdict.
      whole, outside, face: shares of the hashes' bits that differ, 0…1, about 0.5 for two that have nothing in common:
        of the pictures, of what lies outside the faces, of the largest face; None where there is no such part.
      part: whether the one is seen to be a part of the other, or turned by an angle.
    """

    change: Change
    whole: float
    outside: float | None
    face: float | None
    part: bool = False


def preview(pixels: np.ndarray) -> bytes:
    """uint8 [H, W, 3] → a JPEG of PREVIEW_SIDE at most, without metadata."""
    buffer = io.BytesIO()
    Image.fromarray(_small(pixels)).save(buffer, "JPEG", quality=_PREVIEW_QUALITY)
    return buffer.getvalue()


def residual(before: np.ndarray, after: np.ndarray) -> bytes:
    """What was added to a picture, RESIDUAL_GAIN times as strong on grey, as a preview; both are uint8 [H, W, 3]."""
    difference = _small(after).astype(np.float32) - _small(before)
    return preview(np.clip(128 + RESIDUAL_GAIN * difference, 0, 255).astype(np.uint8))


def of_preview(data: bytes) -> np.ndarray:
    """The pixels of what `preview` made: uint8 [h, w, 3]."""
    return np.asarray(Image.open(io.BytesIO(data), formats=["JPEG"]).convert("RGB"))


def relative(boxes: Sequence[Box], pixels: np.ndarray) -> list[list[float]]:
    """Boxes in pixels of a picture, [H, W, C] → in shares of its sides, within it."""
    scale = np.tile(np.array(pixels.shape[1::-1], np.float64), 2)
    return [[round(float(it), 4) for it in np.clip(np.asarray(box) / scale, 0, 1)] for box in boxes]


def hash_whole(pixels: np.ndarray) -> str:
    """uint8 [H, W, 3] → 64 bits, hexadecimal."""
    return str(_hash(_small(pixels), _BITS_SIDE))


def hash_outside(pixels: np.ndarray, boxes: Sequence[Box]) -> str | None:
    """Of what lies outside the faces; None where there are none, or it is hardly anything."""
    filled = _without_faces(_small(pixels), boxes)
    return None if filled is None else str(_hash(filled, _BITS_SIDE))


def bits_apart(one: str, other: str) -> int:
    """In how many of 64 bits two hashes differ."""
    return (int(one, 16) ^ int(other, 16)).bit_count()


def compare(pixels: np.ndarray, registered: np.ndarray, boxes: Sequence[Box]) -> Comparison:
    """Compares a picture with a registered one, also mirrored, turned, inverted or cut out of it.

    Args:
      pixels: uint8 [H, W, 3].
      registered: uint8 [h, w, 3].
      boxes: the registered one's faces.
    """
    seen, registered = _small(pixels), _small(registered)
    height, width = registered.shape[:2]
    posed = [_resized(each, (width, height)) for each in _poses(seen)]
    best = _measured(min(posed, key=lambda each: _apart(each, registered)), registered, boxes)
    if _distance(best) <= _WORTH_ALIGNING:
        return best
    parts = (_as_part(each, registered, boxes) for each in (seen, seen[:, ::-1]))
    return min([best, *(each for each in parts if each is not None)], key=_distance)


def _distance(comparison: Comparison) -> float:
    return comparison.whole if comparison.outside is None else min(comparison.whole, comparison.outside)


def _poses(pixels: np.ndarray) -> list[np.ndarray]:
    turned = [np.rot90(each, turns) for each in (pixels, pixels[:, ::-1]) for turns in range(4)]
    return [*turned, 255 - pixels]


def _measured(pixels: np.ndarray, registered: np.ndarray, boxes: Sequence[Box], part: bool = False) -> Comparison:
    """Of two of one size that lie over each other."""
    outside = None
    one, other = _without_faces(pixels, boxes), _without_faces(registered, boxes)
    if one is not None and other is not None:
        outside = _apart(one, other)
    face = None
    if boxes:
        rows, columns = _slices(boxes[0], registered.shape, 0.0)
        smallest = min(registered[rows, columns].shape[:2])
        if smallest:
            side = _FINE_SIDE if smallest >= _FINE_FACE else _BITS_SIDE
            face = _apart(pixels[rows, columns], registered[rows, columns], side)
    whole = _apart(pixels, registered)
    return Comparison(_verdict(whole, outside, face), whole, outside, face, part)


def _verdict(whole: float, outside: float | None, face: float | None) -> Change:
    face_same = face is None or face <= _FACE_SAME
    around = whole if outside is None else outside
    if around <= _SAME:
        return Change.NONE if face_same else Change.FACE
    if whole <= _SAME and face_same:
        return Change.NONE
    if face is not None and face_same and outside is not None:
        return Change.SURROUNDINGS
    return Change.WHOLE if min(whole, around) <= _RELATED else Change.OTHER


def _as_part(pixels: np.ndarray, registered: np.ndarray, boxes: Sequence[Box]) -> Comparison | None:
    """Where the picture is found again in the registered one: what both show, compared; None where it is not."""
    transform = _found_in(pixels, registered)
    if transform is None:
        return None
    height, width = registered.shape[:2]
    moved = cv2.warpAffine(np.ascontiguousarray(pixels), transform, (width, height), flags=cv2.INTER_AREA)
    cover = cv2.warpAffine(np.full(pixels.shape[:2], 255, np.uint8), transform, (width, height))
    rows, columns = np.flatnonzero((cover > 127).any(1)), np.flatnonzero((cover > 127).any(0))
    if (cover > 127).mean() < _LEAST_OVERLAP:
        return None
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    shown = np.where(cover[..., None] > 127, registered, 0)[top:bottom, left:right]
    shift, scale = np.array([left, top, left, top]), np.array([width, height, width, height])
    size = np.array([right - left, bottom - top] * 2)
    inside = [np.clip((np.asarray(box) * scale - shift) / size, 0, 1) for box in boxes]
    kept = [box for box in inside if (box[2] - box[0]) * (box[3] - box[1]) > 0.01]
    return _measured(moved[top:bottom, left:right], shown, kept, part=True)


def _found_in(pixels: np.ndarray, registered: np.ndarray) -> np.ndarray | None:
    """The similarity, float64 [2, 3], from a picture's places to the registered one's, by SIFT's features."""
    sift, everywhere = cv2.SIFT.create(_FEATURES), np.empty(0, np.uint8)
    (places, features), (others, known) = (
        sift.detectAndCompute(cv2.cvtColor(np.ascontiguousarray(each), cv2.COLOR_RGB2GRAY), everywhere)
        for each in (pixels, registered)
    )
    if features is None or known is None or min(len(places), len(others)) < _LEAST_INLIERS:
        return None
    pairs = cv2.BFMatcher().knnMatch(features, known, k=2)
    sure = [first for first, second in pairs if first.distance < _SURER * second.distance]
    if len(sure) < _LEAST_INLIERS:
        return None
    from_ = np.array([places[each.queryIdx].pt for each in sure])
    to = np.array([others[each.trainIdx].pt for each in sure])
    cv2.setRNGSeed(0)
    transform, inliers = cv2.estimateAffinePartial2D(from_, to, ransacReprojThreshold=4.0)
    if transform is None or inliers.sum() < _LEAST_INLIERS:
        return None
    return transform if 0.05 < np.hypot(*transform[:, 0]) < 5 else None


def _apart(one: np.ndarray, other: np.ndarray, side: int = _FINE_SIDE) -> float:
    return float((_hash(one, side) - _hash(other, side)) / side**2)


def _hash(pixels: np.ndarray, side: int) -> imagehash.ImageHash:
    return imagehash.phash(Image.fromarray(np.ascontiguousarray(pixels)), side)


def _without_faces(pixels: np.ndarray, boxes: Sequence[Box]) -> np.ndarray | None:
    """A copy whose faces are filled with the mean of what is around them."""
    if not boxes:
        return None
    outside = np.ones(pixels.shape[:2], bool)
    for box in boxes:
        outside[_slices(box, pixels.shape, _MARGIN)] = False
    if outside.mean() < _LEAST_OUTSIDE:
        return None
    return np.where(outside[..., None], pixels, np.uint8(pixels[outside].mean(0)))


def _slices(box: Box, shape: Sequence[int], margin: float) -> tuple[slice, slice]:
    left, top, right, bottom = box
    x, y = margin * (right - left), margin * (bottom - top)
    height, width = shape[:2]
    edges = (max(0.0, top - y) * height, (bottom + y) * height, max(0.0, left - x) * width, (right + x) * width)
    first, last, begin, end = (round(it) for it in edges)
    return slice(first, last), slice(begin, end)


def _small(pixels: np.ndarray) -> np.ndarray:
    height, width = pixels.shape[:2]
    scale = PREVIEW_SIDE / max(height, width)
    if scale >= 1:
        return pixels
    return _resized(pixels, (max(1, round(width * scale)), max(1, round(height * scale))))


_resize: Callable[..., np.ndarray] = cv2.resize


def _resized(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return _resize(np.ascontiguousarray(pixels), size, interpolation=cv2.INTER_AREA)
