"""The geometry of reenactment, its losses, its training and what it makes, alone and exported."""

import csv
import os

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from faketagger.components.contract import images, manifest
from faketagger.components.simulator import library
from faketagger.components.simulator.config import SimulatorConfig
from faketagger.components.simulator.generators import reenactment
from faketagger.components.simulator.generators.reenactment import MOTIONS, PLACES, Reenactment
from faketagger.components.simulator.packing import export
from faketagger.components.simulator.quality.assess import Assessor
from faketagger.tests.simulator.helpers import faces_of

pytestmark = pytest.mark.slow

SIZE = 32
SIDE = 16
CONFIG = SimulatorConfig(image_size=SIZE, width=8, batch_size=2, learning_rate=2e-3, seed=4)
NAMES = list(PLACES)
KEYPOINTS = np.float32(list(PLACES.values()))


def _drawn_faces(count=2, size=SIZE):
    """Skin, eyes, a mouth and a background, each picture in its own colours: float32 [count, size, size, 3]."""
    random = np.random.default_rng(5)
    rows, columns = (np.mgrid[:size, :size] + 0.5) / size
    pictures = np.broadcast_to(random.uniform(0.1, 0.9, (count, 1, 1, 3)), (count, size, size, 3)).copy()
    pictures[:, np.hypot((rows - 0.55) / 0.42, (columns - 0.5) / 0.3) < 1] = random.uniform(0.5, 0.9, (count, 1, 3))
    for row, column, width in ((0.475, 0.375, 0.08), (0.475, 0.625, 0.08), (0.745, 0.5, 0.12)):
        inside = np.hypot((rows - row) / 0.05, (columns - column) / width) < 1
        pictures[:, inside] = random.uniform(0.0, 0.3, (count, 1, 3))
    return np.float32(pictures)


class _Losses(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.each = []

    def on_train_batch_end(self, batch, logs=None):
        self.each.append(dict(logs))


def _untrained(seed):
    keras.utils.set_random_seed(seed)
    model = Reenactment.build_for(CONFIG, faces_of(_drawn_faces()))
    model.compile_for(CONFIG, 30)
    return model


@pytest.fixture(scope="module")
def model():
    return _untrained(1)


@pytest.fixture(scope="module")
def trained():
    """A model after 30 steps on two drawn faces, and its losses by step."""
    model, losses = _untrained(2), _Losses()
    pictures = _drawn_faces()
    model.fit(model.batches(faces_of(pictures), CONFIG), steps_per_epoch=30, callbacks=[losses], verbose=0)
    return model, losses.each


def _every_condition(count=1):
    """Each drawn face under each condition: pictures and conditions, [count · 4, …]."""
    pictures = np.repeat(_drawn_faces(count), len(MOTIONS), axis=0)
    return tf.constant(pictures), tf.constant(list(range(len(MOTIONS))) * count)


# Driving motions


def test_a_turning_head_shifts_its_keypoints_as_a_cylinder_with_a_nose():
    shifts = dict(zip(NAMES, MOTIONS["turn_right"]))
    cosine, sine = np.cos(np.radians(18)), np.sin(np.radians(18))
    assert shifts["chin"] == pytest.approx([0.0, 0.3 * sine])
    assert shifts["nose"] == pytest.approx([0.0, 0.38 * sine])
    depth = np.sqrt(0.3**2 - 0.125**2)
    assert shifts["eye_right"] == pytest.approx([0.0, 0.125 * cosine + depth * sine - 0.125])
    assert shifts["nose"][1] > shifts["eye_right"][1] > shifts["jaw_right"][1]


def test_the_motions_are_symmetric_and_left_mirrors_right():
    swapped = [name.replace("left", "x").replace("right", "left").replace("x", "right") for name in NAMES]
    opposite = [NAMES.index(name) for name in swapped]
    mirrored = {name: motions[opposite] * [1, -1] for name, motions in MOTIONS.items()}
    np.testing.assert_allclose(mirrored["turn_left"], MOTIONS["turn_right"], atol=1e-12)
    for name in ("smile", "open_mouth"):
        np.testing.assert_allclose(mirrored[name], MOTIONS[name])


def test_a_smile_lifts_and_widens_the_mouth_and_opening_parts_the_lips():
    smile, opening = (dict(zip(NAMES, MOTIONS[name])) for name in ("smile", "open_mouth"))
    assert smile["mouth_left"][0] < smile["lip_upper"][0] < 0
    assert smile["mouth_left"][1] < 0 < smile["mouth_right"][1]
    assert opening["lip_upper"][0] < 0 < opening["chin"][0] < opening["lip_lower"][0]


# Geometry


def test_the_expectation_of_a_grid_is_the_place_of_the_heat():
    heat_maps = np.zeros([1, 8, 8, 2], np.float32)
    heat_maps[0, 2, 5, 0] = 1.0
    heat_maps[0, 2, 5, 1] = heat_maps[0, 6, 5, 1] = 0.5
    found = reenactment.expectation(heat_maps, reenactment.grid(8)[None])
    np.testing.assert_allclose(found, [[[2.5 / 8, 5.5 / 8], [4.5 / 8, 5.5 / 8]]])


def test_the_dense_motion_is_the_softmax_mix_of_the_keypoints_motions():
    random = np.random.default_rng(1)
    keypoints, motions = random.uniform(0.2, 0.8, (2, 3, 2)), random.normal(size=(2, 3, 2))
    logits = random.normal(size=(2, 8, 8, 4))
    keypoints, motions, logits = (np.float32(each) for each in (keypoints, motions, logits))
    made = reenactment.dense_motion(tf.constant(keypoints), tf.constant(motions), 8, tf.constant(logits))
    for b, row, column in ((0, 0, 0), (0, 3, 5), (1, 7, 2)):
        squares = np.sum((keypoints[b] - [(row + 0.5) / 8, (column + 0.5) / 8]) ** 2, -1)
        masks = np.exp(np.concatenate([[-2.0], -squares / (2 * 0.09**2)]) + logits[b, row, column])
        np.testing.assert_allclose(made[b, row, column], masks[1:] / masks.sum() @ motions[b], atol=1e-5)


def test_far_from_every_keypoint_nothing_moves():
    made = reenactment.dense_motion(tf.constant([[[0.8, 0.8]]]), tf.ones([1, 1, 2]), 16, tf.zeros([1, 1, 1, 2])).numpy()
    assert made[0, 0, 0] == pytest.approx(0, abs=1e-6) and made[0, 12, 12, 0] > 0.8


@pytest.mark.parametrize("side", [SIZE, 8])
def test_content_moves_by_the_motion_whatever_grid_it_is_given_on(side):
    pictures = _drawn_faces()
    motion = np.broadcast_to(np.float32([3 / SIZE, -2 / SIZE]), [2, side, side, 2])
    moved = reenactment.move(tf.constant(pictures), tf.constant(motion))
    np.testing.assert_allclose(moved[:, 3:, :-2], pictures[:, :-3, 2:], atol=1e-5)


def test_the_deformation_tells_what_place_each_pixel_shows():
    keras.utils.set_random_seed(3)
    places = np.concatenate([reenactment.grid(SIZE), np.zeros([SIZE, SIZE, 1], np.float32)], -1)
    deformed, shown = reenactment.deform(tf.constant(np.stack([places] * 3)))
    np.testing.assert_allclose(deformed[..., :2], np.clip(shown, 0.5 / SIZE, 1 - 0.5 / SIZE), atol=1e-5)
    apart = np.abs(shown - reenactment.grid(SIZE)).mean((1, 2, 3))
    assert np.all(apart > 0.01) and len(set(np.round(apart, 5))) == 3
    assert np.abs(shown - reenactment.grid(SIZE)).max() < 0.5


# Losses


def test_untrained_keypoints_are_at_their_places(model):
    found = model.keypoints(_drawn_faces()).numpy()
    np.testing.assert_allclose(found, np.stack([KEYPOINTS] * 2), atol=0.03)
    heat_maps = model.heat_maps(_drawn_faces())
    np.testing.assert_allclose(tf.reduce_sum(heat_maps, [1, 2]), np.ones([2, len(NAMES)]), atol=1e-5)


def test_an_undeformed_picture_has_no_geometric_loss_and_a_shift_that_is_not_followed_costs_its_length(model):
    pictures = tf.constant(_drawn_faces())
    places = np.stack([reenactment.grid(SIZE)] * 2)
    still = model.losses(pictures, pictures, tf.constant(places))[0]
    assert float(still["keypoints"]) == pytest.approx(0, abs=1e-5)
    assert float(still["motion"]) == pytest.approx(0, abs=1e-5)
    found = model.keypoints(pictures).numpy().mean(0)
    assert float(still["places"]) == pytest.approx(np.abs(found - KEYPOINTS).mean(), abs=1e-5)
    shifted = model.losses(pictures, pictures, tf.constant(places + np.float32([0.1, -0.05])))[0]
    assert float(shifted["keypoints"]) == pytest.approx(0.075, abs=1e-5)
    assert float(shifted["motion"]) == pytest.approx(0.075, abs=1e-5)


def test_the_reconstruction_loss_is_that_of_the_photograph_and_what_is_made_of_the_deformed(model):
    pictures = tf.constant(_drawn_faces())
    keras.utils.set_random_seed(3)
    deformed, places = reenactment.deform(pictures)
    found, there = (model.keypoints(each) for each in (deformed, pictures))
    made = model._render(deformed, *model._motion(deformed, found, there))
    expected = tf.reduce_mean(tf.abs(pictures - made)) + tf.reduce_mean(1 - tf.image.ssim(pictures, made, 1.0)) / 2
    # Untrained, the detector sees nothing, so jittered colours change nothing.
    assert float(model.losses(pictures, deformed, places)[0]["reconstruction"]) == pytest.approx(
        float(expected), abs=1e-4
    )


def test_training_restores_the_pictures_better_and_undoes_the_deformation(trained):
    _, losses = trained
    first, last = losses[:5], losses[-5:]
    for name, share in (("loss", 0.8), ("reconstruction", 0.8)):
        assert np.mean([each[name] for each in last]) < share * np.mean([each[name] for each in first]), name


def test_keypoints_learn_to_follow_the_picture(trained, model):
    pictures = _drawn_faces()
    shift = 3
    moved = np.roll(pictures, shift, axis=2)  # Its edges are of one colour: nothing shows where it is cut.
    followed = (trained[0].keypoints(moved) - trained[0].keypoints(pictures)).numpy()[..., 1].mean()
    ignored = (model.keypoints(moved) - model.keypoints(pictures)).numpy()[..., 1].mean()
    assert followed > 0.2 * shift / SIZE and ignored == pytest.approx(0, abs=1e-5)


def test_every_part_gets_a_gradient(trained):
    model = trained[0]
    deformed, places = reenactment.deform(tf.constant(_drawn_faces()))
    with tf.GradientTape() as tape:
        loss = tf.add_n(list(model.losses(tf.constant(_drawn_faces()), deformed, places)[0].values()))
    gradients = tape.gradient(loss, model.trainable_variables)
    assert {part.name for part in model.layers} == {"detector", "motion_network", "encoder", "decoder"}
    missing = [v.name for v, gradient in zip(model.trainable_variables, gradients) if gradient is None]
    assert not missing and all(np.all(np.isfinite(gradient)) for gradient in gradients)


# Training's run


def test_batches_are_endless_and_of_whole_size_pictures_mirrored_or_not():
    faces = faces_of(np.random.default_rng(0).uniform(size=(3, SIZE, SIZE, 3)))
    taken = [batch.numpy() for batch in Reenactment(SIZE, 8).batches(faces, CONFIG).take(8)]
    assert {batch.shape for batch in taken} == {(2, SIZE, SIZE, 3)}
    known = {picture.tobytes() for picture in np.concatenate([faces.pictures, faces.pictures[:, :, ::-1]])}
    seen = {picture.tobytes() for batch in taken for picture in batch}
    assert seen <= known and len(seen) > 3


def test_a_checkpoint_holds_weights_and_optimiser(trained, tmp_path):
    model, other = trained[0], _untrained(9)
    pictures, conditions = _every_condition()
    assert np.abs(model.simulate(pictures, conditions) - other.simulate(pictures, conditions)).max() > 0.01
    path = tf.train.Checkpoint(model=model).save(str(tmp_path / "checkpoint"))
    tf.train.Checkpoint(model=other).restore(path).assert_existing_objects_matched().assert_consumed()
    np.testing.assert_array_equal(other.simulate(pictures, conditions), model.simulate(pictures, conditions))
    assert int(other.optimizer.iterations) == 30
    for mine, restored in zip(model.optimizer.variables, other.optimizer.variables):
        np.testing.assert_array_equal(restored, mine)


# Simulation


def test_each_condition_makes_another_picture_and_a_mixed_batch_gets_each_its_own(trained):
    model = trained[0]
    pictures, conditions = _every_condition(2)
    mixed = model.simulate(pictures, conditions).numpy()
    assert mixed.shape == pictures.shape and mixed.min() >= 0 and mixed.max() <= 1
    for index in range(len(pictures)):
        alone = model.simulate(pictures[index : index + 1], conditions[index : index + 1])
        np.testing.assert_allclose(alone[0], mixed[index], atol=1e-5)
    for first in range(len(MOTIONS)):
        for second in range(first):
            assert np.abs(mixed[first] - mixed[second]).max() > 0.02, (first, second)


def test_the_driving_motion_carries_the_face_to_where_the_condition_says(model):
    pictures = tf.constant(_drawn_faces(1))
    source = model.keypoints(pictures)
    for name, motions in MOTIONS.items():
        motion, _ = model._motion(pictures, source, source + np.float32(motions))
        strongest = np.argmax(np.abs(motions).max(1))
        row, column = np.int32((source[0, strongest].numpy() + motions[strongest]) * SIDE)
        at_it = motion[0, row, column].numpy()
        assert at_it @ motions[strongest] > 0.3 * motions[strongest] @ motions[strongest], name


def test_what_cannot_be_carried_is_painted_without_the_source(model):
    motion = tf.zeros([2, SIDE, SIDE, 2])
    hidden = model._render(tf.constant(_drawn_faces()), motion, tf.zeros([2, SIDE, SIDE, 1]))
    carried = model._render(tf.constant(_drawn_faces()), motion, tf.ones([2, SIDE, SIDE, 1]))
    np.testing.assert_allclose(hidden[0], hidden[1], atol=1e-6)
    assert np.abs(carried[0] - carried[1]).max() > 0.01


def test_no_pixel_goes_round_the_generator(model):
    painting = model.decoder.layers[-1]
    weights = painting.get_weights()
    painting.set_weights([np.zeros_like(each) for each in weights])
    made = model.simulate(*_every_condition())
    painting.set_weights(weights)
    np.testing.assert_allclose(made, np.full([4, SIZE, SIZE, 3], 0.5))


def test_the_exported_simulator_makes_the_same_and_hands_gradients_on(trained, tmp_path):
    model = trained[0]
    described = manifest.SimulatorManifest(
        "reenactment", model.FAMILY, list(model.conditions), SIZE, "drawn faces", "none"
    )
    assessor = Assessor(faces_of(_drawn_faces()))
    export.save(str(tmp_path), model.simulate, described, assessor, tracked=model)
    loaded = library.load(str(tmp_path / "reenactment"))
    assert loaded.manifest.family == "reenactment" and set(loaded.manifest.change) == set(MOTIONS)
    pictures, conditions = _every_condition()
    with tf.GradientTape() as tape:
        tape.watch(pictures)
        made = loaded(pictures, conditions)
        value = tf.reduce_sum(tf.square(made))
    gradient = tape.gradient(value, pictures).numpy()
    np.testing.assert_allclose(made, model.simulate(pictures, conditions), atol=1e-4)
    assert np.all(np.isfinite(gradient))
    assert np.all(np.mean(np.abs(gradient) > 1e-7, axis=(1, 2, 3)) > 0.9)


@pytest.mark.parametrize("size", [48, 64])
def test_pictures_of_other_sizes_keep_theirs(size):
    model = Reenactment(size, 8)
    made = model.simulate(tf.constant(_drawn_faces(1, size)), tf.constant([3]))
    assert made.shape == (1, size, size, 3)


def test_every_motion_changes_real_photographs_by_more_than_26_db(photographs):
    with open(os.path.join(photographs, "attributes.csv"), encoding="utf-8") as table:
        paths = [row["image"] for row in csv.DictReader(table) if row["split"] == "eval"][:12]
    pixels = [images.square(images.load_image(os.path.join(photographs, path)), 64) for path in paths]
    pictures = tf.constant(np.stack([images.to_float(each) for each in pixels]))
    keypoints = tf.constant(np.stack([KEYPOINTS] * len(paths)))
    for name, motions in MOTIONS.items():
        motions = tf.constant(np.float32(np.stack([motions] * len(paths))))
        dense = reenactment.dense_motion(keypoints + motions, motions, 32, tf.zeros([1, 1, 1, 1]))
        psnr = tf.image.psnr(pictures, reenactment.move(pictures, dense), 1.0)
        assert float(tf.reduce_mean(psnr)) < 26, name
