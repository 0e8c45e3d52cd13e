"""Generators as deepfake tools apply them: the face is cut out, remade at the generator's size, and pasted back.

The crops and masks are those of the tools' published code, given in shares of the crop's side; where a tool counts
pixels of the photograph, so does its mask here. Learned masks are stood in for by an oval.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from faketagger.components.faces import alignment

# Of a picture's side, how much a crop may take up at least and at most: bounds for antialiasing, not for the crops.
_CROP_SHARES = (0.5, 1.8)
_OVAL = (0.40, 0.47)  # Half axes of the oval, of the crop's side.


@dataclasses.dataclass(frozen=True)
class Tool:
    """How a tool cuts a face out and pastes it back.

    Attributes:
      template: where the face lies in the crop.
      border: share of the crop's side that the mask leaves out at each edge.
      softness: standard deviation of the mask's edge, a share of the crop's side.
      pixels: whether border and softness count the photograph's pixels instead.
      oval: whether the mask is an oval, its edge as soft, instead of a rectangle.
      transfers_colours: whether the made face takes on the photograph's mean and deviation of each channel.
    """

    template: alignment.Template
    border: float
    softness: float
    pixels: bool = False
    oval: bool = False
    transfers_colours: bool = False


TOOLS = {
    # insightface's INSwapper: erodes by a kernel of a tenth of the side, blurs by one of a tenth.
    "inswapper": Tool(alignment.Template(3.63, eyes_y=0.403), border=0.05, softness=0.02),
    # Kernels of 40 and 41 pixels of the photograph, OpenCV's deviation for the second.
    "simswap": Tool(alignment.Template(3.44, eyes_y=0.457), border=20.0, softness=6.5, pixels=True),
    # uniface, and the restorers and expression editors of FaceFusion: 19 of 256 pixels, deviation 9.5.
    "facefusion": Tool(alignment.Template(4.07, eyes_y=0.469), border=0.074, softness=0.037),
    "deepfacelab": Tool(
        alignment.Template(4.03, eyes_x=0.4955, eyes_y=0.40), 0.0, 0.02, oval=True, transfers_colours=True
    ),
    "deepfacelab_full": Tool(alignment.Template(3.02, eyes_y=0.28), 0.0, 0.02, oval=True, transfers_colours=True),
    "deepfacelab_head": Tool(alignment.Template(5.63, eyes_y=0.44), 0.0, 0.02, oval=True, transfers_colours=True),
    # These two hand out the crop itself: all of it is made.
    "stargan": Tool(alignment.Template(4.7, eyes_y=0.51), border=0.0, softness=0.005),
    "attgan": Tool(alignment.Template(4.5, eyes_y=0.50), border=0.0, softness=0.005),
}


class Chosen:
    """One of several tools, the number of which a graph computes: it is built once for all of them.

    Args:
      told: the tools.
      number: int32 [], which of them.
      size: the side of the generator's pictures.
    """

    def __init__(self, told: Sequence[Tool], number: tf.Tensor, size: int):
        def of_the_chosen(values: list) -> tf.Tensor:
            return tf.constant(np.array(values))[number]

        self._size = size
        self._target = of_the_chosen([each.template.landmarks(size) for each in told])
        self._border = of_the_chosen([np.float32(each.border) for each in told])
        self._softness = of_the_chosen([np.float32(each.softness) for each in told])
        self._pixels = of_the_chosen([each.pixels for each in told])
        self._oval = of_the_chosen([each.oval for each in told])
        self._transfers_colours = of_the_chosen([each.transfers_colours for each in told])

    def cut(self, images: tf.Tensor, landmarks: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Cuts faces out.

        Args:
          images: float32 [B, S, S, 3] in [0, 1].
          landmarks: float32 [B, 5, 2], in the order of features.LANDMARK_NAMES, as shares of the side.

        Returns:
          Crops float32 [B, size, size, 3] in [0, 1], and the transform to them, float32 [B, 2, 3].
        """
        side = images.shape[1]
        transform = alignment.fit_to(landmarks * float(side), self._target)
        crops = alignment.move(images, transform, (self._size, self._size), self._scales(side))
        return tf.clip_by_value(crops, 0.0, 1.0), transform

    def paste(self, images: tf.Tensor, transform: tf.Tensor, crops: tf.Tensor, made: tf.Tensor) -> tf.Tensor:
        """Pastes back what a generator made of the crops.

        Args:
          images, transform, crops: as `cut` took and gave them.
          made: float32 [B, size, size, 3].

        Returns:
          float32 [B, S, S, 3] in [0, 1]; what the mask leaves out is unchanged. Gradients flow through.
        """
        made = tf.clip_by_value(made, 0.0, 1.0)
        mask = self._mask(transform)
        made = tf.where(self._transfers_colours, _with_colours_of(crops, made, mask), made)
        side = images.shape[1]
        least, most = self._scales(side)
        pasted = alignment.move(
            tf.concat([mask * made, mask], -1),
            alignment.invert(transform),
            (side, side),
            (1 / most, 1 / least),
            "CONSTANT",
        )
        return tf.clip_by_value(images * (1.0 - pasted[..., 3:]) + pasted[..., :3], 0.0, 1.0)

    def _scales(self, side: int) -> tuple[float, float]:
        return self._size / (_CROP_SHARES[1] * side), self._size / (_CROP_SHARES[0] * side)

    def _mask(self, transform: tf.Tensor) -> tf.Tensor:
        """How much of the made face is pasted back, [B, size, size, 1] in [0, 1]."""
        # Crop pixels for each of the photograph's, as shares of the crop.
        unit = tf.where(self._pixels, tf.sqrt(tf.abs(tf.linalg.det(transform[..., :2]))) / self._size, 1.0)
        border = tf.minimum(self._border * unit, 0.25)[:, None, None]
        softness = tf.minimum(self._softness * unit, 0.1)[:, None, None]
        places = (tf.range(self._size, dtype=tf.float32) + 0.5) / self._size
        radius = tf.sqrt(tf.square((places[:, None] - 0.5) / _OVAL[1]) + tf.square((places[None] - 0.5) / _OVAL[0]))
        # The deviation's distance from the edge, the more for its being wholly inside the crop.
        oval = _rises((1.0 - radius[None]) * _OVAL[0] / softness)
        along = _rises((tf.minimum(places, 1.0 - places)[None, None] - border) / softness)
        rectangle = tf.linalg.matrix_transpose(along) * along
        return tf.where(self._oval, oval, rectangle)[..., None]


def _rises(deviations: tf.Tensor) -> tf.Tensor:
    """A Gaussian-blurred edge: 0 far outside, 1 far inside."""
    return 0.5 * (1.0 + tf.math.erf(deviations / 2.0**0.5))


def _with_colours_of(crops: tf.Tensor, made: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """`made` with the crops' means and deviations under the mask (Reinhard et al. 2001, here in RGB)."""
    wanted, found = (tf.nn.weighted_moments(each, [1, 2], mask, keepdims=True) for each in (crops, made))
    gain = tf.sqrt((wanted[1] + 1e-4) / (found[1] + 1e-4))
    return tf.clip_by_value((made - found[0]) * gain + wanted[0], 0.0, 1.0)
