"""The repository's simulators: packed, unpacked, of another size, described; damaged ones are refused."""

import os
import re
import shlex
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

import faketagger.components.simulator.__main__ as command
from faketagger.components.contract import features, images, manifest, pretrained
from faketagger.components.simulator import training
from faketagger.components.simulator.config import SimulatorConfig
from faketagger.components.simulator.generators.faceswap import FaceSwap
from faketagger.components.simulator.generators.stargan import StarGAN
from faketagger.components.simulator.packing import card, export, shipped
from faketagger.components.simulator.quality import assess
from faketagger.tests import helpers

pytestmark = pytest.mark.slow

SIZE = 32
MODELS = {
    "faceswap": lambda: FaceSwap(SIZE, 8),
    "stargan": lambda: StarGAN(SIZE, 8, ["Smiling", "Male"], blocks=1),
}


SHIPPED_NAMES = sorted(os.listdir(pretrained.SIMULATORS))


def _card(name):
    with open(os.path.join(pretrained.SIMULATORS, name, card.FILE), encoding="utf-8") as file:
        return file.read()


def _described(model, generator):
    training = {"generator": generator, "settings": model.settings, "parameters": 5, "seconds_a_step": 0.5}
    training.update(pictures=7, steps=240, batch_size=4, learning_rate=1e-3, seed=2, depth=None)
    change = {name: {"psnr": 20.0, "ssim": 0.7, "face_psnr": 18.0, "face_ssim": 0.6} for name in model.conditions}
    return manifest.SimulatorManifest(
        generator, model.FAMILY, list(model.conditions), SIZE, "drawings", "ours", change, training=training
    )


def _pictures():
    return np.float32(np.random.default_rng(1).uniform(size=[2, SIZE, SIZE, 3]))


@pytest.fixture(params=MODELS)
def packed(request, tmp_path):
    """A model and the directory in which it was packed."""
    tf.keras.utils.set_random_seed(4)
    model = MODELS[request.param]()
    shipped.pack(model, _described(model, request.param), str(tmp_path))
    return model, str(tmp_path / request.param)


def test_an_unpacked_simulator_makes_what_the_packed_one_made_but_for_half_precision(packed):
    model, directory = packed
    unpacked = shipped.unpack(directory)
    assert unpacked.settings == model.settings
    for condition in range(len(model.conditions)):
        made, expected = (each.simulate(_pictures(), tf.fill([2], condition)) for each in (unpacked, model))
        np.testing.assert_allclose(made, expected, atol=5e-3)


def test_weights_take_two_bytes_each_at_most(packed):
    model, directory = packed
    count = sum(int(tf.size(each)) for network in model.networks for each in network.variables)
    arrays = np.load(os.path.join(directory, shipped.WEIGHTS_FILE))
    assert sum(arrays[name].nbytes for name in arrays.files) == 2 * count


def test_at_another_size_a_simulator_works_at_its_own():
    tf.keras.utils.set_random_seed(4)
    model = FaceSwap(SIZE, 8)
    smooth = tf.image.resize(_pictures()[:, :4, :4], [48, 48], "bicubic")
    smooth = tf.clip_by_value(smooth, 0.0, 1.0)
    made = export.resized(model.simulate, SIZE, 48)(smooth, tf.constant([2, 3]))
    assert made.shape == smooth.shape and 0.0 <= np.min(made) and np.max(made) <= 1.0
    at_its_own = model.simulate(tf.image.resize(smooth, [SIZE, SIZE], "bicubic", antialias=True), tf.constant([2, 3]))
    assert np.abs(tf.image.resize(made, [SIZE, SIZE], "bicubic", antialias=True) - at_its_own).mean() < 0.03
    assert np.abs(made - smooth).mean() > 0.1


@pytest.mark.parametrize(
    "damage",
    ["missing", "cut", "pickled", "other architecture", "unknown generator", "too large", "too large unpacked"],
)
def test_damaged_ones_are_refused_by_file_and_reason(packed, damage, monkeypatch):
    model, directory = packed
    path = os.path.join(directory, shipped.WEIGHTS_FILE)
    expected = "weights.npz: not the weights of this simulator"
    if damage == "missing":
        os.remove(path)
    elif damage == "cut":
        with open(path, "r+b") as file:
            file.truncate(os.path.getsize(path) // 2)
    elif damage == "pickled":
        arrays = dict(np.load(path))
        np.savez(path, **{**arrays, "0000": np.array([{}], object)})
    elif damage == "too large":
        monkeypatch.setattr(shipped, "_MAX_WEIGHTS_BYTES", 10)
    elif damage == "too large unpacked":
        np.savez_compressed(path, **{name: np.zeros_like(each) for name, each in np.load(path).items()})
        monkeypatch.setattr(shipped, "_MAX_WEIGHTS_BYTES", os.path.getsize(path))
        expected = "weights.npz: not the weights of this simulator: unpacks to"
    else:
        described = manifest.read(manifest.SimulatorManifest, directory)
        if damage == "unknown generator":
            training = described.training.replace(generator="dalle")
            expected = "generator 'dalle' is none of autoencoder, faceswap"
        else:
            training = described.training.replace(settings={**described.training.settings, "width": 16})
            expected = "weights of another architecture: 0000 is"
        manifest.write(described.replace(training=training), directory)
    with pytest.raises(ValueError, match=expected):
        shipped.unpack(directory)


def _edited(**success):
    described = _described(StarGAN(SIZE, 8, ["Smiling", "Male"], 1, intensities=[1.75, 1.0]), "stargan")
    return described.replace(success=success)


def test_the_card_tells_the_figures():
    text = card.write(_edited(gender={"seen": 0.81, "unedited": 0.07}), pictures=56, size_bytes=1_500_000)
    assert "2 minutes of training" in text and "1.5 MB" in text
    assert "| gender | 20.0 | 0.700 | 18.0 | 0.600 | 0.81 | 0.07 | 1 |" in text
    assert "| happy | 20.0 | 0.700 | 18.0 | 0.600 | - | - | 1.75 |" in text
    assert "not shown" not in text


def test_the_card_gives_each_edit_that_is_offered_its_own_intensity():
    model = StarGAN(SIZE, 8, ["Smiling", "Male"], 1, intensities=[1.3, 0.75], offered=["Male"])
    described = _described(model, "stargan").replace(success={"gender": {"seen": 0.9, "unedited": 0.1}})
    text = card.write(described, pictures=56, size_bytes=1_500_000)
    assert "| gender | 20.0 | 0.700 | 18.0 | 0.600 | 0.90 | 0.10 | 0.75 |" in text and "offered" not in text


def test_the_card_marks_edits_that_do_not_show_their_attribute():
    success = {"gender": {"seen": 0.5, "unedited": 0.375}, "happy": {"seen": 0.0625, "unedited": 0.0}}
    lines = card.write(_edited(**success), pictures=56, size_bytes=1_500_000).splitlines()
    assert "| happy (not shown) | 20.0 | 0.700 | 18.0 | 0.600 | 0.06 | 0.00 | 1.75 |" in lines
    assert "| gender | 20.0 | 0.700 | 18.0 | 0.600 | 0.50 | 0.38 | 1 |" in lines
    (legend,) = [line for line in lines if line.startswith("(not shown): ")]
    assert "without showing the attribute (edit seen − seen unedited < 0.1)" in legend


def _parse(line):
    """What the simulators' command is asked for by a command line."""
    program, name, *given = shlex.split(line)
    assert [program, name] == ["faketagger", "simulators"], line
    return vars(command.make_parser().parse([name, *given]))


def _command_of(text):
    return re.search("^- Command: `(.*?)`", text, re.MULTILINE).group(1)


def test_printed_commands_give_their_settings_back(capsys):
    old = _edited()
    new = old.replace(training=old.training.replace(judge_steps=5, guide_steps=7, depth=3, change=2.5))
    lines = [_command_of(card.write(each, 56, 1, shown=each is new)) for each in (new, old)]
    of_new, of_old = map(_parse, lines)
    assert of_new == {
        "generator": "stargan", "name": "stargan", "data": "TEXT", "licence": "TEXT", "examples": "DIR",
        "shown": "OTHER_DIR", "out": "pretrained/simulators", "image_size": SIZE, "width": 8, "depth": 3,
        "steps": 240, "batch_size": 4, "learning_rate": 1e-3, "judge_steps": 5, "guide_steps": 7, "seed": 2,
        "checkpoints": None, "zoom": 1.0, "critic": 0.0, "attention": False, "bfloat16": False,
        "change": 2.5,
    }  # fmt: skip
    defaults = {name: getattr(SimulatorConfig(), name) for name in ("depth", "judge_steps", "guide_steps", "change")}
    assert of_old == {**of_new, "shown": None, **defaults}
    of_docstring = _parse(command.__doc__.split("\n\n")[1])
    assert of_docstring["generator"] == "stargan" and of_docstring["data"] == of_docstring["licence"] == "TEXT"
    assert [_parse(_command_of(_card(name)))["name"] for name in SHIPPED_NAMES] == SHIPPED_NAMES
    with pytest.raises(SystemExit) as ended:
        _parse(lines[0].replace("--name=stargan", "--name=../y"))
    assert ended.value.code == 2 and "--name: expected lower-case letters, digits and under" in capsys.readouterr().err


@pytest.fixture
def examples(tmp_path):
    """An Examples artifact of blurred noise; half of the pictures smile."""
    random = np.random.default_rng(7)
    for split, count in ((features.TRAIN_SPLIT, 20), (features.EVAL_SPLIT, 4)):
        pictures = enumerate(images.to_uint8(helpers.smooth_pictures(random, count, SIZE, coarse=6)))
        records = [helpers.record(each, f"{split}{number}", Smiling=number % 2) for number, each in pictures]
        helpers.write_records(tmp_path / "examples", split, records)
    return str(tmp_path / "examples")


def _train(examples, directory, *more):
    command = [
        sys.executable,
        "-m",
        "faketagger.components.simulator",
        "--generator=faceswap",
        f"--examples={examples}",
    ]
    command += [f"--out={directory}/out", "--name=swap_2", "--data=noise", "--licence=ours", f"--image_size={SIZE}"]
    command += ["--width=8", "--steps=2", "--batch_size=2", "--judge_steps=2", *more]
    return subprocess.run(command, capture_output=True, text=True, timeout=600)


def _leave_a_trained_checkpoint(examples, directory, *more):
    (directory / "out").write_text("no directory: the command fails once it has trained")
    done = _train(examples, directory, *more)
    assert done.returncode != 0 and "loss: " in done.stdout and os.listdir(directory / "out.checkpoints")
    (directory / "out").unlink()


def test_the_command_leaves_a_simulator_that_can_be_unpacked_with_its_card_and_sheet(examples, tmp_path):
    _leave_a_trained_checkpoint(examples, tmp_path, "--learning_rate=0.001")
    done = _train(examples, tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "loss: " in done.stdout  # It did not take up the weights of another learning rate.
    assert sorted(os.listdir(tmp_path / "out" / "swap_2")) == [
        "README.md",
        "samples.png",
        "simulator.json",
        "weights.npz",
    ]
    described = manifest.read(manifest.SimulatorManifest, str(tmp_path / "out" / "swap_2"))
    assert described.training.steps == 2 and described.training_data.startswith("noise (20 pictures")
    assert set(described.realism) == {"photographs", *described.ways}
    made = shipped.unpack(str(tmp_path / "out" / "swap_2")).simulate(_pictures(), tf.constant([2, 3]))
    assert made.shape == _pictures().shape
    assert len(os.listdir(tmp_path / "out.checkpoints")) == 1  # That of the other learning rate alone.


def test_examples_that_are_not_there_end_the_command_in_one_line(tmp_path, capsys):
    given = [
        "--generator=faceswap",
        f"--examples={tmp_path}",
        "--data=noise",
        "--licence=ours",
        f"--out={tmp_path}/out",
    ]
    assert command.run(command.make_parser().parse(["simulators", *given])) == 1
    assert capsys.readouterr().err == f"faketagger simulators: {tmp_path}: no Examples in its split 'train'\n"


def test_one_that_is_no_test_of_a_tag_leaves_nothing_behind(tmp_path):
    class Refusing:
        def assess(self, simulator):
            raise assess.IdleSimulator(simulator.manifest.name)

    described = manifest.SimulatorManifest("idle", "identity_swap", ["one"], SIZE, "none", "ours")
    with pytest.raises(assess.IdleSimulator, match="idle"):
        export.save(str(tmp_path), lambda pictures, _: pictures, described, Refusing())
    assert not os.listdir(tmp_path)


def test_checkpoints_are_kept_apart_by_name_settings_and_examples(examples):
    config = SimulatorConfig(image_size=SIZE, train=("faceswap",))
    others = [config.replace(**each) for each in ({"seed": 2}, {"learning_rate": 1e-3}, {"steps": 5})]
    kept = training.checkpoint_directory("kept", "swap", config, examples)
    assert kept.startswith("kept/swap-")
    assert kept == training.checkpoint_directory("kept", "swap", SimulatorConfig.from_json(config.to_json()), examples)
    found = {kept, training.checkpoint_directory("kept", "swap_2", config, examples)}
    found |= {training.checkpoint_directory("kept", "swap", each, examples) for each in others}
    os.utime(helpers.records_path(examples, features.TRAIN_SPLIT), (1, 1))  # As if made anew.
    assert len(found | {training.checkpoint_directory("kept", "swap", config, examples)}) == 6


@pytest.mark.parametrize("name", SHIPPED_NAMES)
def test_what_the_repository_ships_is_whole_small_and_does_something(name):
    directory = os.path.join(pretrained.SIMULATORS, name)
    described = manifest.read(manifest.SimulatorManifest, directory)
    assert described.name == name and described.licence and described.training_data
    assert os.path.getsize(os.path.join(directory, shipped.WEIGHTS_FILE)) <= 17_000_000
    model = shipped.unpack(directory)
    size = described.image_size
    pictures = np.float32(np.random.default_rng(1).uniform(size=[1, size, size, 3]))
    made = [model.simulate(pictures, tf.constant([index])) for index in range(len(described.conditions))]
    assert all(np.isfinite(each).all() and np.abs(each - pictures).mean() > 0.01 for each in made)


def test_the_cards_of_what_the_repository_ships_say_what_their_manifests_do():
    for name in SHIPPED_NAMES:
        directory = os.path.join(pretrained.SIMULATORS, name)
        described = manifest.read(manifest.SimulatorManifest, directory)
        size = os.path.getsize(os.path.join(directory, shipped.WEIGHTS_FILE))
        pictures = 199 if described.training.pictures > 534 else 56  # Those trained since there were more.
        assert _card(name) == card.write(described, pictures=pictures, size_bytes=size, shown=True)


def test_the_repository_ships_every_family():
    directories = [os.path.join(pretrained.SIMULATORS, name) for name in SHIPPED_NAMES]
    families = {manifest.read(manifest.SimulatorManifest, each).family for each in directories}
    assert families == set(manifest.FAMILIES) - {"perturbation"}
