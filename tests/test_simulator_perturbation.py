"""Each perturbation by its formula, eagerly and inside tf.data; random in training, fixed in evaluation."""

import numpy as np
import pytest
import scipy.ndimage
import tensorflow as tf

from faketagger.components.simulator import perturbation

NAMED = {
    **{type(each).__name__: each for each in perturbation.training_perturbations()},
    **perturbation.evaluation_perturbations(),
}


def _pictures(count=2, size=32, low=0.0, high=1.0):
    levels = np.random.default_rng(6).integers(round(low * 255), round(high * 255) + 1, (count, size, size, 3))
    return np.float32(levels / 255)


def _in_tf_data(perturb, pictures):
    mapped = tf.data.Dataset.from_tensors(pictures).map(perturb)
    return next(mapped.as_numpy_iterator())


@pytest.mark.parametrize("mode", ["eager", "tf.data"])
@pytest.mark.parametrize("name", NAMED)
def test_range_and_shape_are_kept_and_the_picture_changed(name, mode):
    pictures = _pictures()
    perturb = NAMED[name]
    made = perturb(tf.constant(pictures)) if mode == "eager" else _in_tf_data(perturb, pictures)
    made = np.asarray(made)
    assert made.shape == pictures.shape and made.dtype == np.float32
    assert -1e-6 <= made.min() and made.max() <= 1 + 1e-6  # Straight-through rounding costs a last bit.
    assert np.abs(made - pictures).mean() > 1e-4


@pytest.mark.parametrize("name", perturbation.evaluation_perturbations())
def test_evaluation_is_the_same_at_each_call_but_for_noise(name):
    pictures = _pictures(low=0.2, high=0.8)
    perturb = NAMED[name]
    same = np.allclose(perturb(tf.constant(pictures)), _in_tf_data(perturb, pictures), atol=1e-5)
    assert same == (name != "noise_0.02")


@pytest.mark.parametrize("name", [type(each).__name__ for each in perturbation.training_perturbations()])
def test_training_is_different_at_each_call(name):
    pictures = tf.constant(_pictures(low=0.2, high=0.8))
    drawn = [np.asarray(NAMED[name](pictures)) for _ in range(3)]
    assert np.abs(drawn[0] - drawn[1]).max() > 1e-4 or np.abs(drawn[0] - drawn[2]).max() > 1e-4


@pytest.mark.parametrize("name", [type(each).__name__ for each in perturbation.training_perturbations()])
def test_gradients_flow_through_the_training_ones(name):
    pictures = tf.constant(_pictures(low=0.4, high=0.6))
    with tf.GradientTape() as tape:
        tape.watch(pictures)
        value = tf.reduce_mean(tf.square(NAMED[name](pictures)))
    gradient = tape.gradient(value, pictures).numpy()
    assert np.isfinite(gradient).all() and np.mean(gradient != 0) > 0.9


@pytest.mark.parametrize("added", [-0.3, 0.1])
def test_brightness_adds_its_strength_and_clips(added):
    pictures = _pictures()
    made = perturbation.Brightness((added, added))(tf.constant(pictures))
    np.testing.assert_allclose(made, np.clip(pictures + added, 0, 1), atol=1e-5)


@pytest.mark.parametrize("strength", [-0.2, 0.3])
def test_contrast_scales_each_channels_distance_from_its_mean(strength):
    pictures = _pictures() * np.float32([0.9, 0.5, 0.7])
    mean = pictures.mean((1, 2), keepdims=True)
    made = perturbation.Contrast((strength, strength))(tf.constant(pictures))
    np.testing.assert_allclose(made, np.clip(mean + (1 + strength) * (pictures - mean), 0, 1), atol=1e-5)


def test_noise_has_its_strength_as_standard_deviation_and_no_mean():
    grey = np.full((4, 64, 64, 3), 0.5, np.float32)
    added = perturbation.GaussianNoise((0.03, 0.03))(tf.constant(grey)).numpy() - grey
    assert added.std() == pytest.approx(0.03, rel=0.05)
    assert abs(added.mean()) < 0.001
    neighbours = np.corrcoef(added[:, :, 1:].ravel(), added[:, :, :-1].ravel())[0, 1]
    assert abs(neighbours) < 0.05


@pytest.mark.parametrize("deviation", [0.5, 1.0, 2.0])
def test_blur_is_a_gaussian_cut_at_three_deviations_with_mirrored_edges(deviation):
    pictures = _pictures()
    expected = scipy.ndimage.gaussian_filter(pictures, (0, deviation, deviation, 0), mode="reflect", truncate=3.0)
    made = perturbation.GaussianBlur((deviation, deviation))(tf.constant(pictures))
    np.testing.assert_allclose(made, expected, atol=1e-4)


def test_resize_at_full_scale_changes_nothing_and_at_half_scale_loses_the_finest_chequers():
    chequers = np.float32(np.indices((32, 32)).sum(0) % 2)[None, :, :, None].repeat(3, -1)
    whole = perturbation.Resize((1.0, 1.0))(tf.constant(chequers))
    half = perturbation.Resize((0.5, 0.5))(tf.constant(chequers))
    np.testing.assert_allclose(whole, chequers, atol=1e-5)
    np.testing.assert_allclose(half[:, 4:-4, 4:-4], np.full((1, 24, 24, 3), 0.5), atol=0.02)


def test_resize_keeps_smooth_pictures():
    slope = np.float32(np.linspace(0.2, 0.8, 32))[None, :, None, None] * np.ones((1, 32, 32, 3), np.float32)
    made = perturbation.Resize((0.5, 0.5))(tf.constant(slope))
    np.testing.assert_allclose(made[:, 4:-4], slope[:, 4:-4], atol=0.005)


def test_resize_never_shrinks_to_nothing():
    made = perturbation.Resize((0.001, 0.001))(tf.constant(_pictures()))
    np.testing.assert_allclose(made, np.broadcast_to(made[:, :1, :1], made.shape), atol=1e-5)  # One pixel, enlarged.


def test_jpeg_draws_a_quality_for_each_picture():
    same = tf.constant(np.repeat(_pictures(1), 4, 0))
    made = perturbation.Jpeg((10.0, 90.0))(same).numpy()
    assert len({picture.tobytes() for picture in made}) == 4


def test_an_empty_range_of_strengths_is_refused_by_name():
    with pytest.raises(ValueError, match=r"GaussianBlur: .*\(2.0, 1.0\) is empty"):
        perturbation.GaussianBlur((2.0, 1.0))


def test_random_choice_applies_as_many_as_asked_and_any_of_them():
    add = [lambda images: images + 1.0, lambda images: images + 10.0]
    zero = tf.zeros([1, 2, 2, 3])
    seen = {float(tf.reduce_max(perturbation.apply_random(add, zero, times=2))) for _ in range(40)}
    assert seen == {2.0, 11.0, 20.0}


def test_random_choice_draws_anew_inside_a_graph_and_lets_gradients_through():
    perturbations = perturbation.training_perturbations()

    @tf.function
    def step(pictures):
        with tf.GradientTape() as tape:
            tape.watch(pictures)
            made = perturbation.apply_random(perturbations, pictures)
            value = tf.reduce_mean(tf.square(made))
        return made, tape.gradient(value, pictures)

    pictures = tf.constant(_pictures(low=0.3, high=0.7))
    drawn = [step(pictures) for _ in range(4)]
    assert len({made.numpy().tobytes() for made, _ in drawn}) == 4
    for made, gradient in drawn:
        assert made.shape == pictures.shape and np.isfinite(gradient).all() and np.any(gradient)
