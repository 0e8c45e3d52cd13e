"""The residual: where it is, how large it becomes, what the bound keeps."""

import numpy as np
import pytest
import tensorflow as tf

from faketagger.components.tagger import residual
from faketagger.components.tagger.config import Masking


def _flat(grey: float) -> tf.Tensor:
    return tf.fill([1, 32, 32, 3], grey)


def _textured() -> tf.Tensor:
    noise = tf.random.stateless_normal([1, 32, 32, 1], [1, 2], stddev=0.1)
    return tf.clip_by_value(0.5 + noise * tf.ones([3]), 0.0, 1.0)


def _jnd(images: tf.Tensor) -> float:
    """In grey values of 255."""
    return 255.0 * float(tf.reduce_mean(residual.just_noticeable_difference(images, Masking())))


def test_texture_hides_more_than_flat_grey_and_light_and_dark_hide_more_than_middle_grey():
    middle = _jnd(_flat(0.5))
    assert middle == pytest.approx(3.0, abs=0.1)
    assert _jnd(_textured()) > 3.0 * middle
    assert middle < _jnd(_flat(0.9)) < 2.1 * middle
    assert middle < _jnd(_flat(0.02)) < 2.1 * middle


def test_what_flat_places_hide_is_set_apart_from_what_texture_does():
    masking = Masking(flat=1.0, dark=0.0, light=0.0, texture=0.7)
    flat, textured = (
        255.0 * float(tf.reduce_mean(residual.just_noticeable_difference(each, masking)))
        for each in (_flat(0.9), _textured())
    )
    assert flat == pytest.approx(1.0, abs=0.1) and textured > 1.5 * _jnd(_textured())


def test_an_edge_between_plain_surfaces_hides_less_than_texture_of_its_contrast():
    edge = tf.concat([_flat(0.4)[:, :, :16], _flat(0.6)[:, :, :16]], 2)
    checks = 0.5 + 0.1 * tf.cast(np.indices((32, 32)).sum(0) % 2 * 2 - 1, tf.float32)[None, :, :, None] * tf.ones([3])
    of_edge, of_checks, plain = (
        255.0 * residual.just_noticeable_difference(each, Masking(dark=0.0, light=0.0)).numpy()[0, 16, :, 0]
        for each in (edge, checks, _flat(0.5))
    )
    assert (of_edge - plain).max() < 0.6 * (of_checks[16] - plain[16])
    assert (of_edge > plain + 0.5).sum() <= 6


def test_a_masked_residual_is_largest_in_texture():
    picture = tf.concat([_flat(0.5), _textured()], 2)
    made = residual.masked_residual(
        picture, 9.0 * tf.ones_like(picture), tf.constant(38.0), Masking(headroom=1.0, chroma=0.0)
    ).numpy()
    assert np.abs(made[:, :, :24]).mean() < 0.4 * np.abs(made[:, :, 40:]).mean()


def test_without_chroma_a_masked_residual_is_grey_and_with_it_its_luminance_stays():
    picture, made = _textured(), tf.random.stateless_normal([1, 32, 32, 3], [3, 4])
    grey, coloured = (
        residual.masked_residual(picture, made, tf.constant(38.0), Masking(chroma=chroma)).numpy()
        for chroma in (0.0, 0.3)
    )
    assert np.ptp(grey, axis=-1).max() < 1e-6
    assert np.ptp(coloured, axis=-1).max() > 1e-3
    np.testing.assert_allclose(coloured @ [0.299, 0.587, 0.114], grey[..., 0], atol=1e-4)


def test_of_what_changes_from_one_pixel_to_the_next_a_masked_residual_has_nothing():
    board = (-1.0) ** (np.arange(32)[:, None] + np.arange(32))
    made = 9.0 * tf.cast(board, tf.float32)[None, :, :, None] * tf.ones([3])
    soft = residual.masked_residual(_flat(0.5), made, tf.constant(38.0), Masking(headroom=1.0, chroma=0.0)).numpy()
    even = residual.masked_residual(
        _flat(0.5), 9.0 * tf.ones_like(made), tf.constant(38.0), Masking(headroom=1.0, chroma=0.0)
    ).numpy()
    assert np.abs(soft[:, 1:-1, 1:-1]).max() < 1e-6 < 1e-3 < np.abs(even).min()


@pytest.mark.parametrize("period, softness, left", [(12, 1, 0.93), (12, 4, 0.76), (6, 1, 0.75), (6, 4, 0.32)])
def test_softness_leaves_of_a_wave_what_its_period_and_the_docstring_say(period, softness, left):
    wave = 0.1 * np.cos(2 * np.pi * np.arange(48) / period)
    made = tf.constant(np.broadcast_to(wave[None, None, :, None], [1, 48, 48, 3]), tf.float32)
    given, soft = (
        residual.masked_residual(tf.fill([1, 48, 48, 3], 0.5), made, tf.constant(38.0), Masking(softness=times)).numpy()
        for times in (0, softness)
    )
    assert np.std(soft[:, 12:36, 12:36]) / np.std(given[:, 12:36, 12:36]) == pytest.approx(left, abs=0.01)


def test_no_gradient_makes_the_picture_rougher_to_hide_more():
    picture = _textured()
    with tf.GradientTape() as tape:
        tape.watch(picture)
        value = tf.reduce_sum(residual.just_noticeable_difference(picture, Masking()))
    assert tape.gradient(value, picture) is None


@pytest.mark.parametrize("masking", [None, Masking()])
def test_whatever_the_network_makes_the_bound_holds(masking):
    picture = tf.concat([_textured(), _flat(0.3)], 0)
    made = residual.bounded(picture, 50.0 * tf.ones_like(picture), tf.constant(38.0), masking)
    assert float(tf.reduce_min(tf.image.psnr(picture + made, picture, 1.0))) > 37.99
