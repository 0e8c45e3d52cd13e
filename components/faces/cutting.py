"""Cuts a photograph to the square of a data set: centred, or around a face as CelebA-HQ's are."""

import numpy as np
from PIL import Image

from faketagger.components.contract import images
from faketagger.components.faces import alignment
from faketagger.components.faces.detector import Face

_WIDEST = 4.4  # Sides of the square in distances between the eyes: between CelebA-HQ's 3.9 and CelebA's 4.4 to 4.6.
_CLOSEST = 3.0  # Closer than that a face is not cut; what then lies beyond the photograph is its mirrored rim.
_STEP = 0.1


def centred_square(pixels: np.ndarray, size: int, face: Face | None) -> tuple[np.ndarray, np.ndarray | None]:
    """The largest centred square.

    Args:
      pixels: a photograph uint8 [H, W, 3].
      size: the result's side.
      face: whose landmarks to follow; None for none.

    Returns:
      uint8 [size, size, 3], and the landmarks in it as shares of its side, float32 [5, 2], or None.
    """
    height, width = pixels.shape[:2]
    side = min(height, width)
    if face is None:
        return images.square(pixels, size), None
    corner = np.array([(width - side) // 2, (height - side) // 2])
    return images.square(pixels, size), np.float32((face.landmarks - corner) / side)


def aligned_square(pixels: np.ndarray, size: int, face: Face) -> tuple[np.ndarray, np.ndarray]:
    """The square around a face, upright, as wide as the photograph allows, up to CelebA's alignment.

    Args:
      pixels: a photograph uint8 [H, W, 3].
      size: the result's side.
      face: in the photograph.

    Returns:
      As centred_square.
    """
    back = _back(face, size, pixels.shape)
    # Reduced first, so that Pillow's transform, which takes no averages, skips no pixels.
    factor = max(1, int(np.sqrt(abs(np.linalg.det(back[:, :2])))))
    reduced = np.asarray(Image.fromarray(pixels).reduce(factor))
    rim = [(each // 2, each // 2) for each in reduced.shape[:2]]
    picture = Image.fromarray(np.pad(reduced, (*rim, (0, 0)), "symmetric"))
    to_reduced = back / factor
    to_reduced[:, 2] += (rim[1][0], rim[0][0])
    square = picture.transform(
        (size, size), Image.Transform.AFFINE, tuple(to_reduced.ravel()), Image.Resampling.BICUBIC
    )
    landmarks = (face.landmarks - back[:, 2]) @ np.linalg.inv(back[:, :2]).T
    return np.asarray(square), np.float32(landmarks / size)


def _back(face: Face, size: int, shape: tuple[int, ...]) -> np.ndarray:
    """The transform float64 [2, 3] from the square's places to the photograph's, the widest that stays inside."""
    corners = np.float64([(0, 0), (size, 0), (0, size), (size, size)])
    for width in np.arange(_WIDEST, _CLOSEST, -_STEP):
        template = alignment.Template(float(width))
        transform = alignment.fit(np.float32(face.landmarks[None]), template, size)
        back = alignment.invert(transform)[0].numpy().astype(np.float64)
        placed = corners @ back[:, :2].T + back[:, 2]
        if np.all(placed >= 0) and np.all(placed <= [shape[1], shape[0]]):
            break
    return back
