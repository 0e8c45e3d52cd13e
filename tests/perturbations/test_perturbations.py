"""Each perturbation by its formula, eagerly and in graphs; random in training, fixed in evaluation."""

import math
import warnings

import numpy as np
import pytest
import scipy.ndimage
import tensorflow as tf

from faketagger.components.perturbations import catalogue, geometry, jpeg, light, texture, unseen, weather
from faketagger.components.tagger.config import Geometry, TaggerConfig

TRAINING = {
    catalogue.TRAINED_UNDER[name].__name__: catalogue.TRAINED_UNDER[name]((drawn.low, drawn.high))
    for name, drawn in TaggerConfig().perturbations.items()
}
EVALUATION = {**catalogue.evaluation_perturbations(), "rain_0.3": unseen.perturbations()["rain_0.3"]}
NAMED = {**TRAINING, **EVALUATION}

# By class: the strength that changes nothing, a weak one and a strong one.
STRENGTHS = {
    geometry.Resize: (1.0, 0.8, 0.4),
    geometry.Crop: (1.0, 0.97, 0.7),
    geometry.Rotation: (0.0, 2.0, -20.0),
    geometry.Border: (0.0, 0.02, 0.2),
    geometry.CutOut: (1.0, 0.97, 0.5),
    texture.GaussianNoise: (0.0, 0.01, 0.05),
    texture.Grain: (0.0, 0.01, 0.05),
    texture.GaussianBlur: (0.0, 0.5, 2.0),
    light.Brightness: (0.0, -0.05, -0.3),
    light.Contrast: (0.0, 0.1, 0.5),
    light.Hue: (0.0, 0.02, 0.2),
    light.Saturation: (0.0, -0.1, -0.8),
    light.Exposure: (0.0, 0.1, 1.0),
    light.Vignetting: (0.0, 0.1, 0.8),
    weather.Haze: (0.0, 0.1, 0.6),
    weather.Rain: (0.0, 0.1, 0.6),
}
ON_OR_OFF = {geometry.Mirror}  # Of no strengths between.
JPEGS = {jpeg.Jpeg: (100.0, 90.0, 20.0), jpeg.RealJpeg: (100.0, 90.0, 20.0)}


def _pictures(count=2, height=32, width=48, low=0.0, high=1.0):
    """Smooth colours with some noise, so that neither a blur nor a shift leaves them as they are."""
    random = np.random.default_rng(6)
    coarse = random.uniform(low, high, (count, 4, 4, 3))
    smooth = scipy.ndimage.zoom(coarse, (1, height / 4, width / 4, 1), order=1)
    return np.float32(np.round(np.clip(smooth + random.normal(0, 0.05, smooth.shape), low, high) * 255) / 255)


def _fixed(kind, strength):
    return kind((strength, strength))


@pytest.fixture(scope="module")
def in_tf_data():
    """What every perturbation makes of _pictures() inside tf.data, by name."""
    tf.random.set_seed(1)
    pictures = tf.data.Dataset.from_tensors(_pictures())
    perturbed = pictures.map(lambda batch: {name: perturb(batch) for name, perturb in NAMED.items()})
    return next(perturbed.as_numpy_iterator())


def test_every_class_is_trained_with_or_judged_by():
    kinds = {type(each) for each in NAMED.values()}
    assert kinds == {*STRENGTHS, *JPEGS, *ON_OR_OFF}


@pytest.mark.parametrize("mode", ["eager", "tf.data"])
@pytest.mark.parametrize("name", NAMED)
def test_range_and_shape_are_kept_and_the_picture_changed(name, mode, in_tf_data):
    tf.random.set_seed(1)  # A small picture may be resized by less than a pixel.
    pictures = _pictures()
    made = np.asarray(NAMED[name](tf.constant(pictures))) if mode == "eager" else in_tf_data[name]
    assert made.shape == pictures.shape and made.dtype == np.float32
    assert -1e-6 <= made.min() and made.max() <= 1 + 1e-6  # Straight-through rounding costs a last bit.
    assert np.abs(made - pictures).mean() > 1e-4


def test_pictures_of_any_size_are_taken_also_where_a_graph_does_not_know_it():
    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3])])
    def perturb_all(pictures):
        return [perturb(pictures) for perturb in NAMED.values()]

    for count, height, width in [(1, 1024, 40), (3, 33, 64), (2, 32, 32)]:
        pictures = np.random.default_rng(1).random((count, height, width, 3), np.float32)
        for name, made in zip(NAMED, perturb_all(tf.constant(pictures))):
            assert made.shape == pictures.shape, name
            assert np.isfinite(made).all() and -1e-6 <= np.min(made) and np.max(made) <= 1 + 1e-6, name


@pytest.mark.parametrize("kind", STRENGTHS)
def test_the_neutral_strength_changes_nothing(kind):
    pictures = _pictures()
    np.testing.assert_allclose(_fixed(kind, STRENGTHS[kind][0])(tf.constant(pictures)), pictures, atol=2e-6)


@pytest.mark.parametrize("kind", {**STRENGTHS, **JPEGS})
def test_a_stronger_strength_changes_more(kind):
    pictures = _pictures(low=0.2, high=0.8)
    _, weak, strong = {**STRENGTHS, **JPEGS}[kind]
    changes = [np.abs(_fixed(kind, strength)(tf.constant(pictures)) - pictures).mean() for strength in (weak, strong)]
    assert changes[1] > 1.1 * changes[0] > 0


@pytest.mark.parametrize("name", EVALUATION)
def test_evaluation_makes_the_same_of_a_picture_at_each_call_in_any_batch(name, in_tf_data):
    pictures = _pictures()
    alone = EVALUATION[name](tf.constant(pictures[1:]))
    among_others = EVALUATION[name](tf.constant(pictures[[1, 0, 1]]))
    for made in (alone[0], among_others[0], among_others[2], in_tf_data[name][1]):
        np.testing.assert_allclose(made, alone[0], atol=1e-5)


@pytest.mark.parametrize("name", ["crop_0.9", "noise_0.02", "grain_0.03", "haze_0.3", "rain_0.3"])
def test_evaluation_draws_for_each_picture_its_own(name):
    pictures = _pictures()
    pictures[1] = pictures[0]
    pictures[1, 0, 0, 0] = 1.0 - pictures[0, 0, 0, 0]  # All but the same picture.
    made = EVALUATION[name](tf.constant(pictures)).numpy()
    assert np.abs(made[0, 8:] - made[1, 8:]).mean() > 1e-3


@pytest.mark.parametrize("name", TRAINING)
def test_training_is_different_at_each_call(name):
    tf.random.set_seed(1)  # Three draws may be the same: JPEG has few qualities, a small picture few sizes.
    pictures = tf.constant(_pictures(low=0.2, high=0.8))
    drawn = [np.asarray(TRAINING[name](pictures)) for _ in range(3)]
    assert np.abs(drawn[0] - drawn[1]).max() > 1e-4 or np.abs(drawn[0] - drawn[2]).max() > 1e-4


_FOR_THE_BATCH = ("Resize", "GaussianBlur")


@pytest.mark.parametrize("name", [name for name in TRAINING if name not in _FOR_THE_BATCH])
def test_training_draws_for_each_picture_its_own_strength(name):
    tf.random.set_seed(1)  # Two of four may draw the same JPEG quality.
    same = tf.constant(np.repeat(_pictures(1, low=0.2, high=0.8), 4, 0))
    made = TRAINING[name](same).numpy()
    assert len({picture.tobytes() for picture in made}) == 4


@pytest.mark.parametrize("name", TRAINING)
def test_gradients_flow_through_the_training_ones(name):
    pictures = tf.constant(_pictures(low=0.4, high=0.6))
    with tf.GradientTape() as tape:
        tape.watch(pictures)
        value = tf.reduce_mean(tf.square(TRAINING[name](pictures)))
    gradient = tape.gradient(value, pictures).numpy()
    least = TRAINING[name].strength[0] ** 2 - 0.05 if name == "Crop" else 0.9  # What is cut away has none.
    assert np.isfinite(gradient).all() and np.mean(gradient != 0) > least


@pytest.mark.parametrize("share", [0.5, 0.85])
def test_what_a_crop_enlarges_weighs_as_much_more_in_the_gradient(share):
    pictures = tf.ones([2, 64, 64, 3])
    with tf.GradientTape() as tape:
        tape.watch(pictures)
        value = tf.reduce_sum(geometry.Crop((share, share))(pictures))
    total = tf.reduce_sum(tape.gradient(value, pictures))
    np.testing.assert_allclose(total, value, rtol=0.03)


@pytest.mark.parametrize("name", TRAINING)
def test_gradients_are_finite_in_black_white_and_grey(name):
    flat = tf.constant(np.float32([0.0, 1.0, 0.5])[:, None, None, None] * np.ones((3, 32, 32, 3), np.float32))
    with tf.GradientTape() as tape:
        tape.watch(flat)
        value = tf.reduce_mean(tf.square(TRAINING[name](flat)))
    assert np.isfinite(tape.gradient(value, flat)).all()


# What each does


@pytest.mark.parametrize("added", [-0.3, 0.1])
def test_brightness_adds_its_strength_and_clips(added):
    pictures = _pictures()
    made = _fixed(light.Brightness, added)(tf.constant(pictures))
    np.testing.assert_allclose(made, np.clip(pictures + added, 0, 1), atol=1e-5)


@pytest.mark.parametrize("strength", [-0.2, 0.3])
def test_contrast_scales_each_channels_distance_from_its_mean(strength):
    pictures = _pictures() * np.float32([0.9, 0.5, 0.7])
    mean = pictures.mean((1, 2), keepdims=True)
    made = _fixed(light.Contrast, strength)(tf.constant(pictures))
    np.testing.assert_allclose(made, np.clip(mean + (1 + strength) * (pictures - mean), 0, 1), atol=1e-5)


def test_noise_has_its_strength_as_standard_deviation_and_no_mean():
    grey = np.full((4, 64, 64, 3), 0.5, np.float32)
    added = texture.GaussianNoise((0.03, 0.03 + 1e-6))(tf.constant(grey)).numpy() - grey
    assert added.std() == pytest.approx(0.03, rel=0.05)
    assert abs(added.mean()) < 0.001
    neighbours = np.corrcoef(added[:, :, 1:].ravel(), added[:, :, :-1].ravel())[0, 1]
    assert abs(neighbours) < 0.05


def test_grain_is_grey_correlated_and_strongest_in_mid_grey():
    levels = np.float32([0.0, 0.1, 0.5, 0.9, 1.0])
    flat = np.repeat(levels, 64 * 64 * 3).reshape(5, 64, 64, 3)
    added = _fixed(texture.Grain, 0.03)(tf.constant(flat)).numpy() - flat
    assert np.abs(added - added[..., :1]).max() < 1e-6
    np.testing.assert_allclose(added.std((1, 2, 3)), 0.03 * 2 * np.sqrt(levels * (1 - levels)), rtol=0.1, atol=1e-6)
    grain = added[2, :, :, 0]
    for distance, expected in ((1, math.exp(-1 / 2.56)), (2, math.exp(-4 / 2.56)), (5, 0.0)):
        correlation = np.corrcoef(grain[:, distance:].ravel(), grain[:, :-distance].ravel())[0, 1]
        assert correlation == pytest.approx(expected, abs=0.08)


@pytest.mark.parametrize("deviation", [0.5, 1.0, 2.0])
def test_blur_is_a_gaussian_cut_at_three_deviations_with_mirrored_edges(deviation):
    pictures = _pictures()
    expected = scipy.ndimage.gaussian_filter(pictures, (0, deviation, deviation, 0), mode="reflect", truncate=3.0)
    made = _fixed(texture.GaussianBlur, deviation)(tf.constant(pictures))
    np.testing.assert_allclose(made, expected, atol=1e-4)


def test_resize_at_full_scale_changes_nothing_and_at_half_scale_loses_the_finest_chequers():
    chequers = np.float32(np.indices((32, 32)).sum(0) % 2)[None, :, :, None].repeat(3, -1)
    whole = _fixed(geometry.Resize, 1.0)(tf.constant(chequers))
    half = _fixed(geometry.Resize, 0.5)(tf.constant(chequers))
    np.testing.assert_allclose(whole, chequers, atol=1e-5)
    np.testing.assert_allclose(half[:, 4:-4, 4:-4], np.full((1, 24, 24, 3), 0.5), atol=0.02)


def test_resize_keeps_smooth_pictures():
    slope = np.float32(np.linspace(0.2, 0.8, 32))[None, :, None, None] * np.ones((1, 32, 32, 3), np.float32)
    made = _fixed(geometry.Resize, 0.5)(tf.constant(slope))
    np.testing.assert_allclose(made[:, 4:-4], slope[:, 4:-4], atol=0.005)


def test_resize_never_shrinks_to_nothing():
    made = _fixed(geometry.Resize, 0.001)(tf.constant(_pictures()))
    np.testing.assert_allclose(made, np.broadcast_to(made[:, :1, :1], made.shape), atol=1e-5)  # One pixel, enlarged.


def test_crop_enlarges_a_window_of_its_share_that_lies_inside_the_picture():
    rows, columns = np.mgrid[0:1:33j, 0:1:65j]
    place = np.repeat(np.float32(np.stack([rows, columns, 0 * rows], -1))[None], 8, 0)
    made = geometry.Crop((0.7, 0.7 + 1e-6))(tf.constant(place)).numpy()[..., :2]
    first, last = made[:, 0, 0], made[:, -1, -1]
    np.testing.assert_allclose(last - first, 0.7, atol=1e-5)
    assert first.min() >= 0 and last.max() <= 1 and np.ptp(first, axis=0).min() > 0.05
    between = np.linspace(first, last, 9, axis=1)
    np.testing.assert_allclose(made[:, ::4, 0, 0], between[..., 0], atol=1e-5)
    np.testing.assert_allclose(made[:, 0, ::8, 1], between[..., 1], atol=1e-5)


@pytest.mark.parametrize("degrees", [5.0, -20.0])
def test_rotation_turns_about_the_middle_and_is_black_outside(degrees):
    rows, columns = np.mgrid[0:64, 0:64] + 0.5
    blob = np.exp(-((columns - 48) ** 2 + (rows - 32) ** 2) / 18)
    made = _fixed(geometry.Rotation, degrees)(tf.constant(np.float32(blob[None, :, :, None].repeat(3, -1)))).numpy()
    place = (made[0, :, :, 0, None] * np.stack([columns, rows], -1)).sum((0, 1)) / made[0, :, :, 0].sum()
    angle = math.radians(degrees)
    np.testing.assert_allclose(place, [32 + 16 * math.cos(angle), 32 + 16 * math.sin(angle)], atol=0.1)
    white = _fixed(geometry.Rotation, degrees)(tf.ones([1, 64, 64, 3])).numpy()
    assert white[0, 0, 0].max() < 0.1 and white[0, 32, 32].min() > 0.99


def test_mirror_is_the_mirror_image():
    pictures = _pictures()
    np.testing.assert_array_equal(_fixed(geometry.Mirror, 1.0)(tf.constant(pictures)), pictures[:, :, ::-1])
    np.testing.assert_array_equal(_fixed(geometry.Mirror, 0.0)(tf.constant(pictures)), pictures)


def test_a_border_is_of_one_colour_and_the_picture_whole_inside_it():
    pictures = np.full((3, 60, 60, 3), 0.5, np.float32)
    pictures[:, 0] = pictures[:, -1] = pictures[:, :, 0] = pictures[:, :, -1] = 1.0
    pictures[1:, 30, 30] = np.float32([0.2, 0.8])[:, None]
    made = _fixed(geometry.Border, 0.1)(tf.constant(pictures)).numpy()
    assert np.ptp(made[:, :4], axis=(1, 2)).max() < 1e-5  # 5 of 60 are the frame's.
    assert np.ptp(made[:, 0, 0], axis=0).max() > 0.05  # Each picture's its own.
    np.testing.assert_allclose(made[:, 8:52, 8:25], 0.5, atol=1e-5)


def test_of_a_cut_out_the_window_stays_where_it_was_and_its_rim_is_drawn_out():
    tf.random.set_seed(3)
    pictures = _pictures(30, 60, 60)
    made = _fixed(geometry.CutOut, 0.6)(tf.constant(pictures)).numpy()
    kept = np.all(made == pictures, -1)
    for each, seen, picture in zip(kept, made, pictures):
        rows, columns = (np.flatnonzero(each.mean(axis) > 0.3) for axis in (1, 0))
        assert 33 <= len(rows) <= 37 and 33 <= len(columns) <= 37  # 0.6 of 60.
        assert 8 <= columns[0] <= 16 and 11 <= rows[0] <= 22  # In the middle, and rather below it.
        corner = picture[rows[0] : rows[0] + 1, columns[0] : columns[0] + 1]
        np.testing.assert_allclose(seen[0, 0], corner[0, 0], atol=1e-5)
        assert np.ptp(seen[: rows[0] - 6, : columns[0] - 6], axis=(0, 1)).max() < 1e-5


def test_misalignment_keeps_within_what_it_is_told_and_leaves_the_others_alone():
    tf.random.set_seed(2)
    rows, columns = np.mgrid[0:64, 0:64] + 0.5
    blob = np.float32(np.exp(-((columns - 32) ** 2 + (rows - 32) ** 2) / 18))[None, :, :, None].repeat(3, -1)
    told = Geometry(share=0.5, shift=0.1, scale=0.2, rotation=8.0)
    made = geometry.Misalignment(told)(tf.constant(blob.repeat(200, 0))).numpy()[..., 0]
    mass = made.sum((1, 2))
    places = (made[..., None] * np.stack([columns, rows], -1)).sum((1, 2)) / mass[:, None]
    moved = np.abs(made - blob[..., 0]).max((1, 2)) > 1e-3
    assert 0.35 < moved.mean() < 0.65
    assert 5.0 < np.abs(places - 32).max() < 6.4 + 0.2
    assert np.all(mass / blob[..., 0].sum() < 1.2**2 * 1.03) and mass.max() > 1.2 * mass.min()


def test_misalignment_goes_only_as_far_as_the_part_it_is_told():
    tf.random.set_seed(2)
    slope = np.float32(np.linspace(0, 1, 64))[None, None, :, None] * np.ones((100, 64, 1, 3), np.float32)
    told = Geometry(share=1.0, shift=0.1, scale=0.0, rotation=0.0)
    moved = geometry.Misalignment(told)
    middle = (slice(None), 32, slice(12, 52), 0)
    far, near = (np.abs(moved(tf.constant(slope), part).numpy() - slope)[middle].max() for part in (1.0, 0.25))
    assert 0.07 < far < 0.11 and 0.25 * 0.07 < near < 0.25 * 0.11
    each = np.repeat(np.float32([1.0, 0.25, 0.0]), [40, 40, 20])
    by_part = np.split(np.abs(moved(tf.constant(slope), tf.constant(each)).numpy() - slope)[middle], [40, 80])
    assert 0.07 < by_part[0].max() < 0.11 and 0.25 * 0.07 < by_part[1].max() < 0.25 * 0.11 and by_part[2].max() < 1e-5


def test_misaligned_pictures_are_mirrored_as_often_as_told():
    tf.random.set_seed(2)
    slope = np.float32(np.linspace(0, 1, 32))[None, None, :, None] * np.ones((300, 32, 1, 3), np.float32)
    told = Geometry(share=1.0, shift=0.0, scale=0.0, rotation=0.0, mirrored=0.3)
    made = geometry.Misalignment(told)(tf.constant(slope)).numpy()
    assert np.mean(made[:, 16, 0, 0] > 0.5) == pytest.approx(0.3, abs=0.08)


def _hue(picture):
    return tf.image.rgb_to_hsv(picture)[..., 0].numpy()


def test_hue_turns_colours_the_way_of_hsv_and_keeps_greys_and_luma():
    pictures = _pictures(low=0.35, high=0.65)
    made = _fixed(light.Hue, 0.1)(tf.constant(pictures)).numpy()
    luma = np.float32([0.299, 0.587, 0.114])
    np.testing.assert_allclose(made @ luma, pictures @ luma, atol=1e-5)
    grey = tf.fill([1, 32, 32, 3], 0.3)
    np.testing.assert_allclose(_fixed(light.Hue, 0.1)(grey), grey, atol=1e-5)
    turned = (_hue(made) - _hue(pictures)) % 1.0
    assert np.median(turned) == pytest.approx(0.1, abs=0.03)
    back = _fixed(light.Hue, -0.1)(tf.constant(made))
    np.testing.assert_allclose(back, pictures, atol=1e-5)


def test_hue_is_tensorflow_addons_rotation_in_yiq():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Its end-of-life notice.
        from tensorflow_addons.image import adjust_hsv_in_yiq
    pictures = tf.constant(_pictures(low=0.35, high=0.65))
    expected = adjust_hsv_in_yiq(pictures, delta_hue=-2 * math.pi * 0.1, scale_saturation=0.8)
    made = light.turn_colours(pictures, tf.fill([2, 1, 1, 1], 0.1), tf.fill([2, 1, 1, 1], 0.8))
    np.testing.assert_allclose(made, expected, atol=1e-4)


def test_saturation_scales_the_distance_from_luma_down_to_grey():
    pictures = _pictures(low=0.3, high=0.7)
    luma = (pictures @ np.float32([0.299, 0.587, 0.114]))[..., None]
    for strength in (-1.0, -0.3, 0.2):
        made = _fixed(light.Saturation, strength)(tf.constant(pictures))
        np.testing.assert_allclose(made, luma + (1 + strength) * (pictures - luma), atol=1e-5)


def _light(values):
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


@pytest.mark.parametrize("stops", [-2.0, 0.5, 1.0])
def test_exposure_multiplies_the_light_and_clips_at_white(stops):
    pictures = _pictures()
    made = _fixed(light.Exposure, stops)(tf.constant(pictures)).numpy()
    np.testing.assert_allclose(_light(made), np.minimum(_light(pictures) * 2**stops, 1.0), atol=1e-5)


def test_vignetting_takes_its_share_of_light_in_the_corners_and_none_in_the_centre():
    white = tf.ones([1, 33, 65, 3])
    made = _light(_fixed(light.Vignetting, 0.5)(white).numpy())[0, :, :, 0]
    assert made[16, 32] == pytest.approx(1.0, abs=1e-5)
    np.testing.assert_allclose(made[[0, 0, -1, -1], [0, -1, 0, -1]], 0.5, atol=1e-4)
    # cos⁴ of the angle whose tangent grows with the distance from the centre.
    tangent = np.sqrt(np.sqrt(2) - 1) * np.hypot(*np.mgrid[-16:17, -32:33]) / np.hypot(16, 32)
    np.testing.assert_allclose(made, np.cos(np.arctan(tangent)) ** 4, atol=1e-4)


def test_haze_blends_to_the_veil_by_depth():
    pictures = _pictures()
    strength, veil = np.float32([0.3, 0.6]).reshape(2, 1, 1, 1), np.float32([0.8, 1.0]).reshape(2, 1, 1, 1)
    for depth in (0.5, 1.0, 1.5):
        made = weather.haze(tf.constant(pictures), strength, tf.fill([2, 3, 3, 1], depth), veil)
        share = (1 - strength) ** depth
        np.testing.assert_allclose(made, pictures * share + veil * (1 - share), atol=1e-5)


def test_haze_is_light_smooth_and_uneven():
    black = tf.zeros([1, 64, 64, 3])
    veil = _fixed(weather.Haze, 0.5)(black).numpy()[0, :, :, 0]
    assert 0.7 * (1 - 0.5**0.4) < veil.min() and veil.max() < 1 - 0.5**1.6
    assert np.ptp(veil) > 0.05 and np.abs(np.diff(veil, axis=0)).max() < 0.03


def test_rain_falls_in_streaks_of_its_length_along_its_slant():
    drops = np.ones((1, 32 + 8, 64, 1), np.float32)
    drops[0, 20, 10] = 0.0  # One drop; its streak is 8 pixels long and ends on row 19.
    for slant in (0.0, 0.5):
        grey, strength, slants = tf.fill([1, 32, 64, 3], 0.5), tf.fill([1, 1, 1, 1], 0.4), tf.fill([1, 1, 1, 1], slant)
        made = weather.rain(grey, strength, drops, slants)
        expected = np.full((32, 64), 0.5)
        for row in range(12, 20):
            expected[row, 10 + int(np.round(slant * row))] += 0.4 * 0.5
        np.testing.assert_allclose(made[0, :, :, 1], expected, atol=1e-5)


def test_rain_lightens_about_a_fifth_of_a_picture_and_darkens_nothing():
    pictures = _pictures(4, 64, 64, high=0.8)
    added = _fixed(weather.Rain, 0.5)(tf.constant(pictures)).numpy() - pictures
    assert added.min() > -1e-6 and 0.1 < np.mean(added > 0.01) < 0.3
    assert (added / (1 - pictures)).max() < 0.5 + 1e-5


# What is refused


@pytest.mark.parametrize("kind", {**STRENGTHS, **JPEGS})
def test_strengths_beyond_the_limits_are_refused_by_name(kind):
    lowest, highest = kind.LIMITS
    kind((lowest, highest))
    for beyond in ((lowest - 0.01, highest), (lowest, highest + 0.01), (math.nan, highest), (lowest, math.nan)):
        with pytest.raises(ValueError, match=f"{kind.__name__}: strengths go from {lowest:g} to {highest:g}, got"):
            kind(beyond)


def test_an_empty_range_of_strengths_is_refused_by_name():
    with pytest.raises(ValueError, match=r"GaussianBlur: .*\(2.0, 1.0\) is empty"):
        texture.GaussianBlur((2.0, 1.0))


@pytest.mark.parametrize("strength", [0.5, (0.5,), (0.1, 0.2, 0.3), "ab", None])
def test_what_is_no_range_is_refused_by_name(strength):
    with pytest.raises(ValueError, match=r"Haze: strength must be \(lowest, highest\), got"):
        weather.Haze(strength)


# Random choice


def test_random_choice_applies_as_many_as_asked_and_any_of_them():
    add = [lambda images: images + 1.0, lambda images: images + 10.0]
    zero = tf.zeros([1, 2, 2, 3])
    seen = {float(tf.reduce_max(catalogue.apply_random(add, zero, times=2))) for _ in range(40)}
    assert seen == {2.0, 11.0, 20.0}


def test_random_choice_goes_by_shares():
    tf.random.set_seed(1)
    add, zero = [lambda images: images + 1.0, lambda images: images + 10.0], tf.zeros([1, 2, 2, 3])
    drawn = [float(tf.reduce_max(catalogue.apply_random(add, zero, times=1, shares=[3.0, 1.0]))) for _ in range(200)]
    assert drawn.count(1.0) / len(drawn) == pytest.approx(0.75, abs=0.1)
    assert drawn.count(1.0) + drawn.count(10.0) == len(drawn)


def test_random_choice_draws_anew_inside_a_graph_and_lets_gradients_through():
    perturbations = list(TRAINING.values())

    @tf.function
    def step(pictures):
        with tf.GradientTape() as tape:
            tape.watch(pictures)
            made = catalogue.apply_random(perturbations, pictures)
            value = tf.reduce_mean(tf.square(made))
        return made, tape.gradient(value, pictures)

    pictures = tf.constant(_pictures(low=0.3, high=0.7))
    drawn = [step(pictures) for _ in range(6)]
    assert len({made.numpy().tobytes() for made, _ in drawn}) == 6
    for made, gradient in drawn:
        assert made.shape == pictures.shape and np.isfinite(gradient).all() and np.any(gradient)


def test_random_choice_traces_each_perturbation_once():
    traced = []

    def note(images):
        traced.append(images.shape)
        return images * 2.0

    doubled = tf.function(lambda images: catalogue.apply_random([note], images, times=3))(tf.ones([1, 2, 2, 3]))
    np.testing.assert_array_equal(doubled, np.full([1, 2, 2, 3], 8.0))
    assert traced == [(1, 2, 2, 3)]
