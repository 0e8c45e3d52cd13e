"""The style-based simulator: its layers' formulas, its losses, its training, its export."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from faketagger.components.contract import images, manifest
from faketagger.components.simulator import library
from faketagger.components.simulator.config import SimulatorConfig
from faketagger.components.simulator.generators import stylegan
from faketagger.components.simulator.generators.base import Faces
from faketagger.components.simulator.generators.stylegan_layers import EqualisedDense, ModulatedConvolution, NoiseInput
from faketagger.components.simulator.packing import export
from faketagger.components.simulator.quality.assess import Assessor
from faketagger.tests.simulator.helpers import faces_of

pytestmark = pytest.mark.slow

SIZE, WIDTH = 32, 8
CONFIG = SimulatorConfig(image_size=SIZE, width=WIDTH, batch_size=2, learning_rate=3e-3)
STEPS = 2  # Of the training that is cut off.


def _pictures(count=2):
    """Smooth ones, each of another colour."""
    rng, ramp = np.random.default_rng(4), np.linspace(-1, 1, SIZE)
    slopes = rng.uniform(-0.2, 0.2, (2, count, 1, 1, 3))
    middles = rng.uniform(0.4, 0.6, (count, 1, 1, 3))
    return np.float32(middles + slopes[0] * ramp[:, None, None] + slopes[1] * ramp[:, None])


def _normal(*shape):
    return np.float32(np.random.default_rng(6).normal(size=shape))


def _faces():
    return faces_of(_pictures(4))


def _untrained():
    keras.utils.set_random_seed(3)
    model = stylegan.StyleGAN.build_for(CONFIG, _faces())
    model.compile_for(CONFIG, STEPS)
    return model


@pytest.fixture(scope="module")
def model():
    """Untrained; tests leave it as it is."""
    return _untrained()


def _values(variables):
    return [variable.numpy() for variable in variables]


def _changed(before, variables):
    return [np.any(old != new) for old, new in zip(before, _values(variables))]


# Layers


@pytest.mark.parametrize("demodulate", [True, False])
def test_a_modulated_convolution_is_one_with_each_pictures_own_scaled_weights(demodulate):
    layer = ModulatedConvolution(5, 3, demodulate)
    features, w = _normal(2, 6, 6, 4), _normal(2, 7)
    made = layer([features, w])
    layer.bias.assign(_normal(5))
    styles = w @ layer.style.kernel.numpy() + 1.0
    for index, style in enumerate(styles):
        weights = layer.kernel.numpy() * style[None, None, :, None]
        if demodulate:
            weights /= np.sqrt(np.square(weights).sum((0, 1, 2)))
        expected = tf.nn.conv2d(features[index : index + 1], weights, 1, "SAME")[0]
        np.testing.assert_allclose(made[index], expected, atol=1e-5)
    np.testing.assert_allclose(layer([features, w]) - made, np.broadcast_to(layer.bias, made.shape), atol=1e-5)


def test_an_equalised_layer_keeps_the_variance_and_learns_at_its_share_of_the_rate():
    layer = EqualisedDense(200, rate=0.1)
    inputs = _normal(100, 64)
    before = layer(inputs)
    assert np.std(before) == pytest.approx(1.0, rel=0.05)
    layer.kernel.assign_add(tf.ones_like(layer.kernel) * 0.5)
    layer.bias.assign_add(tf.ones_like(layer.bias) * 0.5)
    expected = 0.1 * 0.5 * (inputs.sum(1, keepdims=True) / 8.0 + 1.0)
    np.testing.assert_allclose(layer(inputs) - before, np.broadcast_to(expected, before.shape), atol=1e-4)


def test_noise_is_fixed_outside_training_new_in_training_and_absent_at_first():
    layer, features = NoiseInput(seed=5), _normal(2, 8, 8, 3)
    np.testing.assert_array_equal(layer(features, training=True), features)
    layer.scale.assign([0.0, 1.0, 2.0])
    noise = np.random.default_rng(5).normal(size=[1, 8, 8, 1])
    added = layer(features, training=False) - features
    np.testing.assert_allclose(added, np.repeat(noise, 2, 0) * [0, 1, 2], atol=1e-5)
    first, second = (layer(features, training=True) - features for _ in range(2))
    assert np.abs(first - second).mean() > 0.3
    np.testing.assert_allclose(first[..., 2], 2 * first[..., 1], atol=1e-5)
    assert np.abs(first[0] - first[1]).mean() > 0.3


# Parts of the training


def test_a_shift_moves_each_picture_by_its_own_pixels_and_fills_with_zeros():
    images = _normal(3, 8, 8, 3)
    expected = np.zeros_like(images)
    expected[0, 2:, :-1] = images[0, :-2, 1:]
    expected[1, :-3, 4:] = images[1, 3:, :-4]
    expected[2] = images[2]
    moved = stylegan.shift(tf.constant(images), tf.constant([[2, -1], [-3, 4], [0, 0]]))
    np.testing.assert_array_equal(moved, expected)


def test_gradients_pass_through_the_augmentation_to_the_pixels_that_are_still_there():
    images = tf.constant(_normal(1, 8, 8, 3))
    with tf.GradientTape() as tape:
        tape.watch(images)
        value = tf.reduce_sum(stylegan.shift(images, tf.constant([[3, 0]])))
    expected = np.ones([1, 8, 8, 3])
    expected[:, 5:] = 0.0
    np.testing.assert_array_equal(tape.gradient(value, images), expected)


def test_the_augmentation_changes_light_colour_and_place_of_each_picture_within_its_bounds():
    tf.random.set_seed(2)
    images = np.tile(_pictures(1), [64, 1, 1, 1])
    made = stylegan.augment(tf.constant(images)).numpy()
    middle = made[:, 4:-4, 4:-4]  # A shift of at most an eighth never empties it.
    light = middle.mean((1, 2, 3)) - images[0].mean()
    assert 0.2 < light.max() < 0.3 and -0.3 < light.min() < -0.2
    colour = middle.mean((1, 2)).std(1) / images[0].mean((0, 1)).std()
    assert colour.min() < 0.2 and 1.5 < colour.max() < 3.1
    assert {int((picture[:, 16] != 0).any(-1).sum()) for picture in made} == {28, 29, 30, 31, 32}


def test_the_slope_penalty_of_a_linear_critic_is_its_squared_gradient():
    tf.random.set_seed(1)
    weights, images = _normal(4, 4, 3), np.zeros([4000, 4, 4, 3], np.float32)

    def critic(pictures):
        return tf.einsum("bijc,ijc->b", pictures, weights) + 7.0

    penalty = float(stylegan.slope_penalty(critic, tf.constant(images), critic(images)))
    assert penalty == pytest.approx(np.square(weights).sum(), rel=0.1)


def test_the_structure_loss_sees_the_grey_picture_only_and_each_picture_alone():
    images = np.repeat(_pictures(1), 2, 0)
    made = images.copy()
    made[0] += np.float32([0.1, -0.05, -0.05])
    made[1] = 1.0 - made[1]
    loss = stylegan.structure_loss(tf.constant(images), tf.constant(made))
    assert abs(float(loss[0])) < 1e-5 and float(loss[1]) > 0.1


def test_mixed_styles_are_coarse_ones_of_the_picture_then_the_other_w():
    w_plus, w = _normal(2, 7, 3), np.float32([[1.0, 2.0, 3.0]])
    mixed = stylegan.mix_styles(tf.constant(w_plus), tf.constant(w))
    np.testing.assert_array_equal(mixed[:, :3], w_plus[:, :3])
    np.testing.assert_array_equal(mixed[:, 3:], np.broadcast_to(w, [2, 4, 3]))


def test_every_channel_of_the_feature_code_is_normalised(model):
    code = model.encoder(_pictures())[1].numpy()
    assert code.shape == (2, 4, 4, 2 * WIDTH)
    # The normalisation's epsilon keeps the variance of a channel that barely varies below 1.
    np.testing.assert_allclose(code.mean((1, 2)), 0.0, atol=1e-5)
    assert np.all(code.var((1, 2)) < 1.0 + 1e-4) and np.median(code.var((1, 2))) > 0.5


@pytest.mark.parametrize("size, layers, side", [(32, 7, 4), (64, 9, 8), (128, 11, 8), (256, 13, 16)])
def test_w_plus_has_two_layers_a_doubling_and_the_code_its_side(size, layers, side):
    assert (stylegan.style_layers(size), stylegan.code_side(size)) == (layers, side)


def test_a_size_that_is_no_power_of_two_is_refused():
    with pytest.raises(ValueError, match="image_size: expected a power of two, .*found 48"):
        stylegan.StyleGAN.build_for(SimulatorConfig(image_size=48, width=WIDTH), _faces())


def test_batches_are_training_pictures_some_of_them_flipped(model):
    faces = _faces()
    known = {picture.tobytes(): "plain" for picture in faces.pictures}
    known.update({picture[:, ::-1].tobytes(): "flipped" for picture in faces.pictures})
    batches = list(model.batches(faces, CONFIG).take(8).as_numpy_iterator())
    assert {batch.shape for batch in batches} == {(2, SIZE, SIZE, 3)}
    assert {known[picture.tobytes()] for batch in batches for picture in batch} == {"plain", "flipped"}


# Training


def test_training_reconstructs_as_simulate_does_and_measures_offsets_in_variances_of_w(model):
    images = tf.constant(_pictures())
    made, kept, size = model._make(images)
    assert set(kept.numpy()) <= {0.0, 1.0}
    assert made.shape == (4, SIZE, SIZE, 3)
    np.testing.assert_allclose(made[:2], model.simulate(images, tf.zeros([2], tf.int32)), atol=1e-5)
    looks = model.mapping(model._fixed_z).numpy()
    expected = np.square(model.encoder(images)[0]).mean() / looks.var(0).mean()
    assert float(size) == pytest.approx(expected, rel=1e-3)


@pytest.fixture(scope="module")
def trained():
    """One whose optimisers' rates can be set, its step compiled once, and its first weights."""
    model = _untrained()
    model.optimizer, model.critic_optimizer = (keras.optimizers.Adam(0.0, beta_1=0.5) for _ in range(2))
    model.optimizer.build(model.generator_variables)
    model.critic_optimizer.build(model.critic.trainable_variables)
    return model, tf.function(model.train_step), model.get_weights()


def test_the_generators_step_leaves_the_critic_alone_and_reconstruction_improves(trained):
    model, step, first_weights = trained
    model.set_weights(first_weights)
    model.optimizer.learning_rate.assign(3e-3)
    model.critic_optimizer.learning_rate.assign(0.0)
    images = tf.constant(_pictures())
    generator, critic = _values(model.generator_variables), _values(model.critic.trainable_variables)
    losses = [float(step(images)["reconstruction"]) for _ in range(25)]
    assert not any(_changed(critic, model.critic.trainable_variables))
    assert all(_changed(generator, model.generator_variables))
    assert losses[-1] < 0.6 * losses[0]


def test_the_critics_step_leaves_the_generator_alone_and_tells_photographs_apart(trained):
    model, step, first_weights = trained
    model.set_weights(first_weights)
    model.optimizer.learning_rate.assign(0.0)
    model.critic_optimizer.learning_rate.assign(3e-3)
    images = tf.constant(_pictures())
    generator = _values(model.generator_variables)

    def margin():
        made = model.simulate(images, tf.zeros([2], tf.int32))
        return float(tf.reduce_mean(model.critic(images)) - tf.reduce_mean(model.critic(made)))

    before = margin()
    losses = [float(step(images)["critic"]) for _ in range(25)]
    assert not any(_changed(generator, model.generator_variables))
    assert losses[0] == pytest.approx(2 * np.log(2), abs=0.1)
    assert min(losses[-3:]) < losses[0] - 0.1 and margin() > before + 0.1


def test_a_training_that_was_cut_off_comes_back_with_both_optimisers(tmp_path):
    first = _untrained()

    def fit(model):
        model.run_eagerly = True  # Compiling it would take longer.
        backup = keras.callbacks.BackupAndRestore(str(tmp_path / "kept"), delete_checkpoint=False)
        batches = model.batches(_faces(), CONFIG)
        return model.fit(batches, epochs=1, steps_per_epoch=STEPS, callbacks=[backup], verbose=0)

    assert np.isfinite(list(fit(first).history.values())).all()
    second = _untrained()
    kept = [first.generator_variables, first.critic.trainable_variables]
    back = [second.generator_variables, second.critic.trainable_variables]
    assert not any(np.array_equal(old[0], new[0]) for old, new in zip(kept, back))
    fit(second)
    for old, new in zip(kept, back):
        for one, other in zip(old, new):
            np.testing.assert_array_equal(one, other)
    for name in ("optimizer", "critic_optimizer"):
        ours, theirs = getattr(first, name).variables, getattr(second, name).variables
        assert int(getattr(second, name).iterations) == STEPS
        assert len(ours) == len(theirs) and all(np.array_equal(one, other) for one, other in zip(ours, theirs))


# Simulation


def test_a_mixed_batch_gets_each_picture_its_own_condition_the_same_every_time(model):
    images = tf.constant(_pictures())
    together = model.simulate(images, tf.constant([1, 0]))
    np.testing.assert_array_equal(together, model.simulate(images, tf.constant([1, 0])))
    for index, condition in enumerate((1, 0)):
        alone = model.simulate(images[index : index + 1], tf.constant([condition]))
        np.testing.assert_allclose(together[index], alone[0], atol=1e-5)
        other = model.simulate(images[index : index + 1], tf.constant([1 - condition]))
        assert np.abs(alone - other).mean() > 1e-2


def test_style_mix_ignores_the_finer_offsets_and_keeps_the_coarser_and_the_code(model, monkeypatch):
    images = tf.constant(_pictures(1))
    offsets, code = model.encoder(images)
    coarse = offsets.shape[1] // 2

    def simulate(offsets, code, condition):
        monkeypatch.setattr(model, "encoder", lambda images, training: (offsets, code))
        return model.simulate(images, tf.constant([condition]))

    raised_fine = tf.concat([offsets[:, :coarse], offsets[:, coarse:] + 1.0], 1)
    raised_coarse = tf.concat([offsets[:, :coarse] + 1.0, offsets[:, coarse:]], 1)
    mixed, plain = simulate(offsets, code, 1), simulate(offsets, code, 0)
    np.testing.assert_array_equal(simulate(raised_fine, code, 1), mixed)
    assert np.abs(simulate(raised_fine, code, 0) - plain).mean() > 1e-3
    assert np.abs(simulate(raised_coarse, code, 1) - mixed).mean() > 1e-3
    assert np.abs(simulate(offsets, -code, 1) - mixed).mean() > 1e-3


def test_an_exported_one_makes_the_same_pictures_and_passes_gradients(model, tmp_path):
    described = manifest.SimulatorManifest("stylegan", model.FAMILY, list(model.conditions), SIZE, "none", "ours")
    assessor = Assessor(Faces(images.to_uint8(_pictures()), np.full([len(_pictures()), 40], -1)))
    export.save(str(tmp_path), model.simulate, described, assessor, tracked=model)
    loaded = library.load(str(tmp_path / "stylegan"))
    pictures = tf.constant(_pictures(3))
    for condition in range(len(model.conditions)):
        with tf.GradientTape() as tape:
            tape.watch(pictures)
            made = loaded(pictures, tf.fill([3], condition))
            value = tf.reduce_mean(tf.square(made))
        np.testing.assert_allclose(made, model.simulate(pictures, tf.fill([3], condition)), atol=1e-4)
        gradient = tape.gradient(value, pictures).numpy()
        assert np.isfinite(gradient).all() and np.mean(gradient != 0) > 0.9
