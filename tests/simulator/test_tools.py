"""Generators applied as deepfake tools do: cut out, made, pasted back."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from faketagger.components.faces import alignment
from faketagger.components.simulator import tools

_SIZE = 64
_LANDMARKS = tf.constant(alignment.CELEBA_HQ.landmarks(1)[None])


def _smooth_picture(side: int = 128) -> tf.Tensor:
    coarse = tf.random.stateless_uniform([1, 6, 6, 3], [5, 6])
    return tf.clip_by_value(tf.image.resize(coarse, [side, side], "bicubic"), 0.0, 1.0)


def _apply(tool: tools.Tool, generate, picture: tf.Tensor, landmarks: tf.Tensor = _LANDMARKS) -> tf.Tensor:
    chosen = tools.Chosen([tools.TOOLS["stargan"], tool], tf.constant(1), _SIZE)
    crops, transform = chosen.cut(picture, landmarks)
    return chosen.paste(picture, transform, crops, generate(crops))


def _white(tool: str, landmarks: tf.Tensor = _LANDMARKS) -> np.ndarray:
    """Where a tool pastes: what becomes of a black picture whose crop is made white, [128, 128]."""
    black = tf.zeros([1, 128, 128, 3])
    keeps_white = dataclasses.replace(tools.TOOLS[tool], transfers_colours=False)
    return _apply(keeps_white, tf.ones_like, black, landmarks)[0, :, :, 0].numpy()


@pytest.mark.parametrize("tool", tools.TOOLS)
def test_a_generator_that_changes_nothing_leaves_the_picture_nearly_as_it_was(tool):
    picture = _smooth_picture()
    made = _apply(tools.TOOLS[tool], tf.identity, picture)
    assert made.shape == picture.shape
    assert float(tf.image.psnr(picture, made, 1.0)[0]) > 35.0


@pytest.mark.parametrize(("tool", "side"), [("inswapper", 3.63), ("facefusion", 4.07), ("deepfacelab_full", 3.02)])
def test_the_face_is_pasted_inside_the_crop_alone(tool, side):
    landmarks = 0.5 + 0.7 * (_LANDMARKS - 0.5)
    pasted = _white(tool, landmarks)
    template = tools.TOOLS[tool].template
    eyes = 128 * landmarks[0, :2].numpy()
    crop = side * np.linalg.norm(eyes[1] - eyes[0])
    left, top = eyes.mean(0) - crop * np.array([template.eyes_x, template.eyes_y])
    rows, columns = np.mgrid[0:128, 0:128] + 0.5
    outside = (columns < left) | (columns > left + crop) | (rows < top) | (rows > top + crop)
    assert pasted[outside].max() < 0.1
    assert pasted[int(eyes[0, 1]), int(eyes.mean(0)[0])] > 0.95


def test_a_border_counted_in_pixels_takes_more_of_a_small_face():
    small = 0.5 + 0.6 * (_LANDMARKS - 0.5)
    large_share = _white("simswap").mean() / (3.44 / 3.9) ** 2
    small_share = _white("simswap", small).mean() / (0.6 * 3.44 / 3.9) ** 2
    assert small_share < 0.6 * large_share


def test_colours_are_taken_over_from_the_photograph():
    picture = 0.4 + 0.2 * _smooth_picture()
    tool = tools.TOOLS["deepfacelab"]
    made = _apply(tool, lambda crops: tf.clip_by_value(0.5 * crops + 0.3, 0.0, 1.0), picture)
    assert float(tf.image.psnr(picture, made, 1.0)[0]) > 35.0


def test_gradients_reach_the_picture_within_the_face():
    picture = _smooth_picture()
    with tf.GradientTape() as tape:
        tape.watch(picture)
        loss = tf.reduce_sum(_apply(tools.TOOLS["inswapper"], lambda crops: 0.5 * crops, picture))
    gradient = tape.gradient(loss, picture)[0, :, :, 0].numpy()
    assert gradient[60, 60] == pytest.approx(0.5, abs=0.05)  # Half is handed on where the face is pasted,
    assert gradient[2, 2] == pytest.approx(1.0, abs=0.01)  # all of it elsewhere.
