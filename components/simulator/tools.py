"""Generators as deepfake tools apply them: the face is cut out, remade at the generator's size, and pasted back.

The crops and masks are those of the tools' published code, given in shares of the crop's side; where a tool counts
pixels of the photograph, so does its mask here. Learned masks are stood in for by an oval.
"""

import dataclasses
from collections.abc import Callable

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


def apply(
    tool: Tool, generate: Callable[[tf.Tensor], tf.Tensor], size: int, images: tf.Tensor, landmarks: tf.Tensor
) -> tf.Tensor:
    """Applies a generator to the faces of pictures.

    Args:
      tool: how.
      generate: crops float32 [B, size, size, 3] in [0, 1] → the same shape and range.
      size: the side of the generator's pictures.
      images: float32 [B, S, S, 3] in [0, 1].
      landmarks: float32 [B, 5, 2], in the order of features.LANDMARK_NAMES, as shares of the side.

    Returns:
      float32 [B, S, S, 3] in [0, 1]; what the mask leaves out is unchanged. Gradients flow through.
    """
    side = images.shape[1]
    transform = alignment.fit(landmarks * float(side), tool.template, size)
    scales = (size / (_CROP_SHARES[1] * side), size / (_CROP_SHARES[0] * side))
    crops = alignment.move(images, transform, (size, size), scales)
    made = tf.clip_by_value(generate(tf.clip_by_value(crops, 0.0, 1.0)), 0.0, 1.0)
    mask = _mask(tool, size, transform)
    if tool.transfers_colours:
        made = _with_colours_of(crops, made, mask)
    pasted = alignment.move(
        tf.concat([mask * made, mask], -1),
        alignment.invert(transform),
        (side, side),
        (1.0 / scales[1], 1.0 / scales[0]),
        fill="CONSTANT",
    )
    return tf.clip_by_value(images * (1.0 - pasted[..., 3:]) + pasted[..., :3], 0.0, 1.0)


def _mask(tool: Tool, size: int, transform: tf.Tensor) -> tf.Tensor:
    """How much of the made face is pasted back, [B, size, size, 1] in [0, 1]."""
    # Crop pixels for each of the photograph's, as shares of the crop.
    unit = (
        tf.sqrt(tf.abs(tf.linalg.det(transform[..., :2]))) / size if tool.pixels else tf.ones_like(transform[:, 0, 0])
    )
    border = tf.minimum(tool.border * unit, 0.25)[:, None, None]
    softness = tf.minimum(tool.softness * unit, 0.1)[:, None, None]
    places = (tf.range(size, dtype=tf.float32) + 0.5) / size
    if tool.oval:
        radius = tf.sqrt(tf.square((places[:, None] - 0.5) / _OVAL[1]) + tf.square((places[None] - 0.5) / _OVAL[0]))
        # The deviation's distance from the edge, the more for its being wholly inside the crop.
        return _rises((1.0 - radius[None]) * _OVAL[0] / softness)[..., None]
    inside = tf.minimum(places, 1.0 - places)[None, None]
    along = _rises((inside - border) / softness)
    return (tf.linalg.matrix_transpose(along) * along)[..., None]


def _rises(deviations: tf.Tensor) -> tf.Tensor:
    """A Gaussian-blurred edge: 0 far outside, 1 far inside."""
    return 0.5 * (1.0 + tf.math.erf(deviations / 2.0**0.5))


def _with_colours_of(crops: tf.Tensor, made: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """`made` with the crops' means and deviations under the mask (Reinhard et al. 2001, here in RGB)."""
    wanted, found = (tf.nn.weighted_moments(each, [1, 2], mask, keepdims=True) for each in (crops, made))
    gain = tf.sqrt((wanted[1] + 1e-4) / (found[1] + 1e-4))
    return tf.clip_by_value((made - found[0]) * gain + wanted[0], 0.0, 1.0)
