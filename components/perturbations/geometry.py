"""What moves a face or changes its size: resizing, cropping, turning, mirroring, framing. All differentiable."""

import math
from typing import Protocol

import tensorflow as tf

from faketagger.components.faces import alignment
from faketagger.components.perturbations import draws
from faketagger.components.perturbations.base import Perturbation


class Resize(Perturbation):
    """Shrinks with antialiasing and enlarges again; strength is the scale, one for the batch; 1 changes nothing."""

    LIMITS = (0.001, 1.0)
    _ONE_FOR_THE_BATCH = True

    def _apply(self, images, strength, drawn):
        size = tf.shape(images)[1:3]
        small = tf.maximum(1, tf.cast(tf.round(tf.cast(size, tf.float32) * strength), tf.int32))
        shrunk = tf.image.resize(images, small, antialias=True)
        return tf.clip_by_value(tf.image.resize(shrunk, size, method="bicubic"), 0.0, 1.0)


class Crop(Perturbation):
    """Cuts out a window at a random place and enlarges it; strength is its share of each side; 1 changes nothing.

    HiDDeN's crop (Zhu et al. 2018) hands the smaller window to a decoder of any size. Ours takes one size, to which
    whoever reads a cropped file brings it: what hurts is that the face moves and grows.
    """

    LIMITS = (0.1, 1.0)

    def _apply(self, images, strength, drawn):
        share = strength[:, 0, 0, 0]
        size = tf.shape(images)[1:3]
        top, left = tf.unstack(drawn.uniform([2]) * (1.0 - share)[:, None] * tf.cast(size - 1, tf.float32), axis=1)
        none = tf.zeros_like(share)
        # The operation's gradient lacks the weight that a pixel has which is seen enlarged: 1 / share².
        heavy = images / tf.square(strength)
        images = heavy - tf.stop_gradient(heavy - images)
        # Not tf.image.crop_and_resize, of which TensorFlow's optimiser warns in every graph.
        return tf.raw_ops.ImageProjectiveTransformV3(
            images=images,
            transforms=tf.stack([share, none, left, none, share, top, none, none], 1),
            output_shape=size,
            fill_value=0.0,
            interpolation="BILINEAR",
        )


class Rotation(Perturbation):
    """Turns by so many degrees about the middle; what comes in from outside is black."""

    LIMITS = (-45.0, 45.0)

    def _apply(self, images, strength, drawn):
        angle = strength[:, 0, 0, 0] * (math.pi / 180.0)
        return _moved(images, _about_the_middle(images, tf.ones_like(angle), angle), 1.0, "CONSTANT")


class Mirror(Perturbation):
    """The mirror image; strength 1 for all of it, 0 for none."""

    LIMITS = (0.0, 1.0)

    def _apply(self, images, strength, drawn):
        return tf.where(strength > 0.5, tf.image.flip_left_right(images), images)


class Border(Perturbation):
    """A frame of one colour around the picture; strength is its width as a share of the picture's side."""

    LIMITS = (0.0, 0.25)

    def _apply(self, images, strength, drawn):
        scale = 1.0 / (1.0 + 2.0 * strength[:, 0, 0, 0])
        transform = _about_the_middle(images, scale, tf.zeros_like(scale))
        least = 1.0 / (1.0 + 2.0 * self.strength[1])
        shown = _moved(tf.concat([images, tf.ones_like(images[..., :1])], -1), transform, least, "CONSTANT")
        return shown[..., :3] + (1.0 - shown[..., 3:]) * drawn.uniform([1, 1, 3])


class CutOut(Perturbation):
    """Leaves a window of a face and draws its rim out; strength is the window's share of each side; 1 changes nothing.

    So looks a face that is cut out of a photograph with little around it, and aligned again (serving/photograph).
    """

    LIMITS = (0.3, 1.0)
    _FROM = (0.35, 0.5)  # Where the window begins, of the room that it leaves: across, and down, where faces are.
    _TO = (0.65, 0.9)
    _BLUR = 7  # Pixels.

    def _apply(self, images, strength, drawn):
        share = strength[:, 0, 0]
        corner = (1.0 - share) * tf.stack([drawn.uniform([1], *each)[:, 0] for each in zip(self._FROM, self._TO)], 1)
        shown, inside = images, tf.ones_like(images[..., :1], tf.bool)
        for axis, low in ((2, corner[:, :1]), (1, corner[:, 1:])):
            size = tf.shape(images)[axis]
            places = tf.range(size)[None]
            first, last = (tf.cast(each * tf.cast(size, tf.float32), tf.int32) for each in (low, low + share))
            seen = tf.maximum(first, tf.minimum(places, last - 1))
            shown = tf.gather(shown, seen, axis=axis, batch_dims=1)
            inside &= tf.expand_dims(tf.expand_dims(seen == places, 3 - axis), 3)
        drawn_out = tf.nn.avg_pool2d(tf.nn.avg_pool2d(shown, self._BLUR, 1, "SAME"), self._BLUR, 1, "SAME")
        return tf.where(inside, shown, drawn_out)


class HowFar(Protocol):
    """How far Misalignment goes: tagger/config.py's Geometry."""

    share: float
    shift: float
    scale: float
    rotation: float
    mirrored: float


class Misalignment:
    """Shifted, scaled, turned and mirrored at random, as by whoever cuts the face out: for training alone.

    What comes in from outside is the picture's mirrored rim in one half of the calls, and black in the other.

    Args:
      told: how far, and how often.
    """

    def __init__(self, told: HowFar):
        self._told = told

    def __call__(self, images: tf.Tensor, part: float | tf.Tensor = 1.0, batches: int = 1) -> tf.Tensor:
        """Moves pictures.

        Args:
          images: float32 [B, S, S, C] in [0, 1].
          part: of how far they are told to be moved, 0…1, a scalar or float32 [B].
          batches: how many batches of a training's step they are, one after the other.

        Returns:
          The same shape and range.
        """
        told, count = self._told, tf.shape(images)[0]
        one = tf.cast(draws.uniform([count], batches=batches) < told.share, tf.float32)

        def within(most: float) -> tf.Tensor:
            return one * part * draws.uniform([count], -most, most, batches=batches)

        most = math.log(1.0 + told.scale)
        transform = _about_the_middle(images, tf.exp(within(most)), within(told.rotation * math.pi / 180.0))
        side = float(images.shape[1])
        shift = side * tf.stack([within(told.shift), within(told.shift)], -1)
        transform = tf.concat([transform[..., :2], transform[..., 2:] + shift[..., None]], -1)
        moved = tf.cond(
            draws.uniform([]) < 0.5,
            lambda: _moved(images, transform, 1.0, "REFLECT"),
            lambda: _moved(images, transform, 1.0, "CONSTANT"),
        )
        mirrored = one * draws.uniform([count], batches=batches) > 1.0 - told.mirrored
        moved = tf.where(mirrored[:, None, None, None], tf.image.flip_left_right(moved), moved)
        return tf.ensure_shape(moved, images.shape)


def _about_the_middle(images: tf.Tensor, scale: tf.Tensor, angle: tf.Tensor) -> tf.Tensor:
    """The transform [B, 2, 3] that turns pictures by angles (radians, [B]) and scales them, [B]."""
    cosine, sine = scale * tf.cos(angle), scale * tf.sin(angle)
    matrix = tf.stack([tf.stack([cosine, -sine], -1), tf.stack([sine, cosine], -1)], 1)
    middle = tf.cast(tf.shape(images)[2:0:-1], tf.float32)[:, None] / 2.0
    return tf.concat([matrix, middle - matrix @ middle], -1)


def _moved(images: tf.Tensor, transform: tf.Tensor, least: float, fill: str) -> tf.Tensor:
    """`least` is the smallest scale that is antialiased."""
    size = tuple(static or tf.shape(images)[axis] for axis, static in ((1, images.shape[1]), (2, images.shape[2])))
    return alignment.sample(images, alignment.invert(transform), size, 1.0 / least, fill)
