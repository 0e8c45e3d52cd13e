"""A face swap without a network: another person's face warped onto the landmarks, matched in colour and blended.

What FaceSwap of FaceForensics++ does (Rössler et al. 2019, §3): the source's face is laid onto the target's by its
shape, its colours are matched, and it is blended in; here by the face mesh's points and OpenCV's Poisson blending
(Pérez et al. 2003).
"""

import cv2
import numpy as np
from scipy import interpolate, spatial

from faketagger.components.faces.detector import Face

_ERODED = 0.02  # Of the face's width, off the hull of the mesh: its rim often lies on hair or background.


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
    hull = cv2.convexHull(np.round(face.mesh).astype(np.int32))
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
