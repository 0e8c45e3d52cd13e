"""How visible a tag is: the colour difference that remains where the eye no longer tells single pixels apart."""

import numpy as np
import tensorflow as tf
from scipy import ndimage

from faketagger.components.contract import colour

_SIDE = 256
_BLUR = 2.0  # Standard deviation, pixels of _SIDE.
_PERCENTILE = 99.0
_LARGE_CHROMA = 25.0**7


def visibility(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The 99th percentile over a picture's places of CIEDE2000, after a blur of 2 pixels at 256×256.

    About 1 is what a trained eye sees side by side, 2 what is seen at a glance.

    Args:
      first, second: uint8 [B, H, W, 3].

    Returns:
      float64 [B], at least 0.
    """
    labs = []
    for pictures in (first, second):
        resized = tf.image.resize(pictures.astype(np.float32) / 255.0, [_SIDE, _SIDE], antialias=True).numpy()
        labs.append(colour.lab(ndimage.gaussian_filter(resized, (0, _BLUR, _BLUR, 0))).numpy().astype(np.float64))
    return np.percentile(ciede2000(*labs), _PERCENTILE, axis=(1, 2))


def ciede2000(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """CIE's colour difference of 2000 (Sharma, Wu and Dalal 2005, eqs. 2 to 22): L*a*b* [..., 3] twice → [...]."""
    mean_chroma = (np.hypot(*_ab(first)) + np.hypot(*_ab(second))) / 2
    stretch = 1.5 - 0.5 * np.sqrt(mean_chroma**7 / (mean_chroma**7 + _LARGE_CHROMA))
    (chroma_1, hue_1), (chroma_2, hue_2) = (_chroma_and_hue(each, stretch) for each in (first, second))
    grey = chroma_1 * chroma_2 == 0
    turn = (hue_2 - hue_1 + 180) % 360 - 180
    turn = np.where(grey, 0.0, turn)
    lightness, chroma = (first[..., 0] + second[..., 0]) / 2, (chroma_1 + chroma_2) / 2
    # Half way along the shorter arc.
    hue = np.where(grey, hue_1 + hue_2, (hue_1 + turn / 2) % 360)
    weight = (
        1
        - 0.17 * _cosine(hue - 30)
        + 0.24 * _cosine(2 * hue)
        + 0.32 * _cosine(3 * hue + 6)
        - 0.20 * _cosine(4 * hue - 63)
    )
    from_grey = (lightness - 50) ** 2
    of_lightness = (second[..., 0] - first[..., 0]) / (1 + 0.015 * from_grey / np.sqrt(20 + from_grey))
    of_chroma = (chroma_2 - chroma_1) / (1 + 0.045 * chroma)
    of_hue = 2 * np.sqrt(chroma_1 * chroma_2) * np.sin(np.radians(turn / 2)) / (1 + 0.015 * chroma * weight)
    bend = 60 * np.exp(-(((hue - 275) / 25) ** 2))
    rotation = -2 * np.sqrt(chroma**7 / (chroma**7 + _LARGE_CHROMA)) * np.sin(np.radians(bend))
    return np.sqrt(np.maximum(0.0, of_lightness**2 + of_chroma**2 + of_hue**2 + rotation * of_chroma * of_hue))


def _ab(lab: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return lab[..., 1], lab[..., 2]


def _chroma_and_hue(lab: np.ndarray, stretch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Hue in degrees, 0…360."""
    a, b = stretch * lab[..., 1], lab[..., 2]
    return np.hypot(a, b), np.degrees(np.arctan2(b, a)) % 360


def _cosine(degrees: np.ndarray) -> np.ndarray:
    return np.cos(np.radians(degrees))
