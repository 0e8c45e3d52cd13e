"""The differentiable JPEG against the real codec."""

import glob
import io
import os

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from faketagger.components.contract import images
from faketagger.components.perturbations import jpeg
from faketagger.tests import helpers


def _scene(height=96, width=96):
    """Smooth shading, a few hard edges and some grain: what photographs are made of; float32 [1, H, W, 3]."""
    rows, columns = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    random = np.random.default_rng(4)
    shading = 0.35 + 0.3 * rows + 0.1 * np.sin(6 * columns + 3 * rows)
    disc = ((rows - 0.5) ** 2 + (columns - 0.4) ** 2 < 0.08)[..., None] * np.array([0.2, 0.05, -0.1])
    stripe = (np.abs(columns - 0.8) < 0.05)[..., None] * np.array([-0.3, 0.1, 0.2])
    grain = random.normal(0, 0.015, (height, width, 1))
    picture = np.clip(shading[..., None] + disc + stripe + grain, 0, 1)
    return np.float32(np.round(picture * 255) / 255)[None]


@pytest.fixture
def photograph(photographs):
    """float32 [1, 128, 128, 3]."""
    path = min(glob.glob(os.path.join(photographs, "celeba_hq", "*.jpg")))
    return images.to_float(images.square(images.load_image(path), 128))[None]


@pytest.fixture
def scene():
    return _scene()


def _pillows(picture, quality):
    buffer = io.BytesIO()
    Image.fromarray(images.to_uint8(picture[0])).save(buffer, "JPEG", quality=quality)
    return images.to_float(images.load_image(buffer.getvalue()))[None]


@pytest.mark.parametrize("picture", ["scene", "photograph"])
@pytest.mark.parametrize("quality", [50, 75, 90])
def test_the_differentiable_jpeg_is_much_closer_to_the_real_codecs_than_the_original_is(request, picture, quality):
    original = request.getfixturevalue(picture)
    real = _pillows(original, quality)
    approximate = jpeg.differentiable_jpeg(tf.constant(original), tf.constant([float(quality)]))
    assert helpers.psnr(approximate, real) > max(42, helpers.psnr(original, real) + 8)


def test_each_picture_of_a_batch_has_its_own_quality():
    batch = tf.constant(np.repeat(_scene(), 3, 0))
    qualities = tf.constant([10.0, 50.0, 95.0])
    for compress in (jpeg.differentiable_jpeg, jpeg.real_jpeg):
        losses = [helpers.psnr(made, before) for made, before in zip(compress(batch, qualities), batch)]
        assert losses[0] + 3 < losses[1] < losses[2] - 3


@pytest.mark.parametrize("quality", [1.0, 49.0, 50.0, 100.0])
def test_all_qualities_keep_range_and_shape(quality):
    picture = tf.constant(np.float32(np.random.default_rng(0).uniform(0, 1, (2, 32, 32, 3))))
    made = jpeg.differentiable_jpeg(picture, tf.fill([2], quality))
    assert made.shape == picture.shape
    assert 0 <= tf.reduce_min(made) and tf.reduce_max(made) <= 1


@pytest.mark.parametrize("height, width", [(33, 47), (40, 96), (17, 16)])
def test_odd_sizes_are_compressed_as_the_real_codec_does(height, width):
    original = _scene(height, width)
    made = jpeg.differentiable_jpeg(tf.constant(original), tf.constant([75.0]))
    assert made.shape == original.shape
    assert helpers.psnr(made, _pillows(original, 75)) > 40


def test_a_flat_grey_picture_stays_as_it_is():
    grey = tf.fill([1, 32, 32, 3], 128 / 255)
    np.testing.assert_allclose(jpeg.differentiable_jpeg(grey, tf.constant([50.0])), grey, atol=1e-4)


def test_the_differentiable_jpegs_gradient_reaches_every_pixel():
    picture = tf.constant(_scene(32, 32))
    weights = tf.constant(np.float32(np.random.default_rng(1).normal(size=picture.shape)))
    with tf.GradientTape() as tape:
        tape.watch(picture)
        value = tf.reduce_sum(weights * jpeg.differentiable_jpeg(picture, tf.constant([75.0])))
    gradient = tape.gradient(value, picture).numpy()
    assert np.isfinite(gradient).all()
    assert np.mean(gradient != 0) > 0.99


@pytest.mark.parametrize("quality", [50, 75, 90])
def test_the_real_jpeg_is_the_real_codec(quality):
    original = _scene()
    made = jpeg.real_jpeg(tf.constant(original), tf.constant([float(quality)]))
    assert helpers.psnr(made, _pillows(original, quality)) > 44  # Two builds of one codec may differ in rounding.


def test_the_real_jpegs_gradient_passes_straight_through():
    picture = tf.constant(_scene(32, 32))
    weights = tf.constant(np.float32(np.random.default_rng(1).normal(size=picture.shape)))
    with tf.GradientTape() as tape:
        tape.watch(picture)
        value = tf.reduce_sum(weights * jpeg.real_jpeg(picture, tf.constant([50.0])))
    np.testing.assert_allclose(tape.gradient(value, picture), weights)
