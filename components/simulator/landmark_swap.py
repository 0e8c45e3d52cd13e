"""A face swap without a network: another person's face warped onto the landmarks, matched in colour and blended.

What FaceSwap of FaceForensics++ does (Rössler et al. 2019, §3): the source's face is laid onto the target's by its
shape, its colours are matched, and it is blended in; here by the face mesh's points and OpenCV's Poisson blending
(Pérez et al. 2003).
"""

import io
import os

import cv2
import numpy as np
import tensorflow as tf
from scipy import interpolate, spatial

from faketagger.components.contract import files, images, signatures
from faketagger.components.faces import detector
from faketagger.components.faces.detector import Face

NAME = "landmark_swap"
DONORS = 4
_DONORS_FILE = "donors.npz"
_MAX_DONORS_BYTES = 64 * 1024**2

_ERODED = 0.02  # Of the face's width, off the hull of the mesh: its rim often lies on hair or background.


class Model:
    """Called as a loaded SavedModel is: condition i swaps in the face of donor i; a picture without a face is kept.

    No gradient comes through: a tagger trains straight through it.

    Args:
      directory: that which save_donors filled.

    Raises:
      ValueError: the donors are missing or damaged, or show no face.
    """

    def __init__(self, directory: str):
        path = os.path.join(directory, _DONORS_FILE)
        self._donors = [(picture, _face_of(picture)) for picture in _read_donors(path)]
        if any(face is None for _, face in self._donors):
            raise ValueError(f"{path}: a donor shows no face")
        self.signatures = {signatures.SIMULATE: self._call}

    def _call(self, images: tf.Tensor, condition: tf.Tensor) -> dict[str, tf.Tensor]:
        made = tf.numpy_function(self._swap_all, [images, condition], tf.float32)
        return {signatures.IMAGES: tf.ensure_shape(made, images.shape)}

    def _swap_all(self, pictures: np.ndarray, conditions: np.ndarray) -> np.ndarray:
        swapped = [self._swap_one(*each) for each in zip(images.to_uint8(pictures), conditions)]
        return images.to_float(np.stack(swapped)) if swapped else pictures

    def _swap_one(self, picture: np.ndarray, condition: int) -> np.ndarray:
        face = _face_of(picture)
        return picture if face is None else swap(picture, face, *self._donors[condition])


def has_donors(directory: str) -> bool:
    """Whether a directory of a simulator is one of this kind."""
    return tf.io.gfile.exists(os.path.join(directory, _DONORS_FILE))


def condition_names() -> tuple[str, ...]:
    """One for each donor."""
    return tuple(f"donor_{number}" for number in range(1, DONORS + 1))


def save_donors(pictures: np.ndarray, directory: str) -> None:
    """Writes the first pictures uint8 [N, S, S, 3] that show one face; ValueError where they are too few."""
    with_face = (picture for picture in pictures if len(detector.find_faces(picture)) == 1)
    donors = [picture for picture, _ in zip(with_face, range(DONORS))]
    if len(donors) < DONORS:
        raise ValueError(f"{NAME}: {len(donors)} of {len(pictures)} pictures show one face; it takes {DONORS} donors")
    buffer = io.BytesIO()
    np.savez_compressed(buffer, donors=np.stack(donors))
    files.write_bytes(os.path.join(directory, _DONORS_FILE), buffer.getvalue())


def _read_donors(path: str) -> np.ndarray:
    """uint8 [DONORS, S, S, 3]."""
    try:
        donors = files.read_npz(path, _MAX_DONORS_BYTES)["donors"]
    except (ValueError, KeyError) as error:
        raise ValueError(f"{path}: not the donors of a {NAME}: {error}") from error
    if donors.dtype != np.uint8 or donors.ndim != 4 or donors.shape[0] != DONORS or donors.shape[3] != 3:
        raise ValueError(f"{path}: expected {DONORS} pictures uint8, found {donors.dtype} {donors.shape}")
    return donors


def _face_of(picture: np.ndarray) -> Face | None:
    """The largest face, if any."""
    return next(iter(detector.find_faces(picture)), None)


def swap(picture: np.ndarray, face: Face, donor: np.ndarray, donor_face: Face) -> np.ndarray:
    """Puts the donor's face in place of the picture's.

    Args:
      picture: uint8 [H, W, 3].
      face: the face in it that is replaced.
      donor: uint8 [H', W', 3], another person's photograph.
      donor_face: the face in it.

    Returns:
      uint8 [H, W, 3]; the picture itself where the face lies so far outside it that nothing can be blended.
    """
    mask = _face_mask(picture.shape, face)
    if cv2.countNonZero(mask) == 0:
        return picture
    warped = _warp(donor, donor_face.mesh, face.mesh, picture.shape)
    matched = _match_colours(warped, picture, mask > 0)
    left, top, width, height = cv2.boundingRect(mask)
    middle = (left + width // 2, top + height // 2)
    return cv2.seamlessClone(matched, picture, mask, middle, cv2.NORMAL_CLONE)


def _face_mask(shape: tuple[int, ...], face: Face) -> np.ndarray:
    """255 inside the mesh's hull, uint8 [H, W]; never at the picture's edge, where Poisson's equation has no border."""
    mask = np.zeros(shape[:2], np.uint8)
    hull = cv2.convexHull(np.round(face.mesh - 0.5).astype(np.int32))  # OpenCV counts from the first pixel's centre.
    cv2.fillConvexPoly(mask, hull, 255)
    radius = max(1, round(_ERODED * float(np.ptp(face.mesh[:, 0]))))
    mask = cv2.erode(mask, np.ones([2 * radius + 1] * 2, np.uint8))
    mask[[0, 1, -2, -1]] = 0
    mask[:, [0, 1, -2, -1]] = 0
    return mask


def _warp(donor: np.ndarray, points: np.ndarray, onto: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The donor's picture moved so that its `points` lie `onto` others, linearly within triangles; black outside."""
    height, width = shape[:2]
    left, top = np.maximum(0, np.floor(onto.min(0))).astype(int)
    right, bottom = np.minimum([width, height], np.ceil(onto.max(0)) + 1).astype(int)
    columns, rows = np.meshgrid(np.arange(left, right) + 0.5, np.arange(top, bottom) + 0.5)
    places = interpolate.LinearNDInterpolator(spatial.Delaunay(onto), points, fill_value=-1.0)(columns, rows)
    maps = np.float32(places - 0.5)
    warped = np.zeros([height, width, 3], np.uint8)
    warped[top:bottom, left:right] = cv2.remap(donor, maps[..., 0], maps[..., 1], cv2.INTER_LINEAR)
    return warped


def _match_colours(made: np.ndarray, picture: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """`made` with the picture's mean and deviation of each Lab channel inside (Reinhard et al. 2001)."""
    made_lab, picture_lab = (cv2.cvtColor(np.float32(each) / 255.0, cv2.COLOR_RGB2LAB) for each in (made, picture))
    wanted, found = picture_lab[inside], made_lab[inside]
    gain = (wanted.std(0) + 1.0) / (found.std(0) + 1.0)
    matched = (made_lab - found.mean(0)) * gain + wanted.mean(0)
    return np.uint8(np.round(np.clip(cv2.cvtColor(np.float32(matched), cv2.COLOR_LAB2RGB), 0.0, 1.0) * 255.0))
