"""The repository's simulators: packed, unpacked, of another size, described; damaged ones are refused."""

import dataclasses
import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from faketagger.components.contract import features, images, manifest, pretrained
from faketagger.components.simulator import card, export, shipped
from faketagger.components.simulator.config import TRAINABLE
from faketagger.components.simulator.faceswap import FaceSwap
from faketagger.components.simulator.stargan import StarGAN

SIZE = 32
MODELS = {
    "faceswap": lambda: FaceSwap(SIZE, 8),
    "stargan": lambda: StarGAN(SIZE, 8, ["Smiling", "Male"], blocks=1),
}


def _described(model, generator):
    training = {"generator": generator, "settings": model.settings, "parameters": 5, "seconds_a_step": 0.5}
    training.update(pictures=7, steps=240, batch_size=4, learning_rate=1e-3, seed=2, depth=None)
    strength = {name: {"psnr": 20.0, "ssim": 0.7, "face_psnr": 18.0, "face_ssim": 0.6} for name in model.conditions}
    return manifest.SimulatorManifest(
        generator, model.FAMILY, list(model.conditions), SIZE, "drawings", "ours", strength, training=training
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


@pytest.mark.parametrize("damage", ["missing", "cut", "pickled", "other architecture", "unknown generator", "too large"])
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
    else:
        described = manifest.read(manifest.SimulatorManifest, directory)
        if damage == "unknown generator":
            described.training["generator"] = "dalle"
            expected = "generator 'dalle' is none of faceswap"
        else:
            described.training["settings"]["width"] = 16
            expected = "weights of another architecture: 0000 is"
        manifest.write(described, directory)
    with pytest.raises(ValueError, match=expected):
        shipped.unpack(directory)


def test_every_trainable_generator_can_be_shipped():
    assert tuple(shipped.GENERATORS) == TRAINABLE


def test_the_card_names_the_command_and_the_figures():
    described = _described(StarGAN(SIZE, 8, ["Smiling", "Male"], 1, [1.75, 1.0]), "stargan")
    described = dataclasses.replace(described, success={"gender": {"seen": 0.81, "unedited": 0.07}})
    text = card.write(described, pictures=56, size_bytes=1_500_000)
    assert "--generator=stargan --name=stargan --image_size=32 --width=8 --steps=240 --batch_size=4" in text
    assert "--depth" not in text and "2 minutes of training" in text and "1.5 MB" in text
    assert "| gender | 20.0 | 0.700 | 18.0 | 0.600 | 0.81 | 0.07 | 1 |" in text
    assert "| happy | 20.0 | 0.700 | 18.0 | 0.600 | - | - | 1.75 |" in text


@pytest.fixture
def examples(tmp_path):
    """An Examples artifact of blurred noise; half of the pictures smile."""
    random = np.random.default_rng(7)
    for split, count in ((features.TRAIN_SPLIT, 20), (features.EVAL_SPLIT, 4)):
        folder = tmp_path / "examples" / f"Split-{split}"
        folder.mkdir(parents=True)
        with tf.io.TFRecordWriter(str(folder / "data.gz"), "GZIP") as writer:
            for number in range(count):
                picture = tf.image.resize(random.uniform(0.1, 0.9, (1, 6, 6, 3)), [SIZE, SIZE], "bicubic")[0].numpy()
                labels = features.attributes_from({"Smiling": number % 2})
                png = images.encode_png(images.to_uint8(picture))
                example = features.make_example(png, f"{split}{number}", "noise", labels, SIZE, SIZE)
                writer.write(example.SerializeToString())
    return str(tmp_path / "examples")


@pytest.mark.slow
def test_the_command_leaves_a_simulator_that_can_be_unpacked_with_its_card_and_sheet(examples, tmp_path):
    command = [sys.executable, "-m", "faketagger.components.simulator", "--generator=faceswap", f"--examples={examples}"]
    command += [f"--out={tmp_path}/out", "--name=swap_2", "--data=noise", "--licence=ours", f"--image_size={SIZE}"]
    command += ["--width=8", "--steps=2", "--batch_size=2", "--judge_steps=2"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    assert sorted(os.listdir(tmp_path / "out" / "swap_2")) == ["README.md", "samples.png", "simulator.json", "weights.npz"]
    described = manifest.read(manifest.SimulatorManifest, str(tmp_path / "out" / "swap_2"))
    assert described.training["steps"] == 2 and described.training_data.startswith("noise (20 pictures")
    assert set(described.realism) == {"photographs", *described.conditions}
    made = shipped.unpack(str(tmp_path / "out" / "swap_2")).simulate(_pictures(), tf.constant([2, 3]))
    assert made.shape == _pictures().shape
    assert not os.path.exists(f"{tmp_path}/out.checkpoints/swap_2")


SHIPPED_NAMES = sorted(os.listdir(pretrained.SIMULATORS))


@pytest.mark.parametrize("name", SHIPPED_NAMES)
def test_what_the_repository_ships_is_whole_small_and_does_something(name):
    directory = os.path.join(pretrained.SIMULATORS, name)
    described = manifest.read(manifest.SimulatorManifest, directory)
    assert described.name == name and described.licence and described.training_data
    assert os.path.getsize(os.path.join(directory, shipped.WEIGHTS_FILE)) <= 6_000_000
    model = shipped.unpack(directory)
    size = described.image_size
    pictures = np.float32(np.random.default_rng(1).uniform(size=[1, size, size, 3]))
    made = [model.simulate(pictures, tf.constant([index])) for index in range(len(described.conditions))]
    assert all(np.isfinite(each).all() and np.abs(each - pictures).mean() > 0.01 for each in made)


def test_the_repository_ships_every_family():
    directories = [os.path.join(pretrained.SIMULATORS, name) for name in SHIPPED_NAMES]
    families = {manifest.read(manifest.SimulatorManifest, each).family for each in directories}
    assert families == set(manifest.FAMILIES) - {"perturbation"}
