"""A picture through a small latent: what is lost, what is learned, and which latent a condition means."""

import numpy as np
import pytest
import tensorflow as tf

from faketagger.components.simulator.generators import autoencoder, base
from faketagger.components.simulator.generators.settings import TrainingSettings

pytestmark = pytest.mark.slow


def _pictures(count: int, side: int = 32) -> np.ndarray:
    coarse = tf.random.stateless_uniform([count, 4, 4, 3], [7, 8])
    return tf.clip_by_value(tf.image.resize(coarse, [side, side], "bicubic"), 0.0, 1.0).numpy()


def test_the_latents_are_four_and_eight_times_smaller():
    model = autoencoder.Autoencoder(32, 8)
    shapes = [encoder(tf.zeros([2, 32, 32, 3])).shape for encoder in model.encoders]
    assert shapes == [(2, 8, 8, 6), (2, 4, 4, 8)]


def test_a_new_latent_is_near_a_normal_one():
    model = autoencoder.Autoencoder(32, 8)
    for encoder in model.encoders:
        assert np.abs(encoder(_pictures(3))).max() < 1.0


def test_each_condition_goes_through_its_own_latent_in_any_mixture():
    model, pictures = autoencoder.Autoencoder(32, 8), tf.constant(_pictures(3))
    alone = [model.simulate(pictures, tf.fill([3], condition)).numpy() for condition in (0, 1)]
    assert np.abs(alone[0] - alone[1]).max() > 1e-3
    mixed = model.simulate(pictures, tf.constant([1, 0, 1])).numpy()
    np.testing.assert_allclose(mixed, np.stack([alone[1][0], alone[0][1], alone[1][2]]), atol=1e-5)


def test_training_brings_the_pictures_back_with_and_without_a_critic():
    pictures = _pictures(4)
    for critic in (0.0, 0.05):
        settings = TrainingSettings(image_size=32, width=8, batch_size=4, learning_rate=3e-3, critic=critic)
        tf.keras.utils.set_random_seed(1)
        model = autoencoder.Autoencoder(32, 8)
        model.compile_for(settings, 60)
        step = tf.function(model.train_step)
        losses = [step(tf.constant(pictures)) for _ in range(60)]
        assert ("critic" in losses[-1]) == bool(critic)
        assert float(losses[-1]["reconstruction"]) < 0.6 * float(losses[0]["reconstruction"])


def test_a_tighter_window_shows_larger_and_less_of_the_picture():
    column = np.tile(np.linspace(0, 1, 48, dtype=np.float32)[:, None, None], [1, 48, 3])
    shown = base.window(tf.constant(column), 32).numpy()
    assert shown.shape == (32, 32, 3)
    assert 32 / 48 - 0.05 < shown.max() - shown.min() <= 1.0
    np.testing.assert_array_equal(base.window(tf.constant(column), 48), column)
