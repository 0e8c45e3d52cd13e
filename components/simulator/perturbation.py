"""The `perturbation` family: what happens to pictures on their way (DeepTag §4, FakeTagger §5.4).

Each perturbation is one class with a range of strengths. In training they are drawn at random, for each picture where
nothing else is said. In evaluation the range is one value, and whatever else is random becomes a function of the
picture alone, so that two evaluations agree. All map float32 [B, H, W, 3] in [0, 1] to the same shape and range, and
all but the real codecs are differentiable.
"""

import contextlib
import io
from typing import Callable, Dict, List, Tuple, Type, Union

import tensorflow as tf

from faketagger.components.simulator import draws, jpeg, light, texture, weather

with contextlib.redirect_stdout(io.StringIO()):  # keras-cv announces its backend on standard output.
    import keras_cv

Range = Tuple[float, float]
Draws = Union[draws.New, draws.OfThePicture]


class Perturbation:
    """Base: holds the range of strengths and draws from it.

    A subclass names the strengths it can take in LIMITS, both included, and what it does in `_apply`.

    Attributes:
      strength: (lowest, highest); the unit is the subclass's.

    Raises:
      ValueError: the range is no pair of numbers, empty, or beyond LIMITS.
    """

    LIMITS: Range = (0.0, 1.0)
    _ONE_FOR_THE_BATCH = False

    def __init__(self, strength: Range):
        name = type(self).__name__
        try:
            lowest, highest = map(float, strength)
        except (TypeError, ValueError):
            raise ValueError(f"{name}: strength must be (lowest, highest), got {strength!r}") from None
        if lowest > highest:
            raise ValueError(f"{name}: the range of strengths {strength} is empty")
        if not (self.LIMITS[0] <= lowest and highest <= self.LIMITS[1]):  # Written so that NaN is refused too.
            raise ValueError(f"{name}: strengths go from {self.LIMITS[0]:g} to {self.LIMITS[1]:g}, got {strength}")
        self.strength = (lowest, highest)

    def __call__(self, images: tf.Tensor) -> tf.Tensor:
        fixed = self.strength[0] == self.strength[1]
        drawn = draws.OfThePicture(images) if fixed else draws.New(images)
        shape = [] if self._ONE_FOR_THE_BATCH else [tf.shape(images)[0], 1, 1, 1]
        strength = tf.random.uniform(shape, *self.strength)
        return tf.ensure_shape(self._apply(images, strength, drawn), images.shape)

    def _apply(self, images: tf.Tensor, strength: tf.Tensor, drawn: Draws) -> tf.Tensor:
        """`strength` is float32 [B, 1, 1, 1], or a scalar where it is one for the batch."""
        raise NotImplementedError


class Jpeg(Perturbation):
    """JPEG compression; strength is the quality, 1 to 100. Differentiable."""

    LIMITS = (1.0, 100.0)

    def _apply(self, images, strength, drawn):
        return jpeg.differentiable_jpeg(images, strength[:, 0, 0, 0])


class RealJpeg(Perturbation):
    """JPEG compression by the real codec, for evaluation; strength as Jpeg."""

    LIMITS = (1.0, 100.0)

    def _apply(self, images, strength, drawn):
        return jpeg.real_jpeg(images, strength[:, 0, 0, 0])


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
        # Not tf.image.crop_and_resize, of which TensorFlow's optimiser warns in every graph.
        return tf.raw_ops.ImageProjectiveTransformV3(
            images=images,
            transforms=tf.stack([share, none, left, none, share, top, none, none], 1),
            output_shape=size,
            fill_value=0.0,
            interpolation="BILINEAR",
        )


class GaussianNoise(Perturbation):
    """Adds independent noise; strength is its standard deviation for pictures in [0, 1]."""

    def _apply(self, images, strength, drawn):
        return tf.clip_by_value(images + strength * drawn.normal(tf.shape(images)[1:]), 0.0, 1.0)


class Grain(Perturbation):
    """Adds noise as film's, grey and correlated over a pixel or two; strength is its standard deviation in mid-grey."""

    def _apply(self, images, strength, drawn):
        size = tf.shape(images)[1:3] + 2 * texture.GRAIN_REACH
        return texture.grain(images, strength, drawn.normal(tf.concat([size, [1]], 0)))


class GaussianBlur(Perturbation):
    """Blurs; strength is the Gaussian's standard deviation in pixels, one for the batch."""

    # Neither tensorflow-addons (Python numbers only) nor keras-cv (one picture at a time) fits a training step.
    LIMITS = (0.0, 10.0)
    _ONE_FOR_THE_BATCH = True

    def _apply(self, images, strength, drawn):
        return texture.blur(images, strength, reach=int(round(3 * self.strength[1])))


class Brightness(Perturbation):
    """Adds a constant; strength from −1 (black) to 1 (white)."""

    LIMITS = (-1.0, 1.0)

    def __init__(self, strength: Range):
        super().__init__(strength)
        # Its formula, our draws: keras-cv's own generator cannot be seeded by the picture.
        self._layer = keras_cv.layers.RandomBrightness(factor=1.0, value_range=(0, 1))

    def _apply(self, images, strength, drawn):
        return self._layer.augment_images(images, transformations=strength)


class Contrast(Perturbation):
    """Scales each channel's distance from its mean; strength f scales by 1 + f."""

    LIMITS = (-1.0, 1.0)

    def __init__(self, strength: Range):
        super().__init__(strength)
        self._layer = keras_cv.layers.RandomContrast(factor=1.0, value_range=(0, 1))

    def _apply(self, images, strength, drawn):
        return self._layer.augment_images(images, transformations=1.0 + strength)


class Hue(Perturbation):
    """Rotates hues; strength in turns of the colour circle."""

    LIMITS = (-0.5, 0.5)

    def _apply(self, images, strength, drawn):
        return light.turn_colours(images, turns=strength, saturation=tf.ones_like(strength))


class Saturation(Perturbation):
    """Scales the distance from grey; strength f scales by 1 + f."""

    LIMITS = (-1.0, 1.0)

    def _apply(self, images, strength, drawn):
        return light.turn_colours(images, turns=tf.zeros_like(strength), saturation=1.0 + strength)


class Exposure(Perturbation):
    """Multiplies the light; strength in stops: 1 doubles it."""

    LIMITS = (-4.0, 4.0)

    def _apply(self, images, strength, drawn):
        return light.expose(images, strength)


class Vignetting(Perturbation):
    """Darkens towards the corners; strength is the share of its light that a corner loses."""

    LIMITS = (0.0, 0.99)

    def _apply(self, images, strength, drawn):
        return light.vignette(images, strength)


class Haze(Perturbation):
    """Blends to a light veil, here more and there less; strength is the veil's share at mean depth.

    The veil's grey level is drawn as RESIDE's is (Li et al. 2019), from 0.7 to 1.
    """

    def _apply(self, images, strength, drawn):
        return weather.haze(images, strength, drawn.uniform([3, 3, 1], 0.5, 1.5), drawn.uniform([1, 1, 1], 0.7, 1.0))


class Rain(Perturbation):
    """Lightens along streaks an eighth of the height long; strength is the opacity of the brightest."""

    def _apply(self, images, strength, drawn):
        height, width = tf.shape(images)[1], tf.shape(images)[2]
        drops = drawn.uniform(tf.stack([height + tf.maximum(height // 8, 2), width, 1]))
        return weather.rain(images, strength, drops, drawn.uniform([1, 1, 1], -0.4, 0.4))


def training_perturbations() -> List[Perturbation]:
    """The ones a tagger is trained under."""
    return [
        *[Jpeg((30.0, 95.0))] * 6,  # Nearly a third of the draws: nearly every picture that is shared becomes a JPEG.
        Resize((0.45, 1.0)),
        *[Crop((0.85, 1.0))] * 3,  # The hardest to learn: everything else leaves each pixel where it was.
        GaussianNoise((0.0, 0.04)),
        Grain((0.0, 0.06)),
        GaussianBlur((0.3, 1.2)),
        Brightness((-0.2, 0.2)),
        Contrast((-0.3, 0.3)),
        Hue((-0.08, 0.08)),
        Saturation((-0.4, 0.4)),
        Exposure((-0.7, 0.7)),
        Vignetting((0.0, 0.6)),
        Haze((0.0, 0.4)),
    ]


# What evaluation can fix at one strength: with the real codec, and without what no tagger is trained under.
_FIXED: Dict[str, Type[Perturbation]] = {
    "jpeg": RealJpeg,
    "resize": Resize,
    "crop": Crop,
    "noise": GaussianNoise,
    "grain": Grain,
    "blur": GaussianBlur,
    "brightness": Brightness,
    "contrast": Contrast,
    "hue": Hue,
    "saturation": Saturation,
    "exposure": Exposure,
    "vignetting": Vignetting,
    "haze": Haze,
}


def at(name: str) -> Perturbation:
    """The perturbation of a name like `jpeg_75` or `contrast_-0.2`: a kind at one strength, for evaluation.

    Raises:
      ValueError: no such kind, no number, or beyond the kind's limits.
    """
    kind, _, strength = name.rpartition("_")
    if kind not in _FIXED:
        kinds = ", ".join(_FIXED)
        raise ValueError(f"no perturbation '{name}': expected a kind and a strength, as jpeg_75; the kinds are {kinds}")
    return _FIXED[kind]((strength, strength))


def evaluation_perturbations() -> Dict[str, Perturbation]:
    """By condition name, the fixed ones that a tagger is judged on."""
    names = (
        "jpeg_75",
        "jpeg_50",
        "resize_0.5",
        "crop_0.9",
        "noise_0.02",
        "grain_0.03",
        "blur_1",
        "brightness_0.1",
        "contrast_-0.2",
        "hue_0.05",
        "saturation_-0.3",
        "exposure_0.5",
        "exposure_-0.5",
        "vignetting_0.5",
        "haze_0.3",
    )
    return {name: at(name) for name in names}


def by_condition(perturbations: Dict[str, Perturbation]) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """The function of a simulator with these conditions: pictures [B, H, W, 3], int32 [B] → pictures."""

    def simulate(images: tf.Tensor, condition: tf.Tensor) -> tf.Tensor:
        # One condition a call is the rule, so only the branches that some picture asks for are computed.
        result = images
        for index, perturb in enumerate(perturbations.values()):
            wanted = tf.equal(condition, index)
            changed = tf.cond(tf.reduce_any(wanted), lambda perturb=perturb: perturb(images), lambda: images)
            result = tf.where(wanted[:, None, None, None], changed, result)
        return result

    return simulate


def apply_random(
    perturbations: List[Callable[[tf.Tensor], tf.Tensor]], images: tf.Tensor, times: Union[int, tf.Tensor] = 2
) -> tf.Tensor:
    """Applies `times` of the perturbations, drawn anew at each call, one after the other to the whole batch."""

    def apply_one(step: tf.Tensor, batch: tf.Tensor) -> Tuple[tf.Tensor, tf.Tensor]:
        chosen = tf.random.uniform([], 0, len(perturbations), tf.int32)
        made = tf.switch_case(chosen, [lambda perturb=perturb: perturb(batch) for perturb in perturbations])
        return step + 1, tf.ensure_shape(made, images.shape)

    # A loop of TensorFlow's, so that each perturbation is traced once and not `times` times.
    _, perturbed = tf.while_loop(lambda step, _: step < times, apply_one, (0, images), maximum_iterations=times)
    return perturbed
