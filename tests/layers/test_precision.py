"""Convolutions in bfloat16 stay near float32, and everything else stays float32."""

import pathlib

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from faketagger.components.layers import precision

_CPU = pathlib.Path("/proc/cpuinfo")
_HAS_BFLOAT16 = _CPU.exists() and "avx512_bf16" in _CPU.read_text()


def _run(function, *inputs) -> np.ndarray:
    return tf.function(function)(*inputs).numpy()  # A new graph each time: the option holds for those built later.


def test_a_convolution_is_near_its_float32_values_and_no_longer_equal_where_the_processor_has_bfloat16():
    layer = keras.layers.Conv2D(16, 3, padding="same")
    pictures = tf.random.stateless_uniform([2, 32, 32, 8], [1, 2])
    exact = _run(layer, pictures)
    with precision.bfloat16(True):
        near = _run(layer, pictures)
    assert near.dtype == np.float32
    assert np.abs(near - exact).max() < 0.03
    assert not _HAS_BFLOAT16 or np.any(near != exact)


def test_arithmetic_beside_convolutions_keeps_float32():
    layer = keras.layers.Conv2D(8, 3, padding="same")
    pictures = tf.random.stateless_uniform([1, 16, 16, 3], [3, 4])
    places = tf.range(4096, dtype=tf.float32) + 0.25  # bfloat16 would round the large ones to whole sixteens.

    def with_places(pictures):
        return tf.reduce_mean(tf.nn.relu(layer(pictures))) * 0.0 + places * 2.0 - places

    with precision.bfloat16(True):
        np.testing.assert_array_equal(_run(with_places, pictures), places.numpy())


def test_similarity_keeps_float32_though_it_averages_by_convolutions():
    layer = keras.layers.Conv2D(3, 3, padding="same", kernel_initializer="zeros")
    pictures = tf.random.stateless_uniform([2, 32, 32, 3], [5, 6], 0.7, 0.9)

    def similarity(pictures):
        return tf.image.ssim(pictures + layer(pictures), 0.5 + pictures / 2.0, 1.0)

    exact = _run(similarity, pictures)
    with precision.bfloat16(True):
        np.testing.assert_allclose(_run(similarity, pictures), exact, atol=1e-3)


def test_it_is_off_after_a_training_however_that_ends():
    def is_on():
        return tf.config.optimizer.get_experimental_options().get("auto_mixed_precision_onednn_bfloat16", False)

    with precision.bfloat16(True):
        assert is_on()
    assert not is_on()
    with pytest.raises(KeyboardInterrupt), precision.bfloat16(True):
        raise KeyboardInterrupt
    assert not is_on()
