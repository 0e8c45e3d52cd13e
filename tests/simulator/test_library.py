"""Simulators written, found, loaded and measured."""

import gc
import itertools
import json
import os
import shutil
import types

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from faketagger.components.contract import features, images, manifest, signatures
from faketagger.components.perturbations import catalogue, jpeg
from faketagger.components.simulator import library, training
from faketagger.components.simulator.config import SimulatorConfig
from faketagger.components.simulator.packing import export
from faketagger.components.simulator.quality.assess import Assessor
from faketagger.tests import helpers
from faketagger.tests.simulator.helpers import faces_of

SIZE = 32


def _manifest(name="swap", conditions=("a", "b"), size=SIZE, change=None):
    return manifest.SimulatorManifest(name, "identity_swap", list(conditions), size, "none", "ours", change or {})


def _pictures(count=3, low=40, high=200):
    # The largest SSIM window is 11 pixels: real pictures are larger.
    return np.float32(np.random.default_rng(8).integers(low, high, (count, SIZE, SIZE, 3)) / 255)


def _assessor(pictures=None):
    pictures = _pictures() if pictures is None else pictures
    return Assessor(faces_of(pictures))


MIXING = np.float32([[0.5, 0.2, 0.0], [0.3, 0.6, 0.1], [0.2, 0.2, 0.9]])


def _mixed(pictures):
    return pictures @ MIXING


def _mixing_model():
    """A network that mixes the channels by known weights."""
    model = keras.Sequential([keras.Input([SIZE, SIZE, 3]), keras.layers.Conv2D(3, 1, use_bias=False)])
    model.set_weights([MIXING[None, None]])
    return model


@pytest.fixture(scope="module")
def mixers(tmp_path_factory):
    """A directory with one simulator, `swap`, that mixes the channels."""
    directory, model = tmp_path_factory.mktemp("mixers"), _mixing_model()
    export.save(str(directory), lambda pictures, _: model(pictures), _manifest(), _assessor(), model)
    return directory


@pytest.fixture
def directory(mixers, tmp_path):
    """A copy of `mixers`, to be spoilt."""
    return shutil.copytree(mixers, tmp_path / "simulators")


def test_a_saved_simulator_is_found_and_loaded_with_its_manifest(mixers):
    assert library.names(str(mixers)) == ["swap"]
    (loaded,) = library.load_all(str(mixers))
    assert loaded.manifest == manifest.read(manifest.SimulatorManifest, str(mixers / "swap"))
    assert loaded.manifest == _manifest(change=loaded.manifest.change)


def test_a_loaded_simulator_keeps_its_variables_when_all_else_is_gone(mixers):
    simulators = library.load_all(str(mixers))
    simulator = simulators[0]
    del simulators
    gc.collect()
    made = simulator(tf.constant(_pictures()), tf.zeros([3], tf.int32))
    np.testing.assert_allclose(made, _mixed(_pictures()), atol=1e-5)


def test_gradients_flow_through_a_loaded_network(mixers):
    simulator = library.load(str(mixers / "swap"))
    pictures = tf.constant(_pictures())
    with tf.GradientTape() as tape:
        tape.watch(pictures)
        value = tf.reduce_sum(simulator(pictures, tf.zeros([3], tf.int32))[..., 0])
    np.testing.assert_allclose(tape.gradient(value, pictures)[0, 0, 0], [0.5, 0.3, 0.2], atol=1e-6)


def test_gradients_pass_straight_through_the_real_jpeg_of_a_loaded_simulator(tmp_path):
    real_jpeg = jpeg.RealJpeg((50.0, 50.0))
    export.save(str(tmp_path), lambda pictures, _: real_jpeg(pictures), _manifest(conditions=["q50"]), _assessor())
    simulator = library.load(str(tmp_path / "swap"))
    pictures = tf.constant(_pictures())
    weights = tf.constant(np.float32(np.random.default_rng(1).normal(size=pictures.shape)))
    with tf.GradientTape() as tape:
        tape.watch(pictures)
        made = simulator(pictures, tf.zeros([3], tf.int32))
        value = tf.reduce_sum(weights * made)
    assert np.abs(made - pictures).mean() > 0.01
    np.testing.assert_allclose(tape.gradient(value, pictures), weights, atol=1e-6)


def test_change_is_psnr_and_ssim_after_rounding_by_condition(tmp_path):
    def add_levels(pictures, condition):
        # 10.4 levels are 10 once the picture is saved.
        return pictures + tf.where(condition == 1, 10.4 / 255, 40 / 255)[:, None, None, None]

    change = export.save(str(tmp_path), add_levels, _manifest(), _assessor()).change
    assert change["a"].psnr == pytest.approx(20 * np.log10(255 / 40), abs=1e-3)
    assert change["b"].psnr == pytest.approx(20 * np.log10(255 / 10), abs=1e-3)
    assert 0.9 < change["b"].ssim < 1.0
    assert json.loads((tmp_path / "swap" / "simulator.json").read_text())["change"] == {
        name: dict(each) for name, each in change.items()
    }


def test_a_simulator_out_of_range_is_not_written_and_the_old_one_stays(directory):
    with pytest.raises(signatures.ContractError, match=r"output in \[0, 1\]"):
        export.save(str(directory), lambda pictures, _: pictures * 255.0, _manifest(), _assessor())
    assert library.names(str(directory)) == ["swap"]
    assert library.load(str(directory / "swap")).manifest.change


def test_what_a_killed_export_leaves_is_no_simulator(directory):
    shutil.copytree(directory / "swap", directory / ".other.part")
    (directory / "notes").mkdir()
    assert library.names(str(directory)) == ["swap"]


@pytest.mark.parametrize("made", [True, False])
def test_a_directory_without_simulators_is_refused_with_what_was_expected(tmp_path, made):
    empty = tmp_path / "simulators"
    if made:
        empty.mkdir()
    with pytest.raises(ValueError, match=f"{empty}: no simulators; expected folders .*simulator.json"):
        library.names(str(empty))


@pytest.mark.parametrize("damage", ["garbage", "missing", "truncated", "truncated weights"])
def test_a_broken_saved_model_is_refused_by_name(directory, damage):
    graph = directory / "swap" / "saved_model.pb"
    if damage == "truncated weights":
        (weights,) = (directory / "swap" / "variables").glob("variables.data-*")
        weights.write_bytes(weights.read_bytes()[:-1])
    elif damage == "missing":
        graph.unlink()
    else:
        graph.write_bytes(b"no graph" if damage == "garbage" else graph.read_bytes()[:-100])
    with pytest.raises(ValueError, match=f"{directory}/swap: not a loadable SavedModel"):
        library.load(str(directory / "swap"))


def test_a_simulator_over_the_size_limit_is_refused_unloaded(mixers, monkeypatch):
    monkeypatch.setattr(library, "MAX_SAVED_MODEL_BYTES", 1000)
    monkeypatch.setattr(tf.saved_model, "load", None)
    with pytest.raises(ValueError, match="swap: .* bytes is over the 1,000"):
        library.load(str(mixers / "swap"))


def _rewrite_manifest(directory, **changes):
    path = directory / "simulator.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_manifest_that_claims_another_size_than_the_model_takes_is_refused(directory):
    _rewrite_manifest(directory / "swap", image_size=64)
    with pytest.raises(signatures.ContractError, match=r"\(None, 64, 64, 3\).*found .*\(None, 32, 32, 3\)"):
        library.load(str(directory / "swap"))


def test_a_simulator_whose_manifest_names_another_than_its_folder_is_refused(directory):
    os.rename(directory / "swap", directory / "sad")
    with pytest.raises(ValueError, match=f"{directory}/sad: .* 'sad', and .*json says name 'swap': change either"):
        library.load(str(directory / "sad"))
    _rewrite_manifest(directory / "sad", name="sad")
    assert [each.manifest.name for each in library.load_all(f"{directory}/")] == ["sad"]
    assert library.load(f"{directory}/sad/").manifest.name == "sad"


def test_the_config_makes_the_round_trip_and_refuses_what_cannot_be_trained():
    config = SimulatorConfig(image_size=48, width=16, steps=7, seed=3)
    assert SimulatorConfig.from_json(config.to_json()) == config
    with pytest.raises(ValueError, match="train: expected names of .*faceswap, .*, found .'deepfakes'"):
        SimulatorConfig(train=("faceswap", "deepfakes"))
    for size in (16, 40, 100):
        with pytest.raises(ValueError, match=f"expected a whole number at least 32, a multiple of 16, found {size}"):
            SimulatorConfig(image_size=size)
    with pytest.raises(ValueError, match="width: expected a multiple of 8, .* of faceswap, found 12"):
        SimulatorConfig(train=("faceswap", "stgan"), width=12)
    with pytest.raises(ValueError, match="width: expected a whole number at least 8, found 4"):
        SimulatorConfig(train=("stgan",), width=4)
    assert SimulatorConfig(train=("stgan",), width=12).width == 12


# The step's work as a whole


CONFIG = SimulatorConfig(image_size=SIZE, train=())
TINY = SimulatorConfig(image_size=SIZE, train=("faceswap",), width=8, steps=3, batch_size=2)


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    root = tmp_path_factory.mktemp("examples")
    for split, count in ((features.TRAIN_SPLIT, 6), (features.EVAL_SPLIT, 3)):
        pictures = enumerate(images.to_uint8(_pictures(count)))
        records = [helpers.record(each, f"{split}-{number}", Male=number % 2) for number, each in pictures]
        helpers.write_records(root, split, records)
    return str(root)


@pytest.fixture(scope="module")
def made(examples, tmp_path_factory):
    """What a run that trains nothing writes, and the manifests that it returns."""
    root = tmp_path_factory.mktemp("made")
    returned = training.make_all(examples, str(root / "simulators"), CONFIG, str(root / "checkpoints"))
    return str(root / "simulators"), returned


def test_perturbation_is_there_where_nothing_is_trained_and_its_change_is_measured(made):
    directory, returned = made
    loaded, seen_in_evaluation_alone = library.load_all(directory)
    assert [loaded.manifest, seen_in_evaluation_alone.manifest] == returned
    change = loaded.manifest.change
    assert set(change) == set(loaded.manifest.conditions)
    assert change["noise_0.02"].psnr == pytest.approx(20 * np.log10(1 / 0.02), abs=0.2)
    assert change["brightness_0.1"].psnr == pytest.approx(20 * np.log10(1 / 0.1), abs=0.2)
    assert change["jpeg_50"].psnr < change["jpeg_75"].psnr < 50


def test_the_exported_perturbation_does_what_its_conditions_say(made):
    simulator = library.load(os.path.join(made[0], "perturbation"))
    pictures = tf.constant(_pictures(1))
    for index, (name, perturb) in enumerate(catalogue.evaluation_perturbations().items()):
        assert simulator.manifest.conditions[index] == name
        made_here = simulator(pictures, tf.constant([index]))
        if "noise" in name:
            assert np.std(made_here - pictures) == pytest.approx(0.02, rel=0.1)
        else:
            np.testing.assert_allclose(made_here, perturb(pictures), atol=1e-5)


def test_a_batch_of_mixed_conditions_gets_each_its_own(made):
    simulator = library.load(os.path.join(made[0], "perturbation"))
    brighter = simulator.manifest.conditions.index("brightness_0.1")
    blurred = simulator.manifest.conditions.index("blur_1")
    pictures = tf.constant(_pictures(2))
    mixed = simulator(pictures, tf.constant([brighter, blurred]))
    np.testing.assert_allclose(mixed[0], pictures[0] + 0.1, atol=1e-5)
    assert np.std(mixed[1]) < 0.6 * np.std(pictures[1])


@pytest.mark.slow
def test_gradients_flow_through_every_condition_of_the_exported_perturbation(made):
    simulator = library.load(os.path.join(made[0], "perturbation"))
    pictures = tf.constant(_pictures(1))
    for index, name in enumerate(simulator.manifest.conditions):
        with tf.GradientTape() as tape:
            tape.watch(pictures)
            value = tf.reduce_mean(tf.square(simulator(pictures, tf.constant([index]))))
        gradient = tape.gradient(value, pictures)
        # What is cut away has no gradient.
        least = 0.3 if "cut_out" in name else 0.7 if "crop" in name else 0.9
        assert gradient is not None and np.mean(np.asarray(gradient) != 0) > least, name


@pytest.mark.slow
def test_foreign_simulators_are_taken_in_with_their_change_measured_here(examples, directory, tmp_path):
    _rewrite_manifest(directory / "swap", change={"a": {"psnr": 1.0, "ssim": 0.0}})
    target = str(tmp_path / "made")
    returned = training.make_all(examples, target, CONFIG, str(tmp_path / "checkpoints"), str(directory))
    assert [each.name for each in returned] == ["perturbation", "perturbation_unseen", "swap"]
    taken = library.load(os.path.join(target, "swap"))
    assert set(taken.manifest.change) == {"a", "b"} and taken.manifest.change["a"].psnr > 10
    np.testing.assert_allclose(taken(tf.constant(_pictures(1)), tf.constant([0])), _mixed(_pictures(1)), atol=1e-5)


@pytest.mark.slow
def test_foreign_simulators_under_another_name_than_their_folders_are_refused(examples, directory, tmp_path):
    _rewrite_manifest(directory / "swap", name="happy")
    with pytest.raises(ValueError, match=f"{directory}/swap: .*'swap', and its simulator.json says name 'happy'"):
        training.make_all(examples, str(tmp_path / "made"), CONFIG, str(tmp_path / "kept"), str(directory))
    assert library.names(str(tmp_path / "made")) == ["perturbation", "perturbation_unseen"]


@pytest.mark.slow
def test_nothing_is_trained_where_one_of_those_asked_for_cannot_be(examples, tmp_path):
    config = TINY.replace(train=("faceswap", "stargan"))
    with pytest.raises(ValueError, match=r"attribute editing needs .* found Male \(3 without, 3 with\)"):
        training.make_all(examples, str(tmp_path / "made"), config, str(tmp_path / "kept"))
    assert library.names(str(tmp_path / "made")) == ["perturbation", "perturbation_unseen"]
    assert not (tmp_path / "kept").exists()


def _ten_seconds_a_look(looks=None):
    """A clock that goes on by ten seconds whenever it is looked at; the process is killed at the look after `looks`."""
    for look in itertools.count():
        if look == looks:
            raise KeyboardInterrupt
        yield 10.0 * look


@pytest.mark.slow
def test_seconds_a_step_are_of_the_whole_training_where_it_was_killed_or_had_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "_EPOCH_STEPS", 1)
    faces = faces_of(_pictures(4))

    def train(clock):
        monkeypatch.setattr(training, "time", types.SimpleNamespace(monotonic=clock.__next__))
        return training.train("faceswap", faces, TINY, str(tmp_path))[1].training.seconds_a_step

    with pytest.raises(KeyboardInterrupt):
        train(_ten_seconds_a_look(2))  # At the start and after the first of three steps.
    assert train(_ten_seconds_a_look()) == pytest.approx(10.0)
    assert train(_ten_seconds_a_look()) == pytest.approx(10.0)  # All that is left is to restore.


@pytest.mark.slow
def test_a_training_that_goes_on_does_not_begin_with_the_pictures_it_began_with(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "_EPOCH_STEPS", 1)
    generator, begun = training.GENERATORS["faceswap"], []

    class Watched(generator):
        def batches(self, faces, settings):
            begun.append(next(iter(super().batches(faces, settings)))[0].numpy())
            return super().batches(faces, settings)

    monkeypatch.setitem(training.GENERATORS, "faceswap", Watched)
    faces = faces_of(_pictures(64))
    for kept in ("one", "other"):
        tf.random.set_seed(1)
        training.train("faceswap", faces, TINY, str(tmp_path / kept))
    described = training.train("faceswap", faces, TINY, str(tmp_path / "one"))[1]
    np.testing.assert_array_equal(begun[0], begun[1])
    assert np.abs(begun[2] - begun[0]).mean() > 0.01
    assert described.training.seed == TINY.seed


@pytest.mark.slow
def test_a_trained_simulators_manifest_keeps_the_settings_it_was_trained_with(tmp_path):
    config = TINY.replace(seed=9, judge_steps=5)
    _, described = training.train("faceswap", faces_of(_pictures(4)), config, str(tmp_path))
    settings = {"depth": None, "steps": 3, "batch_size": 2, "learning_rate": 0.0005, "judge_steps": 5, "seed": 9}
    assert settings.items() <= described.training.dict().items()
    assert described.training.pictures == 4 and described.training.settings == {"image_size": SIZE, "width": 8}


@pytest.mark.slow
def test_foreign_simulators_of_another_picture_size_are_refused(examples, tmp_path):
    grey = np.full([1, 48, 48, 3], 0.5, np.float32)
    export.save(
        str(tmp_path / "foreign"), lambda pictures, _: pictures / 2.0, _manifest("large", size=48), _assessor(grey)
    )
    with pytest.raises(signatures.ContractError, match="large: expected pictures of 32×32.*found 48×48"):
        training.make_all(examples, str(tmp_path / "made"), CONFIG, str(tmp_path / "kept"), str(tmp_path / "foreign"))
