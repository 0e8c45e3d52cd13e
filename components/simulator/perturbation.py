"""The `perturbation` family: what happens to pictures on their way (DeepTag §4, FakeTagger §5.4).

Each perturbation is one class with a range of strengths: drawn at random for each batch or picture in training, fixed (a
range of one value) in evaluation. All map float32 [B, H, W, 3] in [0, 1] to the same shape and range.
"""

import contextlib
import io
from typing import Dict, List, Sequence, Tuple

import tensorflow as tf

from faketagger.components.simulator import jpeg

with contextlib.redirect_stdout(io.StringIO()):  # keras-cv announces its backend on standard output.
    import keras_cv

Range = Tuple[float, float]


class Perturbation:
    """Base: holds the range of strengths and draws from it.

    Attributes:
      strength: (lowest, highest); the unit is the subclass's.
    """

    def __init__(self, strength: Range):
        if strength[0] > strength[1]:
            raise ValueError(f"{type(self).__name__}: the range of strengths {strength} is empty")
        self.strength = strength

    def _draw(self, shape: Sequence = ()) -> tf.Tensor:
        return tf.random.uniform(shape, *self.strength)

    def __call__(self, images: tf.Tensor) -> tf.Tensor:
        raise NotImplementedError


class Jpeg(Perturbation):
    """JPEG compression; strength is the quality, 1 to 100. Differentiable."""

    def __call__(self, images):
        return jpeg.differentiable_jpeg(images, self._draw([tf.shape(images)[0]]))


class RealJpeg(Perturbation):
    """JPEG compression by the real codec, for evaluation; strength as Jpeg."""

    def __call__(self, images):
        return jpeg.real_jpeg(images, self._draw([tf.shape(images)[0]]))


class Resize(Perturbation):
    """Shrinks with antialiasing and enlarges again; strength is the scale, 0 to 1."""

    def __call__(self, images):
        size = tf.shape(images)[1:3]
        small = tf.maximum(1, tf.cast(tf.round(tf.cast(size, tf.float32) * self._draw()), tf.int32))
        shrunk = tf.image.resize(images, small, antialias=True)
        restored = tf.image.resize(shrunk, size, method="bicubic")
        return tf.ensure_shape(tf.clip_by_value(restored, 0.0, 1.0), images.shape)


class GaussianNoise(Perturbation):
    """Adds independent noise; strength is its standard deviation for pictures in [0, 1]."""

    def __call__(self, images):
        deviation = self._draw([tf.shape(images)[0], 1, 1, 1])
        return tf.clip_by_value(images + deviation * tf.random.normal(tf.shape(images)), 0.0, 1.0)


class GaussianBlur(Perturbation):
    """Blurs; strength is the Gaussian's standard deviation in pixels, one for the batch, over 0."""

    def __call__(self, images):
        # Neither tensorflow-addons (Python numbers only) nor keras-cv (one picture at a time) fits a training step.
        reach = int(round(3 * self.strength[1]))
        places = tf.range(-reach, reach + 1, dtype=tf.float32)
        weights = tf.nn.softmax(-tf.square(places / self._draw()) / 2.0)
        padded = tf.pad(images, [[0, 0], [reach, reach], [reach, reach], [0, 0]], "SYMMETRIC")
        for shape in ([-1, 1, 1, 1], [1, -1, 1, 1]):
            kernel = tf.tile(tf.reshape(weights, shape), [1, 1, 3, 1])
            padded = tf.nn.depthwise_conv2d(padded, kernel, [1, 1, 1, 1], "VALID")
        return tf.ensure_shape(padded, images.shape)


class _KerasCv(Perturbation):
    """A keras-cv layer whose factor is the strength."""

    def __call__(self, images):
        return self._layer(images, training=True)


class Brightness(_KerasCv):
    """Adds a constant; strength from −1 (black) to 1 (white)."""

    def __init__(self, strength: Range):
        super().__init__(strength)
        self._layer = keras_cv.layers.RandomBrightness(factor=strength, value_range=(0, 1))


class Contrast(_KerasCv):
    """Scales the distance from the mean; strength f scales by 1 + f."""

    def __init__(self, strength: Range):
        super().__init__(strength)
        # keras-cv draws from 1 − factor[0] to 1 + factor[1].
        self._layer = keras_cv.layers.RandomContrast(factor=(-strength[0], strength[1]), value_range=(0, 1))


def training_perturbations() -> List[Perturbation]:
    """The ones a tagger is trained under, drawn with equal chances."""
    return [
        *[Jpeg((30.0, 95.0))] * 3,  # Nearly every picture that is shared becomes a JPEG, and it hurts most.
        Resize((0.45, 1.0)),
        GaussianNoise((0.0, 0.04)),
        GaussianBlur((0.3, 1.2)),
        Brightness((-0.2, 0.2)),
        Contrast((-0.3, 0.3)),
    ]


def evaluation_perturbations() -> Dict[str, Perturbation]:
    """By condition name, the fixed ones that a tagger is judged on."""
    return {
        "jpeg_75": RealJpeg((75.0, 75.0)),
        "jpeg_50": RealJpeg((50.0, 50.0)),
        "resize_0.5": Resize((0.5, 0.5)),
        "noise_0.02": GaussianNoise((0.02, 0.02)),
        "blur_1": GaussianBlur((1.0, 1.0)),
        "brightness_0.1": Brightness((0.1, 0.1)),
        "contrast_-0.2": Contrast((-0.2, -0.2)),
    }


def apply_random(perturbations: List[Perturbation], images: tf.Tensor, times: int = 2) -> tf.Tensor:
    """Applies `times` of the perturbations, drawn anew at each call, one after the other to the whole batch."""
    for _ in range(times):
        chosen = tf.random.uniform([], 0, len(perturbations), tf.int32)
        branches = [lambda perturb=perturb, batch=images: perturb(batch) for perturb in perturbations]
        images = tf.ensure_shape(tf.switch_case(chosen, branches), images.shape)
    return images
