"""A tiny training learns to read, goes on where it was killed, and says when it is stuck."""

import dataclasses
import os
import signal
import subprocess
import sys
import warnings

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from faketagger.components.contract import features, images, manifest
from faketagger.components.faces import alignment
from faketagger.components.simulator import library
from faketagger.components.tagger import export, training
from faketagger.components.tagger.config import Augmentation, Drawn, FirstStage, TaggerConfig
from faketagger.components.tagger.schedules import Ramp
from faketagger.tests import helpers

pytestmark = pytest.mark.slow

SIZE = 32
CONFIG = TaggerConfig(
    image_size=SIZE,
    message_bits=8,
    code_length=0,
    encoder_width=8,
    decoder_width=16,
    min_psnr=18.0,
    start_psnr=16.0,
    psnr_ramp=20,
    residual=Ramp(1.0),
    perceptual=Ramp(0.0),
    critic=Ramp(0.0),
    learning_rate=1e-3,
    averaging=0.9,
    reads_below=0.3,
    steps=240,
    batch_size=16,
    stuck_after=240,
    perturbations={"noise": Drawn(0.0, 0.02)},  # All of them would take most of the time to trace.
)
RECORD = manifest.TaggerRecord(steps=1, level="early")
EPOCH = 10
KILLED_AT = 13

# Eagerly, as that needs no tracing: these few steps are then the quicker way.
KILLED_TRAINING = f"""
import os, signal, sys
import tensorflow as tf
from faketagger.components.tagger import training
from faketagger.components.tagger.config import TaggerConfig

tf.config.run_functions_eagerly(True)
training._EPOCH_STEPS = {EPOCH}
step = training.TaggerTraining.train_step

def step_and_die(self, images):
    if int(self.optimizer.iterations) == {KILLED_AT}:
        os.kill(os.getpid(), signal.SIGKILL)
    return step(self, images)

training.TaggerTraining.train_step = step_and_die
training.train(sys.argv[1], [], TaggerConfig.from_json(sys.argv[2]), sys.argv[3])
"""


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    """An Examples artifact with smooth pictures in its train split."""
    root = tmp_path_factory.mktemp("examples")
    pictures = images.to_uint8(helpers.smooth_pictures(np.random.default_rng(0), 24, SIZE))
    records = [helpers.record(each, str(number)) for number, each in enumerate(pictures)]
    helpers.write_records(root, features.TRAIN_SPLIT, records)
    return str(root)


@pytest.fixture
def eagerly(monkeypatch):
    """Steps without tracing, epochs of one step: quicker where only a few are wanted."""
    monkeypatch.setattr(training, "_EPOCH_STEPS", 1)
    tf.config.run_functions_eagerly(True)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*does not apply to tf.data functions")
        yield
    tf.config.run_functions_eagerly(False)


def _changed(**changes):
    return CONFIG.replace(**changes)


def test_a_killed_training_goes_on_where_it_stopped_and_learns_to_read(examples, tmp_path, monkeypatch):
    checkpoints = str(tmp_path / "checkpoints")
    killed = subprocess.run(
        [sys.executable, "-c", KILLED_TRAINING, examples, CONFIG.to_json(), checkpoints],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr[-2000:]

    monkeypatch.setattr(training, "_EPOCH_STEPS", EPOCH)
    started_at, fit, skipped, photographs = [], keras.Model.fit, [], training._photographs

    def noting_photographs(uri, config, taken):
        skipped.append(taken)
        return photographs(uri, config, taken)

    monkeypatch.setattr(training, "_photographs", noting_photographs)

    def noting_fit(self, *args, callbacks, **kwargs):
        note = lambda *_: started_at.append(int(self.optimizer.iterations))  # noqa: E731
        noting = keras.callbacks.LambdaCallback(on_epoch_begin=note)
        return fit(self, *args, callbacks=[*callbacks, noting], **kwargs)

    monkeypatch.setattr(keras.Model, "fit", noting_fit)
    model, last = training.train(examples, [], CONFIG, checkpoints)
    assert started_at == list(range(EPOCH, CONFIG.steps, EPOCH))  # Of 13 steps the last checkpoint has 10.
    assert int(model.optimizer.iterations) == CONFIG.steps
    assert skipped == [EPOCH]
    assert model.reads and last["plain"] > 0.95 and last["psnr"] > CONFIG.start_psnr - 0.1

    # A process that is killed after the training, in the export, finds the trained model again.
    again, _ = training.train(examples, [], CONFIG, checkpoints)
    assert started_at[-1] == CONFIG.steps - EPOCH and int(again.optimizer.iterations) == CONFIG.steps
    for kept, restored in zip(model.get_weights(), again.get_weights()):
        np.testing.assert_array_equal(kept, restored)
    assert again.reads


def test_a_training_that_goes_on_has_the_batches_that_it_would_have_had(examples):
    def batches(taken):
        tf.random.set_seed(1)
        return [each.numpy() for each, _ in training._photographs(examples, CONFIG, taken).take(5 - taken)]

    for expected, found in zip(batches(0)[3:], batches(3), strict=True):
        np.testing.assert_array_equal(found, expected)
    assert np.abs(batches(0)[0] - batches(3)[0]).max() > 0.01


def test_photographs_are_kept_as_8_bits_and_trained_on_as_they_are_read(tmp_path, monkeypatch):
    pictures = images.to_uint8(helpers.smooth_pictures(np.random.default_rng(1), 12, SIZE + 8))  # Resized on the way.
    helpers.write_records(tmp_path, features.TRAIN_SPLIT, [helpers.record(each, "face") for each in pictures])
    kept, cache = [], tf.data.Dataset.cache

    def noting_cache(self):
        kept.append(self.element_spec[features.IMAGE].dtype)
        return cache(self)

    monkeypatch.setattr(tf.data.Dataset, "cache", noting_cache)
    found = training._photographs(str(tmp_path), CONFIG)
    assert kept == [tf.uint8]
    read = features.read_dataset(str(tmp_path), features.TRAIN_SPLIT, SIZE)
    numbered = read.cache().shuffle(4096, seed=CONFIG.seed).repeat().enumerate()
    expected = numbered.map(lambda *each: training._varied(*each, CONFIG)).batch(CONFIG.batch_size)
    for (batch, _), (as_read, _) in zip(found.take(3), expected.take(3), strict=True):
        np.testing.assert_array_equal(batch, as_read)


def test_a_training_goes_on_from_an_exported_tagger_without_a_first_stage(examples, tmp_path, eagerly):
    begun, _ = training.train(examples, [], _changed(steps=1, reads_below=9.0), str(tmp_path / "first"))
    export.save(begun.encoder, begun.decoder, CONFIG, RECORD, str(tmp_path / "tagger"))
    config = _changed(steps=1, start_from=str(tmp_path / "tagger"), learning_rate=1e-12, seed=2)
    went_on, _ = training.train(examples, [], config, str(tmp_path / "second"))
    assert went_on.reads and float(went_on.contrast) == 1.0
    for mine, given in zip(went_on.decoder.get_weights(), begun.decoder.get_weights()):
        np.testing.assert_allclose(mine, given, atol=1e-6)
    assert np.abs(went_on.decoder.get_weights()[0]).sum() > 0


@pytest.mark.parametrize("wrong", ["missing", "other sizes"])
def test_what_no_training_can_go_on_from_is_refused(examples, tmp_path, eagerly, wrong):
    directory = str(tmp_path / "tagger")
    if wrong == "other sizes":
        other = _changed(encoder_width=12)
        model = training.TaggerTraining(other, 8, [])
        export.save(model.encoder, model.decoder, other, RECORD, directory)
    said = "not an exported tagger" if wrong == "missing" else "its networks are of other sizes"
    with pytest.raises(ValueError, match=f"start_from: {directory}: {said}"):
        training.train(examples, [], _changed(steps=1, start_from=directory), str(tmp_path / "kept"))


def test_a_decoder_at_chance_ends_the_training_in_words(examples, tmp_path, eagerly):
    config = _changed(steps=6, stuck_after=3, learning_rate=1e-9, message_bits=30, batch_size=32)
    with pytest.raises(training.TrainingStuck, match=r"after 3 steps .* bit accuracy 0\.\d+ only .* try a lower"):
        training.train(examples, [], config, str(tmp_path))


def test_a_training_too_short_to_read_is_not_passed_off_as_one_that_reads(examples, tmp_path, eagerly):
    # As many bits as keep chance apart from reading.
    config = _changed(steps=2, learning_rate=1e-9, message_bits=30, batch_size=32)
    with pytest.raises(training.TrainingStuck, match="2 steps were too few"):
        training.train(examples, [], config, str(tmp_path))


# One step


class _Halving:
    """Stands for a loaded simulator that halves the contrast; counts its calls and keeps the conditions asked for."""

    def __init__(self):
        self.signatures = {"simulate": self._simulate}
        self.asked = []

    def _simulate(self, images, condition):
        self.asked.append(condition.numpy())
        return {"images": 0.25 + images / 2}


def _simulator(name, family="identity_swap", model=None):
    described = manifest.SimulatorManifest(name, family, ("a", "b"), SIZE, "none", "ours")
    return library.Simulator(described, model)


def _model(simulators, **changes):
    model = training.TaggerTraining(_changed(**changes), 2, simulators)
    model.compile_for(100)
    return model


PICTURES = np.float32(np.random.default_rng(4).integers(60, 200, (8, SIZE, SIZE, 3)) / 255)
BATCH = (tf.constant(PICTURES), tf.fill([len(PICTURES), 5, 2], float("nan")))  # No face was found in them.


def test_simulators_join_once_the_decoder_reads_and_not_before(eagerly):
    halving = _Halving()
    model = _model([_simulator("swap", model=halving)])
    model.train_step(BATCH)
    assert not halving.asked
    model.reads_since.assign(0)
    for _ in range(3):
        model.train_step(BATCH)
    assert len(halving.asked) == 3
    assert set(np.concatenate(halving.asked)) == {0, 1}  # A condition for each picture.


def test_a_tool_is_a_way_of_its_own_and_sees_crops_of_the_face(eagerly):
    halving = _Halving()
    described = _simulator("swap").manifest.replace(tools=("inswapper",), tool_conditions=("b",))
    model = _model([library.Simulator(described, halving)])
    assert [(each.first, each.count) for each in model._groups] == [(0, 2), (2, 1)]
    landmarks = tf.tile(alignment.CELEBA_HQ.landmarks(1)[None], [8, 1, 1])
    made = model._simulate(tf.constant(PICTURES), landmarks, tf.constant(1), tf.zeros([8], tf.int32)).numpy()
    assert set(np.concatenate(halving.asked)) == {1}  # Of its two conditions the one that tools ask for.
    middle, corner = np.s_[:, SIZE // 2, SIZE // 2], np.s_[:, 0, 0]
    assert np.abs(made - PICTURES)[middle].min() > 0.005
    np.testing.assert_allclose(made[corner], PICTURES[corner], atol=0.02)


@pytest.mark.parametrize("straight_through, slope", [((), 0.5), (("swap",), 1.0)])
def test_straight_through_simulators_make_the_same_with_the_identitys_gradient(eagerly, straight_through, slope):
    model = _model([_simulator("swap", model=_Halving())], straight_through=straight_through)
    pictures = tf.constant(PICTURES)
    with tf.GradientTape() as tape:
        tape.watch(pictures)
        made = model._simulate(pictures, BATCH[1], tf.constant(0), tf.zeros([8], tf.int32))
    np.testing.assert_allclose(made, 0.25 + PICTURES / 2, atol=1e-6)
    np.testing.assert_allclose(tape.gradient(made, pictures), slope)


def test_what_has_no_gradient_is_trained_straight_through(eagerly):
    model = _model([dataclasses.replace(_simulator("swap", model=_Halving()), has_gradient=False)])
    pictures = tf.constant(PICTURES)
    with tf.GradientTape() as tape:
        tape.watch(pictures)
        made = model._simulate(pictures, BATCH[1], tf.constant(0), tf.zeros([8], tf.int32))
    np.testing.assert_allclose(made, 0.25 + PICTURES / 2, atol=1e-6)
    np.testing.assert_allclose(tape.gradient(made, pictures), 1.0)


def test_several_versions_of_one_encoding_go_through_simulators_drawn_apart(eagerly):
    swaps = [_Halving() for _ in range(2)]
    model = _model([_simulator(f"swap_{number}", model=each) for number, each in enumerate(swaps)], versions=3)
    model.reads_since.assign(0)
    for _ in range(6):
        model.train_step(BATCH)
    assert len(swaps[0].asked) + len(swaps[1].asked) == 18
    assert min(len(each.asked) for each in swaps) > 0


def test_strengths_vary_what_is_added_from_picture_to_picture(eagerly, monkeypatch):
    model, added = _model([], strengths=(0.5, 2.0), start_psnr=30.0), []
    read = model._read_plain
    monkeypatch.setattr(
        model, "_read_plain", lambda tagged, codeword: added.append(tagged.numpy()) or read(tagged, codeword)
    )
    model.contrast.assign(1.0)
    model.train_step(BATCH)
    psnr = tf.image.psnr(added[0], PICTURES, 1.0).numpy()
    assert 30.0 - 6.1 < psnr.min() < psnr.max() < 30.0 + 6.1 and np.ptp(psnr) > 2.0


def test_the_trained_weights_are_the_average_of_those_of_the_steps(examples, tmp_path, eagerly, monkeypatch):
    seen, step = [], training.TaggerTraining.train_step

    def noting(self, data):
        seen.append(self.decoder.get_weights())
        return step(self, data)

    monkeypatch.setattr(training.TaggerTraining, "train_step", noting)
    model, _ = training.train(examples, [], _changed(steps=1, reads_below=9.0, averaging=0.75), str(tmp_path))
    moved = model.optimizer.learning_rate.numpy()  # What Adam's first step moves every weight by, near enough.
    for before, averaged in zip(seen[0], model.decoder.get_weights()):
        np.testing.assert_allclose(np.abs(averaged - before).max(), 0.25 * moved, rtol=0.2)


def test_landmarks_follow_their_photograph_through_mirroring_and_cropping(tmp_path):
    """One white pixel's place is the left eye's, in whatever half and window of the picture it ends."""
    pixels = np.zeros([SIZE, SIZE, 3], np.uint8)
    pixels[8:11, 12:15] = 255
    landmarks = np.tile(np.float32([[13.5, 9.5]]) / SIZE, [5, 1])
    example = features.make_example(images.encode_png(pixels), "dot", "drawn", features.attributes_from({}), SIZE, SIZE)
    example.features.feature[features.LANDMARKS].float_list.value.extend(landmarks.ravel())
    helpers.write_records(str(tmp_path), features.TRAIN_SPLIT, [example.SerializeToString()])
    config = _changed(augmentation=Augmentation(crop=(0.8, 1.0), brightness=0.0), batch_size=16)
    batch, places = next(training._photographs(str(tmp_path), config).as_numpy_iterator())
    rows, columns = np.mgrid[0:SIZE, 0:SIZE] + 0.5
    for picture, place in zip(batch[..., 0], places):
        light = picture - np.median(picture)
        found = [(light * each).sum() / light.sum() for each in (columns, rows)]
        np.testing.assert_allclose(place * SIZE, np.tile(found, [5, 1]), atol=0.6)
    assert places[:, 0, 0].min() < 0.5 < places[:, 0, 0].max()  # Some were mirrored.


@pytest.mark.parametrize("share, least, most", [(0.5, 3, 9), (0.0, 0, 0), (1.0, 12, 12)])
def test_a_share_of_deepfakes_is_perturbed_before_they_are_read(eagerly, monkeypatch, share, least, most):
    tf.random.set_seed(1)
    model, seen = _model([_simulator("swap", model=_Halving())], perturbed_simulated=share), []
    model._perturbations = [tf.zeros_like]
    model.reads_since.assign(0)
    decode = model.decoder.call
    monkeypatch.setattr(
        model.decoder, "call", lambda inputs, **how: seen.append(inputs.numpy()) or decode(inputs, **how)
    )
    for _ in range(12):
        model.train_step(BATCH)
    made = [batch[2 * len(PICTURES) :] for batch in seen]  # After the plain and the perturbed pictures.
    perturbed = sum(not batch.any() for batch in made)
    assert least <= perturbed <= most and {len(batch) for batch in made} == {len(PICTURES)}


def test_a_step_trains_encoder_and_decoder_and_the_critic_once_its_weight_is_up(eagerly):
    model = _model([], critic=Ramp(0.1, delay=1))
    networks = {"encoder": model.encoder, "decoder": model.decoder, "critic": model.critic}

    def trained():
        before = {name: [each.numpy() for each in net.trainable_variables] for name, net in networks.items()}
        model.train_step(BATCH)
        return {
            name for name, net in networks.items()
            if any((old != new.numpy()).any() for old, new in zip(before[name], net.trainable_variables))
        }  # fmt: skip

    assert trained() == {"encoder", "decoder"}
    model.reads_since.assign(0)
    assert trained() == {"encoder", "decoder", "critic"}


def test_the_bound_on_psnr_goes_from_start_to_end_after_the_decoder_reads(eagerly):
    model = _model([], start_psnr=14.0, min_psnr=34.0, psnr_ramp=10)
    # Far louder than allowed, so that the bound is what is seen.
    model.encoder.layers[-1].kernel.assign(1e3 * model.encoder.layers[-1].kernel)
    assert -0.1 < model.train_step(BATCH)["psnr"] - 14 < 2.5  # Clipping takes some of it away.
    model.reads_since.assign(0)
    model.optimizer.iterations.assign(1000)
    model._means["psnr"].reset_states()
    assert float(model.train_step(BATCH)["psnr"]) == pytest.approx(34, abs=0.2)


def test_the_running_message_loss_decides_when_the_decoder_reads(eagerly):
    model = _model([], reads_below=0.5)
    model._message_loss.assign(0.1)
    model.optimizer.iterations.assign(40)
    model.train_step(BATCH)
    assert not model.reads  # Pictures this grey are no photographs.
    model.contrast.assign(1.0)
    model.train_step(BATCH)
    assert model.reads and int(model.reads_since) == 42
    model.train_step(BATCH)
    assert int(model.reads_since) == 42


def test_pictures_gain_contrast_only_while_they_are_read(eagerly, monkeypatch):
    model, seen = _model([]), []
    encode = model.encoder.call
    monkeypatch.setattr(
        model.encoder, "call", lambda inputs, **how: seen.append(inputs[0].numpy()) or encode(inputs, **how)
    )
    for running_loss in (0.69, 0.4, 0.4):
        model._message_loss.assign(running_loss)
        model.train_step(BATCH)
    contrasts = [float(np.std(batch) / np.std(PICTURES)) for batch in seen]
    assert contrasts == pytest.approx([0.1, 0.1, 0.11], abs=1e-3)


def test_the_first_stage_is_as_the_config_says(eagerly):
    model = _model(
        [], first_stage=FirstStage(first_contrast=0.3, more_contrast=0.2, smoothing=0.0, more_contrast_below=9)
    )
    assert float(model.contrast) == pytest.approx(0.3)
    model.train_step(BATCH)
    assert float(model.contrast) == pytest.approx(0.5)
    assert float(model._message_loss) != pytest.approx(0.693, abs=1e-4)


def test_perturbations_are_drawn_from_the_configs_ranges_and_shares(eagerly):
    model = _model([], perturbations={"noise": Drawn(0.0, 0.02), "jpeg": Drawn(40, 60, share=3)})
    drawn = {type(each).__name__: (each.strength, share) for each, share in zip(model._perturbations, model._shares)}
    assert drawn == {"Jpeg": ((40.0, 60.0), 3.0), "GaussianNoise": ((0.0, 0.02), 1.0)}


def test_photographs_are_varied_as_the_config_says(examples):
    def first(**augmentation):
        config = _changed(augmentation=Augmentation(**augmentation), batch_size=1)
        return next(training._photographs(examples, config).as_numpy_iterator())[0]

    same = dict(flip=False, crop=(1.0, 1.0), brightness=0.0, contrast=(1.0, 1.0), saturation=(1.0, 1.0))
    photographs = [
        example[features.IMAGE].numpy() for example in features.read_dataset(examples, features.TRAIN_SPLIT, SIZE)
    ]
    least = min(np.abs(first(**same)[0] - each).max() for each in photographs)
    assert least <= 0.5 / 255
    assert np.ptp(first(**{**same, "saturation": (0.0, 0.0)})[0], axis=-1).max() < 1e-6
    assert first(**{**same, "contrast": (0.0, 0.0)})[0].std(axis=(0, 1)).max() < 1e-4


def test_white_box_leaves_out_black_boxes_and_perturbation():
    simulators = [_simulator("swap"), _simulator("noise", "perturbation"), _simulator("stylegan", "entire_synthesis")]
    assert training.white_box(simulators, _changed(black_box=("stylegan",))) == simulators[:1]
    assert training.white_box(simulators, CONFIG) == [simulators[0], simulators[2]]


def test_an_unknown_black_box_is_refused_with_the_names_that_are_there():
    with pytest.raises(ValueError, match="black_box names stilgan, but the simulators are swap, stylegan"):
        training.white_box([_simulator("swap"), _simulator("stylegan")], _changed(black_box=("stilgan",)))
