"""The networks' shapes, the residual's limit, the schedules and the losses by their formulas."""

import json

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from faketagger.components.tagger import losses, networks
from faketagger.components.tagger.config import LEVELS, TaggerConfig
from faketagger.components.tagger.residual import limit_residual
from faketagger.components.tagger.schedules import Ramp
from faketagger.components.tagger.training import round_to_8_bits

BITS = 15


def _pictures(count=4, size=32, seed=0):
    return tf.constant(np.float32(np.random.default_rng(seed).integers(0, 256, (count, size, size, 3)) / 255))


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("size", [32, 64, 128])
def test_the_encoder_makes_a_residual_of_the_pictures_size(size, level):
    encoder = networks.build_encoder(size, BITS, level, 8)
    assert encoder.input_shape == [(None, size, size, 3), (None, BITS)]
    assert encoder.output_shape == (None, size, size, 3)


@pytest.mark.parametrize("size, fold", [(48, 1), (96, 2)])
def test_sides_that_the_config_takes_are_halved_and_doubled_without_rest(size, fold):
    config = TaggerConfig(image_size=size, space_to_depth=fold)
    encoder = networks.build_encoder(config.image_size, BITS, "every", 8, config.space_to_depth)
    assert encoder.output_shape == (None, size, size, 3)


@pytest.mark.parametrize("size", [48, 80, 112, 144])
def test_sides_that_would_leave_a_rest_are_refused_by_the_config(size):
    with pytest.raises(
        ValueError, match=f"^image_size: expected a multiple of 32 with space_to_depth 2, found {size}$"
    ):
        TaggerConfig(image_size=size, space_to_depth=2)


@pytest.mark.parametrize("level", LEVELS)
def test_the_residual_depends_on_every_bit_and_on_the_picture(level):
    encoder = networks.build_encoder(32, BITS, level, 8)
    flipped = tf.concat([tf.zeros([1, BITS]), tf.eye(BITS)], 0)
    same_picture = tf.repeat(_pictures(1), BITS + 1, 0)
    residuals = encoder([same_picture, flipped]).numpy()
    assert (np.abs(residuals[1:] - residuals[0]).max((1, 2, 3)) > 1e-6).all()
    other = encoder([_pictures(1, seed=1), flipped[:1]]).numpy()
    assert np.abs(other - residuals[0]).max() > 1e-6


@pytest.mark.parametrize(
    "code_bits, places, channels", [(121, 256, 4), (31, 64, 16), (121, 16, 64), (255, 4, 256), (5, 256, 4)]
)
def test_every_value_of_the_message_planes_carries_one_bit_at_first_and_all_bits_equally_often(
    code_bits, places, channels
):
    kernel = networks._one_bit_a_place(code_bits, places, channels)
    assert kernel.shape == (code_bits, places * channels)
    assert (kernel.sum(0) == 1).all() and (kernel.max(0) == 1).all()
    run = min(channels, places * channels // code_bits)
    assert kernel.sum(1).min() > 0 and kernel.sum(1).max() - kernel.sum(1).min() <= run


@pytest.mark.parametrize("size", [32, 64, 128])
def test_the_decoder_is_seven_3x3_convolutions_and_one_dense_layer(size):
    decoder = networks.build_decoder(size, BITS, 8)
    convolutions = [layer for layer in decoder.layers if isinstance(layer, keras.layers.Conv2D)]
    dense = [layer for layer in decoder.layers if isinstance(layer, keras.layers.Dense)]
    assert [layer.kernel_size for layer in convolutions] == [(3, 3)] * 7
    assert [layer.units for layer in dense] == [BITS]
    assert decoder.input_shape == (None, size, size, 3) and decoder.output_shape == (None, BITS)


def test_the_decoder_returns_logits_and_not_probabilities():
    logits = networks.build_decoder(32, 64, 8)(_pictures())
    assert np.min(logits) < 0


def test_the_critic_judges_patches():
    critic = networks.build_critic(64, 8)
    assert critic.output_shape == (None, 8, 8, 1)


@pytest.mark.parametrize("bound", [16.0, 22.0, 34.0, 40.0])
def test_the_bound_on_psnr_holds_for_every_picture_as_it_is_saved(bound):
    pictures = _pictures(6)
    random = np.random.default_rng(3)
    residual = np.float32(random.normal(size=pictures.shape) * np.reshape([1e-3, 0.02, 0.1, 1, 50, 1e4], [6, 1, 1, 1]))
    residual[4, 5:] = 0  # All in one place.
    tagged = round_to_8_bits(tf.clip_by_value(pictures + limit_residual(tf.constant(residual), bound), 0.0, 1.0))
    assert (tf.image.psnr(tagged, pictures, 1.0).numpy() > bound - 0.1).all()


def test_a_residual_within_the_bound_is_not_touched_and_one_beyond_is_scaled_onto_it():
    residual = np.float32(np.random.default_rng(1).normal(size=(2, 16, 16, 3)))
    residual[0] *= 0.001
    limited = limit_residual(tf.constant(residual), 30.0).numpy()
    np.testing.assert_array_equal(limited[0], residual[0])
    loudness = np.sqrt(np.mean(residual[1] ** 2))
    np.testing.assert_allclose(limited[1], residual[1] * 10 ** (-30 / 20) / loudness, rtol=1e-4)


def test_no_residual_at_all_has_a_finite_gradient():
    residual = tf.zeros([1, 8, 8, 3])
    with tf.GradientTape() as tape:
        tape.watch(residual)
        value = tf.reduce_sum(limit_residual(residual, 30.0))
    assert np.isfinite(tape.gradient(value, residual)).all()


def test_rounding_is_that_of_a_saved_picture_and_lets_the_gradient_through():
    values = tf.constant([0.0, 0.3 / 255, 0.7 / 255, 1.0])
    with tf.GradientTape() as tape:
        tape.watch(values)
        rounded = round_to_8_bits(values)
        value = tf.reduce_sum(rounded * [1.0, 2.0, 3.0, 4.0])
    np.testing.assert_allclose(rounded, [0, 0, 1 / 255, 1], atol=1e-7)
    np.testing.assert_allclose(tape.gradient(value, values), [1, 2, 3, 4])


@pytest.mark.parametrize(
    "ramp, by_step",
    [
        (Ramp(2.0, delay=10, ramp=20), {-1: 0, 0: 0, 10: 0, 15: 0.5, 20: 1.0, 30: 2.0, 10_000: 2.0}),
        (Ramp(0.5, delay=3), {-1: 0, 2: 0, 3: 0.5, 4: 0.5}),
        (Ramp(4.0, ramp=4), {-5: 0, 0: 0, 1: 1.0, 3: 3.0, 4: 4.0}),
        (Ramp(1.0), {-1: 0, 0: 1.0}),
        (Ramp(0.0, 5, 5), {0: 0, 100: 0}),
    ],
)
def test_schedules_wait_rise_and_stay(ramp, by_step):
    for step, weight in by_step.items():
        for number in (step, tf.constant(step, tf.int64)):
            assert float(ramp(number)) == pytest.approx(weight)


@pytest.mark.parametrize("wrong", [{"scale": -1.0}, {"scale": 1.0, "delay": -1}, {"scale": 1.0, "ramp": -1}])
def test_negative_schedules_are_refused(wrong):
    with pytest.raises(ValueError, match="expected a (whole )?number at least 0, found -1"):
        Ramp(**wrong)


def test_the_message_loss_is_the_cross_entropy_a_bit():
    bits, logits = np.float32([[0, 1, 1]]), np.float32([[-2, 0.5, -1]])
    probability = 1 / (1 + np.exp(-logits))
    expected = -np.mean(bits * np.log(probability) + (1 - bits) * np.log(1 - probability))
    assert float(losses.message_loss(bits, logits)) == pytest.approx(expected, rel=1e-5)
    assert float(losses.message_loss(bits, 0 * logits)) == pytest.approx(np.log(2))


def test_the_image_losses_are_their_formulas():
    zero, tenth = tf.zeros([2, 16, 16, 3]), tf.fill([2, 16, 16, 3], 0.1)
    assert float(losses.residual_loss(zero, tenth)) == pytest.approx(0.01)
    pictures = _pictures(2)
    assert float(losses.ssim_loss(pictures, pictures)) == pytest.approx(0, abs=1e-6)
    noisy = tf.clip_by_value(pictures + 0.2 * tf.random.normal(pictures.shape, seed=1), 0, 1)
    assert float(losses.ssim_loss(pictures, noisy)) == pytest.approx(1 - np.mean(tf.image.ssim(pictures, noisy, 1.0)))


def test_the_critics_and_the_fooling_loss_are_least_squares():
    real, made = tf.constant([0.5, 1.0]), tf.constant([0.2, -1.0])
    assert float(losses.critic_loss(real, made)) == pytest.approx(0.125 + 0.52)
    assert float(losses.fooling_loss(made)) == pytest.approx((0.64 + 4) / 2)


def test_without_vgg_weights_the_perceptual_term_is_ssim():
    assert losses.perceptual_loss(None) is losses.ssim_loss


def test_missing_vgg_weights_are_named_with_where_to_get_them(tmp_path):
    with pytest.raises(ValueError, match="gone.h5: .*missing: fetch vgg16_weights.*notop.h5"):
        losses.perceptual_loss(str(tmp_path / "gone.h5"))


@pytest.mark.parametrize("name", ["weights.h5", "weights", "weights.index"])
@pytest.mark.parametrize("other", [False, True])
def test_files_that_do_not_hold_vggs_weights_are_refused_by_name(tmp_path, name, other):
    path = tmp_path / name
    if other:
        model = keras.Sequential([keras.Input([2]), keras.layers.Dense(2)])
        model.save_weights(str(tmp_path / "other.h5"))
        (tmp_path / "other.h5").rename(path)
    else:
        path.write_bytes(b"not weights")
    with pytest.raises(ValueError, match=f"{name}: not the weights of VGG16"):
        losses.perceptual_loss(str(path))


def test_the_perceptual_distance_is_nothing_for_equal_pictures_and_grows_with_noise(tmp_path):
    keras.utils.set_random_seed(1)
    path = str(tmp_path / "vgg.h5")
    keras.applications.VGG16(include_top=False, weights=None).save_weights(path)
    distance = losses.perceptual_loss(path)
    pictures, noise = _pictures(1), tf.random.normal([1, 32, 32, 3], seed=2)
    with tf.GradientTape() as tape:
        tape.watch(noise)
        little, much = (distance(pictures, pictures + scale * noise) for scale in (0.02, 0.2))
    assert float(distance(pictures, pictures)) == pytest.approx(0, abs=1e-6)
    assert 0 < float(little) < float(much) <= 4 * 5  # Five layers, each at most the square of a diameter.
    assert np.abs(tape.gradient(much, noise)).max() > 0


def test_the_config_makes_the_round_trip_through_json():
    config = TaggerConfig(critic=Ramp(0.5, 3, 4), black_box=("faceswap",), vgg_weights="a.h5", level="late")
    again = TaggerConfig.from_json(config.to_json())
    assert again == config and isinstance(again.critic, Ramp) and isinstance(again.black_box, tuple)
    assert json.loads(config.to_json())["critic"] == {"scale": 0.5, "delay": 3, "ramp": 4}


@pytest.mark.parametrize(
    "wrong, said",
    [
        ({"level": "middle"}, "level: expected one of raw, early, late, every, found 'middle'"),
        ({"image_size": 24}, "image_size: expected a whole number at least 32, a multiple of 16, found 24"),
        ({"image_size": 100}, "a multiple of 16, found 100"),
        ({"steps": 0}, "steps: expected a whole number at least 1, found 0"),
        ({"batch_size": 0}, "batch_size: expected a whole number at least 1, found 0"),
        ({"message_bits": 12, "code_length": 15}, "at most 11 message bits"),
        ({"code_length": 64}, "code_length: expected one of 0, 15, 31, 63, 127, 255, found 64"),
        ({"decoder_width": 12}, "decoder_width: expected a whole number at least 8, a multiple of 8, found 12"),
        ({"perturbations": {}}, "perturbations: expected at least one perturbation, found {}"),
        ({"perturbations": {"rain": {"low": 0, "high": 1}}}, "perturbations: expected names of jpeg, .*, found 'rain'"),
        ({"perturbations": {"jpeg": {"low": 0, "high": 9}}}, "jpeg's low and high, in this order, from 1 to 100"),
        ({"perturbations": {"haze": {"low": 0.5, "high": 0.4}}}, "haze's low and high, in this order, from 0 to 1"),
        (
            {"perturbations": {"haze": {"low": 0, "high": 1, "share": 0}}},
            r"perturbations.haze.share: .*over 0, found 0",
        ),
        (
            {"augmentation": {"crop": (1.0, 0.8)}},
            r"augmentation.crop: expected the lower bound first, found \[1.0, 0.8\]",
        ),
        (
            {"augmentation": {"crop": (0.0, 0.8)}},
            r"augmentation.crop\[0\]: expected a number over 0, at most 1, found 0.0",
        ),
    ],
)
def test_settings_that_cannot_work_are_refused(wrong, said):
    with pytest.raises(ValueError, match=said):
        TaggerConfig(**wrong)


@pytest.mark.parametrize("level", LEVELS)
def test_half_the_side_in_four_times_the_channels_gives_networks_of_the_same_pictures(level):
    encoder, decoder = networks.build_encoder(64, BITS, level, 8, 2), networks.build_decoder(64, BITS, 8, 2)
    assert encoder.output_shape == (None, 64, 64, 3) and decoder.output_shape == (None, BITS)
    first = next(layer for layer in encoder.layers if isinstance(layer, keras.layers.Conv2D))
    assert first.input_shape[1:3] == (32, 32)


def test_pixels_come_back_to_their_places_from_channels():
    picture = keras.Input([8, 8, 3])
    folded = networks._fold(picture, 8, 2)
    both = keras.Model(picture, [folded, networks._unfold(folded, 4, 2)])
    values = _pictures(2, 8)
    channels, back = both(values)
    np.testing.assert_array_equal(back, values)
    np.testing.assert_array_equal(channels[:, 1, 2], np.reshape(values[:, 2:4, 4:6], [2, 12]))


def test_what_pixels_blur_to_is_seen_and_single_pixels_are_not():
    grey = tf.fill([1, 32, 32, 3], 0.5)
    flicker = tf.cast(np.indices((32, 32)).sum(0) % 2 * 2 - 1, tf.float32)[None, :, :, None]
    even = float(losses.visibility_loss(grey, grey + 0.03))
    assert even > 50.0 * float(losses.visibility_loss(grey, grey + 0.03 * flicker)) > 0.0
    assert float(losses.visibility_loss(grey, grey)) == 0.0


def test_streaks_of_any_direction_cost_much_more_than_the_same_energy_in_grains():
    noise = np.random.default_rng(4).normal(0.0, 0.02, (2, 64, 64, 1)).astype(np.float32)
    row, column = np.indices((64, 64))
    lines = noise.reshape(2, -1, 1)
    streaks = [lines[:, each] for each in (row, column, row - column + 64, row + column)]
    of_noise, *of_streaks = (float(losses.streak_loss(tf.constant(each.repeat(3, -1)))) for each in (noise, *streaks))
    assert of_noise == pytest.approx(2 / 11, abs=0.05)
    assert of_streaks == pytest.approx([0.55] * 4, abs=0.1)  # Less at the rim.
    assert float(losses.streak_loss(tf.zeros([1, 32, 32, 3]))) == 0.0


def test_steering_costs_what_lies_where_simulators_change_the_picture():
    left = np.zeros((2, 64, 64, 3), np.float32)
    left[:, :, :32] = 0.1
    even, right = np.full_like(left, 0.02), left[:, :, ::-1]
    of_left, of_even, of_right = (
        float(losses.steering_loss(tf.constant(each), tf.constant(left))) for each in (left, even, right)
    )
    assert of_even == pytest.approx(1.0, abs=0.02)
    assert of_left > 1.8 and of_right < 0.2
    assert float(losses.steering_loss(tf.constant(left), tf.zeros_like(left))) == 0.0
