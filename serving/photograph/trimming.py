"""Finds the picture within a picture: between bars, in a frame of one colour, on a band blurred from itself."""

import itertools

import cv2
import numpy as np

from faketagger.serving.photograph.views import Photograph

_LOOKED_AT = 512  # Longest side of what is looked at.
_PLAIN = 8.0  # Grey levels by which a line of one colour may vary, as after JPEG.
_EDGES = 3  # Straight lines that are tried as the picture's border, at each side.
_PAIRS = 8  # Of borders at opposite sides.
_RECTANGLES = 40
_SMALLEST = 0.2  # Of the side: what is left is no narrower.


def rectangles(photograph: Photograph) -> list[np.ndarray]:
    """Where the picture within may be, likely places first, as transforms of the unit square; the whole is not one."""
    reduced = photograph.reduced(_LOOKED_AT)
    pairs = [_pairs(np.ascontiguousarray(np.moveaxis(reduced, axis, 0))) for axis in (1, 0)]
    ranked = sorted(itertools.product(*pairs), key=lambda each: -each[0][2] - each[1][2])
    found = [_rectangle(photograph, x[0], y[0], x[1], y[1]) for x, y in ranked if (*x[:2], *y[:2]) != (0, 1, 0, 1)]
    return found[:_RECTANGLES]


def plain_rectangle(photograph: Photograph) -> np.ndarray | None:
    """What is left without lines of one colour; None where there are none."""
    reduced = photograph.reduced(_LOOKED_AT)
    (left, right), (top, bottom) = (
        _without_plain(np.ascontiguousarray(np.moveaxis(reduced, axis, 0))) for axis in (1, 0)
    )
    return None if (left, right, top, bottom) == (0, 1, 0, 1) else _rectangle(photograph, left, top, right, bottom)


def _rectangle(photograph: Photograph, left: float, top: float, right: float, bottom: float) -> np.ndarray:
    width, height = photograph.size
    return np.array([[(right - left) * width, 0.0, left * width], [0.0, (bottom - top) * height, top * height]])


def _pairs(lines: np.ndarray) -> list[tuple[float, float, float]]:
    """Borders (first, last) across the first axis of uint8 [N, M, 3] as shares of it, with how marked they are."""
    strength = _edges(lines)
    low, high = _without_plain(lines)
    count = len(lines)
    first = {0.0: 0.0, low: 1.0 if low > 0 else 0.0}
    last = {1.0: 0.0, high: 1.0 if high < 1 else 0.0}
    for ends, start, stop in ((first, 1, count // 2), (last, count // 2, count)):
        order = start + np.argsort(-strength[start:stop], kind="stable")
        for place in _apart(order.tolist()):
            ends.setdefault(place / count, float(strength[place]))
    found = [(one, other, first[one] + last[other]) for one in first for other in last if other - one > _SMALLEST]
    # Most often as much is added at both sides.
    found = [(one, other, mark * (1.5 if abs(one - (1 - other)) < 0.01 else 1.0)) for one, other, mark in found]
    best = sorted(found, key=lambda each: -each[2])[:_PAIRS]
    return best if (0.0, 1.0, 0.0) in best else [*best, (0.0, 1.0, 0.0)]


def _apart(places: list[int]) -> list[int]:
    kept: list[int] = []
    for place in places:
        if len(kept) < _EDGES and all(abs(place - other) > 3 for other in kept):
            kept.append(place)
    return kept


def _edges(lines: np.ndarray) -> np.ndarray:
    """How marked a straight edge before each line is, 0…1: the share of it where the picture changes, more than
    nearby.
    """
    changed = np.abs(np.diff(lines.astype(np.int16), axis=0)).max(-1) > _PLAIN
    share = np.concatenate([[0.0], changed.mean(1)])
    nearby = np.concatenate([np.full(3, share[0]), share, np.full(3, share[-1])])
    around = np.stack([nearby[offset : offset + len(share)] for offset in (0, 6)]).max(0)
    return np.maximum(0.0, share - around)


def _without_plain(lines: np.ndarray) -> tuple[float, float]:
    """What is left of the first axis, as shares, when lines of one colour are taken off at both ends."""
    plain = np.ptp(cv2.blur(lines, (3, 1)).astype(np.float32), axis=1).max(-1) <= 2 * _PLAIN
    count = len(lines)
    if plain.all():
        return 0.0, 1.0
    low, high = int(np.argmin(plain)), count - int(np.argmin(plain[::-1]))
    return (low / count, high / count) if high - low > _SMALLEST * count else (0.0, 1.0)
