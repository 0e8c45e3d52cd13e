"""Where a tag is looked for in a picture that may have been cropped, framed or turned since it was tagged.

A decoder reads faces that lie nearly as they lay when they were tagged. Where a tenth of each side was cut off, a face
is larger and elsewhere; in a window that reaches beyond the picture it lies as it lay.
"""

import itertools
import math

import numpy as np
import tensorflow as tf

from faketagger.components.faces import alignment

# Windows by their size, as a share of the picture's side, and how far off its middle they are tried, each way.
_CROPPED = ((1.25, (-0.096, -0.032, 0.032, 0.096)), (1.12, (-0.037, 0.0, 0.037)))
_FRAMED = 1 / 1.1
_TURNED = (-5.0, 5.0)  # Degrees.


def _window(size: float, across: float = 0.0, down: float = 0.0, degrees: float = 0.0) -> np.ndarray:
    """From the unit square that is shown to the picture's, float32 [2, 3]."""
    cosine, sine = size * math.cos(math.radians(degrees)), size * math.sin(math.radians(degrees))
    matrix = np.array([[cosine, -sine], [sine, cosine]])
    shift = np.array([0.5 + across, 0.5 + down]) - matrix @ [0.5, 0.5]
    return np.concatenate([matrix, shift[:, None]], 1).astype(np.float32)


WINDOWS = np.stack(
    [
        _window(_FRAMED),
        *(_window(1.0, degrees=degrees) for degrees in _TURNED),
        *(_window(size, *off) for size, places in _CROPPED for off in itertools.product(places, repeat=2)),
    ]
)
_LARGEST = max(size for size, _ in _CROPPED)


def through(window: tf.Tensor, images: tf.Tensor) -> tf.Tensor:
    """What a window of WINDOWS, float32 [2, 3], shows of pictures float32 [B, S, S, 3]: the same shape.

    What lies beyond the picture is its mirrored rim, as in training.
    """
    side = images.shape[1]
    scaled = tf.concat([window[:, :2], window[:, 2:] * side], 1)
    back = tf.tile(scaled[None], [tf.shape(images)[0], 1, 1])
    return alignment.sample(images, back, (side, side), _LARGEST, "REFLECT")
