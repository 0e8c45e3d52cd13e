"""Where the face is in an aligned photograph."""

import numpy as np

# Of the picture's side, in the alignment of CelebA-HQ: from the hairline to under the chin, from ear to ear.
_CENTRE = (0.54, 0.5)
_RADII = (0.46, 0.36)
_FEATHER = 0.3  # Width of the soft rim, as a share of the radius.


def soft_face_mask(size: int) -> np.ndarray:
    """A soft ellipse, 1 inside the face and 0 outside, float32 [size, size, 1].

    DeepFaceLab (Perov et al. 2020, §3.3) and FaceSwap paste the made face back through such a mask. Theirs follows
    landmarks; in aligned photographs the face's place is known without.
    """
    places = (np.arange(size) + 0.5) / size
    rows, columns = (places[:, None] - _CENTRE[0]) / _RADII[0], (places[None] - _CENTRE[1]) / _RADII[1]
    share = np.clip((1.0 + _FEATHER / 2.0 - np.sqrt(rows**2 + columns**2)) / _FEATHER, 0.0, 1.0)
    return (share**2 * (3.0 - 2.0 * share))[..., None].astype(np.float32)
