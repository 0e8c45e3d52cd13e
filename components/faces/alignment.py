"""Similarity transforms between photographs and aligned faces, and pictures moved by them, with gradients.

Coordinates are (x, y) in pixels, x to the right, y down; the first pixel's centre is at (0.5, 0.5), so that a place
keeps its share of the side when a picture is resized. A transform is float32 [B, 2, 3]: a matrix of rotation and scale,
and a shift; it maps places of one picture to places of another.
"""

import dataclasses
import math

import numpy as np
import tensorflow as tf

# A face's landmarks (features.LANDMARK_NAMES) from the middle between the eyes, in distances between them: ArcFace's
# proportions (Deng et al. 2019), by which most tools align.
_PROPORTIONS = np.float32([(-0.5, 0.0), (0.5, 0.0), (0.003, 0.572), (-0.410, 1.155), (0.418, 1.150)])
SHAPE = _PROPORTIONS.shape  # Of a face's landmarks.
_MIRRORED = (1, 0, 2, 4, 3)  # Which of them is where in the mirror image.
_FITTED = (0, 1, 3, 4)  # The nose swings aside when the head turns.


@dataclasses.dataclass(frozen=True)
class Template:
    """Where an aligned face lies in its square picture.

    Attributes:
      side: of the picture, in distances between the eyes.
      eyes_x: the middle between the eyes, a share of the side.
      eyes_y: their height from the top, a share of the side.
    """

    side: float
    eyes_x: float = 0.5
    eyes_y: float = 0.48

    def landmarks(self, size: int) -> np.ndarray:
        """Where the landmarks are on average in the aligned picture of `size` pixels, float32 [5, 2]."""
        return np.float32(size * (np.array([self.eyes_x, self.eyes_y]) + _PROPORTIONS / self.side))


# That of CelebA-HQ and FFHQ, measured: what photographs without landmarks are taken to have.
CELEBA_HQ = Template(side=3.9)


def or_template(landmarks: tf.Tensor, template: Template = CELEBA_HQ) -> tf.Tensor:
    """Landmarks [B, 5, 2] as shares of the side, with the template's where there are none (NaN)."""
    return tf.where(tf.math.is_nan(landmarks), template.landmarks(1), landmarks)


def mirror(landmarks: tf.Tensor) -> tf.Tensor:
    """Landmarks [..., 5, 2] as shares of the side, as they are in the mirror image of their picture."""
    swapped = tf.gather(landmarks, _MIRRORED, axis=-2)
    return tf.stack([1.0 - swapped[..., 0], swapped[..., 1]], -1)


def fit(landmarks: tf.Tensor, template: Template, size: int) -> tf.Tensor:
    """The transform that brings landmarks nearest to a template's in a picture of `size` pixels, as fit_to's."""
    return fit_to(landmarks, tf.constant(template.landmarks(size)))


def frame(landmarks: np.ndarray, template: Template) -> np.ndarray:
    """Where a face's aligned picture lies in its photograph: the inverse of `fit`.

    In NumPy, of one face: TensorFlow takes a hundred times as long for so little.

    Args:
      landmarks: [5, 2], in the photograph's pixels.
      template: of the aligned picture.

    Returns:
      float64 [2, 3], from places of the unit square, which is the aligned picture, to the photograph's.
    """
    # A similarity of the plane is z ↦ a·z + b over complex numbers.
    source = landmarks[list(_FITTED)] @ [1, 1j]
    target = template.landmarks(1)[list(_FITTED)] @ [1, 1j]
    centred = source - source.mean()
    a = np.vdot(centred, centred).real / np.vdot(centred, target - target.mean())
    b = source.mean() - a * target.mean()
    return np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]])


def fit_to(landmarks: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
    """The transform that brings landmarks nearest to others, by least squares over eyes and mouth's corners.

    Args:
      landmarks: float32 [B, 5, 2], in the order of features.LANDMARK_NAMES, in the photograph's pixels.
      target: float32 [5, 2], where they shall be, in the aligned picture's pixels.

    Returns:
      float32 [B, 2, 3], from the photograph's places to the aligned picture's; without reflection (Umeyama 1991).
    """
    target = tf.gather(target, _FITTED)
    source = tf.gather(landmarks, _FITTED, axis=1)
    source_mean, target_mean = tf.reduce_mean(source, 1, keepdims=True), tf.reduce_mean(target, 0)
    source, target = source - source_mean, target - target_mean
    spread = tf.reduce_sum(tf.square(source), [1, 2])
    along = tf.reduce_sum(source * target, [1, 2]) / spread
    across = tf.reduce_sum(source[..., 0] * target[:, 1] - source[..., 1] * target[:, 0], 1) / spread
    matrix = tf.stack([tf.stack([along, -across], -1), tf.stack([across, along], -1)], 1)
    shift = target_mean[:, None] - matrix @ tf.linalg.matrix_transpose(source_mean)
    return tf.concat([matrix, shift], -1)


def invert(transform: tf.Tensor) -> tf.Tensor:
    """The way back: float32 [B, 2, 3] → the same shape."""
    inverse = tf.linalg.inv(transform[..., :2])
    return tf.concat([inverse, -inverse @ transform[..., 2:]], -1)


def compose(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
    """The transform [B, 2, 3] that does `first`, then `second`."""
    return tf.concat([second[..., :2] @ first[..., :2], second[..., :2] @ first[..., 2:] + second[..., 2:]], -1)


def apply(transform: tf.Tensor, places: tf.Tensor) -> tf.Tensor:
    """Places [B, N, 2] as a transform [B, 2, 3] moves them."""
    return tf.einsum("brc,bnc->bnr", transform[..., :2], places) + transform[:, None, :, 2]


def move(
    images: tf.Tensor, transform: tf.Tensor, size: tuple[int, int], scales: tuple[float, float], fill: str = "REFLECT"
) -> tf.Tensor:
    """Pictures moved by a transform, antialiased where it shrinks them.

    Args:
      images: float32 [B, H, W, C].
      transform: float32 [B, 2, 3], from their places to those of the result.
      size: the result's height and width.
      scales: the least and the most that the transform magnifies: what is shrunk is sampled finer and averaged.
      fill: what lies beyond the pictures' edges: ImageProjectiveTransformV3's modes.

    Returns:
      float32 [B, *size, C]. Its gradient with respect to `images` is the picture of gradients moved back and weighted
      by the transform's determinant, as the integral's change of variables has it; what `fill` shows gives none. (The
      operation's own gradient lacks weight and antialiasing.)
    """

    # What the gradient needs is handed over: within branches of branches TensorFlow does not find what is outside.
    @tf.custom_gradient
    def moved(images, transform):
        def gradient(upstream):
            weight = tf.abs(tf.linalg.det(transform[..., :2]))[:, None, None, None]
            back = sample(upstream, transform, tuple(images.shape[1:3]), scales[1], "CONSTANT")
            return weight * back, None

        return sample(images, invert(transform), size, 1.0 / scales[0], fill), gradient

    return moved(images, tf.stop_gradient(transform))


def sample(
    images: tf.Tensor, back: tf.Tensor, size: tuple[int | tf.Tensor, int | tf.Tensor], reduction: float, fill: str
) -> tf.Tensor:
    """Pictures moved with TensorFlow's own gradient, which a SavedModel keeps, and which nearly fits small motions.

    Args:
      images: float32 [B, H, W, C].
      back: float32 [B, 2, 3], from the result's places to theirs.
      size: the result's height and width, numbers or tensors.
      reduction: how much the pictures are shrunk at most: so much finer they are sampled, and averaged.
      fill: as `move`'s.
    """
    finer = max(1, math.ceil(reduction - 1e-3))
    # The kernel's places are pixels' numbers: half a pixel less than ours.
    matrix = back[..., :2] / finer
    shift = back[..., 2] + tf.reduce_sum(matrix * 0.5, -1) - 0.5
    flat = tf.concat([matrix[:, 0], shift[:, :1], matrix[:, 1], shift[:, 1:], tf.zeros_like(shift)], -1)
    seen = tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=flat,
        output_shape=[size[0] * finer, size[1] * finer],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode=fill,
    )
    sides = [side * finer if isinstance(side, int) else None for side in size]
    seen = tf.ensure_shape(seen, [None, *sides, images.shape[-1]])
    return tf.nn.avg_pool2d(seen, finer, finer, "VALID") if finer > 1 else seen
