"""What the simulator step may be asked to do; the rest is refused before any work, with what is allowed."""

import os

import numpy as np
import pytest
import tensorflow as tf
from tfx.types import channel, standard_artifacts

from faketagger.components.contract import features, files, pretrained
from faketagger.components.simulator.component import SimulatorStep
from faketagger.components.simulator.config import SimulatorConfig
from faketagger.components.simulator.generators.base import Faces
from faketagger.components.simulator.generators.registry import GENERATORS


@pytest.mark.parametrize("field", ["steps", "batch_size", "judge_steps"])
@pytest.mark.parametrize("value", [0, -5])
def test_counts_under_one_are_refused(field, value):
    with pytest.raises(ValueError, match=f"^{field}: expected a whole number at least 1, found {value}$"):
        SimulatorConfig(**{field: value})
    assert getattr(SimulatorConfig(**{field: 1}), field) == 1


@pytest.mark.parametrize("rate, told", [(0.0, "0.0"), (-1, "-1"), (float("nan"), "nan"), (float("inf"), "inf")])
def test_a_learning_rate_that_is_not_over_zero_and_finite_is_refused(rate, told):
    with pytest.raises(ValueError, match=f"^learning_rate: expected a number over 0, found {told}$"):
        SimulatorConfig(learning_rate=rate)


@pytest.mark.parametrize(
    "train, image_size, depth, told",
    [
        (("stgan",), 64, 1, "depth: expected 2 to 5 encoder layers for stgan, found 1"),
        (("stgan",), 64, 9, "depth: expected 2 to 5 encoder layers for stgan, found 9"),
        (("faceswap", "stargan"), 64, 0, "depth: expected 1 to 9 residual blocks for stargan, found 0"),
        (("stargan",), 64, 10, "depth: expected 1 to 9 residual blocks for stargan, found 10"),
        (("stargan", "stgan"), 64, 6, "depth: expected 2 to 5 encoder layers for stgan, found 6"),
        (("stgan",), 48, 5, "image_size: expected a multiple of 32, for stgan of depth 5, found 48"),
        (
            ("faceswap",),
            64,
            4,
            "depth: expected null, as only stargan and stgan have one, found 4",
        ),
    ],
)
def test_a_depth_that_no_trained_simulator_can_have_is_refused(train, image_size, depth, told):
    with pytest.raises(ValueError, match=f"^{told}$"):
        SimulatorConfig(train=train, image_size=image_size, depth=depth)


@pytest.mark.parametrize("name, image_size, depth", [("stgan", 32, 2), ("stgan", 96, 5), ("stargan", 48, 1)])
def test_a_simulator_of_a_depth_that_is_allowed_edits_pictures_of_the_size(name, image_size, depth):
    config = SimulatorConfig(train=(name,), image_size=image_size, depth=depth, width=8)
    attributes = np.tile(np.arange(16)[:, None] % 2, len(features.ATTRIBUTE_NAMES))
    pixels = np.zeros([16, image_size, image_size, 3], np.uint8)
    editor = GENERATORS[name].build_for(config, Faces(pixels, attributes))
    assert editor.settings["depth" if name == "stgan" else "blocks"] == depth
    assert editor.simulate(tf.zeros(pixels[:1].shape), tf.constant([0])).shape == pixels[:1].shape


def test_stylegan_is_refused_where_the_side_is_no_power_of_two():
    with pytest.raises(ValueError, match="^image_size: expected a power of two, .*, found 48$"):
        SimulatorConfig(train=("stylegan",), image_size=48)
    assert SimulatorConfig(train=("stylegan",), image_size=64).image_size == 64
    assert SimulatorConfig(train=("faceswap",), image_size=48).image_size == 48
    assert SimulatorConfig(train=(), shipped=("stylegan",), image_size=48).image_size == 48  # They are resized.


def test_a_shipped_simulator_that_is_not_there_is_refused_with_those_that_are():
    with pytest.raises(ValueError, match="^shipped: expected names of autoencoder, faceswap, .*, found .'deepfakes'.$"):
        SimulatorConfig(train=(), shipped=("stgan", "deepfakes"))
    there = tuple(sorted(os.listdir(pretrained.SIMULATORS)))
    assert SimulatorConfig(train=(), shipped=there).shipped == there


def test_shipped_simulators_are_found_again_by_the_cache_whenever_they_were_checked_out(tmp_path, monkeypatch):
    config = SimulatorConfig(train=(), shipped=("stgan",))
    monkeypatch.setattr(pretrained, "_ROOT", str(tmp_path))
    monkeypatch.setattr(pretrained, "SIMULATORS", str(tmp_path / "simulators"))
    weights = tmp_path / "simulators" / "stgan" / "weights.npz"

    def taken():
        examples = channel.Channel(type=standard_artifacts.Examples)
        return SimulatorStep(examples, config).exec_properties["taken_fingerprint"]

    files.write_bytes(str(weights), b"weights")
    before = taken()
    os.utime(weights, ns=(1, 1))
    assert taken() == before
    weights.write_bytes(b"WEIGHTS")
    assert taken() != before
