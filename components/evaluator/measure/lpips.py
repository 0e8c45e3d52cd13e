"""LPIPS, the distance between two pictures in the features of a VGG16.

Zhang et al. 2018, "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric", section 3; its "lin"
configuration, version 0.1 of the official code.

Both files of weights are the users': torchvision's VGG16 and the official linear weights.
"""

import os
from collections.abc import Collection

import numpy as np
import tensorflow as tf

# Five stages of 3×3 convolutions, max pooling between them; the last of each is a feature.
_CHANNELS = (64, 128, 256, 512, 512)
_CONVOLUTIONS = (2, 2, 3, 3, 3)
# ImageNet's mean and standard deviation, as the official code has them for pictures in [−1, 1].
_SHIFT = (-0.030, -0.088, -0.188)
_SCALE = (0.458, 0.448, 0.450)
_NORM_EPSILON = 1e-10
# torchvision's file also holds the head that names what a picture shows.
_HEAD = {f"classifier.{layer}.{kind}" for layer in (0, 3, 6) for kind in ("weight", "bias")}

# Four poolings leave one pixel of this side.
MIN_SIDE = 16
# The features take some 2 KB a pixel: 2 GB for a picture of MAX_PIXELS, 0.5 GB for several smaller ones at a time.
MAX_PIXELS = 1024 * 1024
_PIXELS_AT_A_TIME = 512 * 512

_VGG_SOURCE = "torchvision's vgg16-397923af.pth (https://download.pytorch.org/models/vgg16-397923af.pth)"
_LINEAR_SOURCE = "lpips/weights/v0.1/vgg.pth of https://github.com/richzhang/PerceptualSimilarity"

Shapes = dict[str, tuple[int, ...]]


class Lpips:
    """LPIPS with given weights; 0 for equal pictures, larger for pictures that look less alike.

    Args:
      vgg_path: state dict of torchvision's VGG16 trained on ImageNet, with or without its classifier: .pth (where
        PyTorch is installed), .safetensors or .npz, a local file. It is in memory as a whole while it is read.
      linear_path: the official linear weights, in the same formats.

    Raises:
      ValueError: a file is missing (the message says what to fetch), unreadable, or is no such state dict: all tensors
        that are missing, unused, of another shape or not finite are listed.
      ImportError: the package is missing that reads this kind of file.
    """

    def __init__(self, vgg_path: str, linear_path: str):
        vgg = _read(vgg_path, _vgg_shapes(), _VGG_SOURCE, unused=_HEAD)
        linear = _read(linear_path, _linear_shapes(), _LINEAR_SOURCE)
        self._stages = [
            [(_kernel(vgg[f"{name}.weight"]), tf.constant(vgg[f"{name}.bias"])) for name in names]
            for names in _stage_names()
        ]
        self._linear = [tf.constant(linear[_linear_name(stage)].ravel()) for stage in range(len(_CHANNELS))]

    def __call__(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """The distance of each pair: uint8 [B, H, W, 3] twice → float64 [B].

        Raises:
          ValueError: other dtypes or shapes, a side below MIN_SIDE, or more than MAX_PIXELS in a picture.
        """
        _check_pictures(first, second)
        together = max(1, _PIXELS_AT_A_TIME // (first.shape[1] * first.shape[2]))
        starts = range(0, len(first), together)
        found = [self._distance(first[at : at + together], second[at : at + together]) for at in starts]
        return np.concatenate([np.zeros(0), *found])

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8)] * 2)
    def _distance(self, first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
        x = tf.cast(tf.concat([first, second], 0), tf.float32) / 127.5 - 1.0
        x = (x - _SHIFT) / _SCALE
        distance = tf.zeros(tf.shape(first)[:1], tf.float64)
        for number, convolutions in enumerate(self._stages):
            if number:
                x = tf.nn.max_pool2d(x, 2, 2, "VALID")
            for kernel, bias in convolutions:
                x = tf.nn.relu(tf.nn.conv2d(x, kernel, 1, "SAME") + bias)
            unit = x / (tf.norm(x, axis=-1, keepdims=True) + _NORM_EPSILON)
            squares = tf.math.squared_difference(*tf.split(unit, 2))
            of_pixels = tf.linalg.matvec(squares, self._linear[number])
            distance += tf.cast(tf.reduce_mean(of_pixels, axis=(1, 2)), tf.float64)
        return distance


def check_files(vgg_path: str, linear_path: str) -> None:
    """Before any work: ValueError, which says what to fetch, where one of Lpips' files is missing."""
    _check_file(vgg_path, _VGG_SOURCE)
    _check_file(linear_path, _LINEAR_SOURCE)


def _check_pictures(first: np.ndarray, second: np.ndarray) -> None:
    kinds = [(each.dtype.name, each.shape) for each in (first, second)]
    if kinds[0] != kinds[1] or first.dtype != np.uint8 or first.ndim != 4 or first.shape[3] != 3:
        raise ValueError(f"LPIPS takes uint8 [B, H, W, 3] twice, got {kinds[0]} and {kinds[1]}")
    height, width = first.shape[1:3]
    if min(height, width) < MIN_SIDE or height * width > MAX_PIXELS:
        raise ValueError(
            f"LPIPS takes pictures with sides of at least {MIN_SIDE} and at most {MAX_PIXELS:,} pixels, "
            f"got {width}×{height}"
        )


def _stage_names() -> list[list[str]]:
    """torchvision's names of the convolutions, by stage; ReLUs and poolings, which have no weights, are counted too."""
    names, number = [], 0
    for convolutions in _CONVOLUTIONS:
        names.append([f"features.{number + 2 * each}" for each in range(convolutions)])
        number += 2 * convolutions + 1
    return names


def _vgg_shapes() -> Shapes:
    shapes: Shapes = {}
    before = 3
    for names, channels in zip(_stage_names(), _CHANNELS):
        for name in names:
            shapes |= {f"{name}.weight": (channels, before, 3, 3), f"{name}.bias": (channels,)}
            before = channels
    return shapes


def _linear_shapes() -> Shapes:
    return {_linear_name(stage): (1, channels, 1, 1) for stage, channels in enumerate(_CHANNELS)}


def _linear_name(stage: int) -> str:
    return f"lin{stage}.model.1.weight"


def _check_file(path: str, source: str) -> None:
    if not os.path.isfile(path):
        raise ValueError(f"{path}: no such file; LPIPS needs its weights: fetch {source} and give its path")


def _read(path: str, shapes: Shapes, source: str, unused: Collection[str] = ()) -> dict[str, np.ndarray]:
    """float32 tensors by name, exactly those of `shapes`."""
    # Here alone: it brings networks that nobody needs who does not measure LPIPS.
    from faketagger.components.simulator.foreign import base, torch

    _check_file(path, source)
    tensors = {name: values for name, values in torch.read_tensors(path).items() if name not in unused}
    base.check_match(tensors, shapes, f"{path}: not the tensors of {source}")
    broken = sorted(name for name, values in tensors.items() if not np.isfinite(values).all())
    if broken:
        raise ValueError(f"{path}: not all finite: {', '.join(broken)}: fetch {source} again")
    return {name: np.asarray(values, np.float32) for name, values in tensors.items()}


def _kernel(weight: np.ndarray) -> tf.Tensor:
    """PyTorch's [out, in, h, w] as TensorFlow's [h, w, in, out]."""
    return tf.constant(weight.transpose(2, 3, 1, 0))
