"""Several workers train to what one does, and go on from their checkpoint where one is killed."""

import json
import os
import signal
import socket
import subprocess
import sys

import numpy as np
import pytest

from faketagger.components.contract import features, images
from faketagger.components.layers import distribution
from faketagger.components.tagger.config import Drawn, TaggerConfig
from faketagger.components.tagger.schedules import Ramp
from faketagger.tests import helpers, stubs

SIZE = stubs.SIZE
STEPS, EPOCH, KILLED_AT = 50, 10, 23
FIRST = 5  # Steps in which nothing but rounding can set trainings apart.

CONFIG = TaggerConfig(
    image_size=SIZE,
    message_bits=8,
    code_length=0,
    encoder_width=8,
    decoder_width=16,
    residual=Ramp(1.0),
    perceptual=Ramp(0.0),
    critic=Ramp(0.01, delay=1, ramp=1),
    averaging=0.9,
    reads_below=9.0,
    steps=STEPS,
    batch_size=8,
    perturbations={"noise": Drawn(0.0, 0.02)},
)
TRAINING = f"""
import functools, os, signal, sys
import numpy as np
from faketagger.components.layers import distribution

strategy = distribution.choose()
from tensorflow import keras
from faketagger.components.simulator import library
from faketagger.components.tagger import training
from faketagger.components.tagger.config import TaggerConfig

examples, simulators, config, checkpoints, out, dies = sys.argv[1:]
training._EPOCH_STEPS = {EPOCH}
# Training amplifies rounding: a picture's value in between goes up or down by a level, and Adam's first steps are as
# long where gradients are hardly there. Both are left out here, so that any other difference shows; units at zero stay.
training.round_to_8_bits = lambda images: images
keras.optimizers.Adam = functools.partial(keras.optimizers.Adam, epsilon=1e-3)
fit, after = keras.Model.fit, {{}}

def weights(model):
    nets = model.encoder, model.decoder, model.critic
    return np.concatenate([each.ravel() for net in nets for each in net.get_weights()])

def noting_fit(self, *args, callbacks, **kwargs):
    after["after_0"] = weights(self)
    def note(batch, logs):
        if int(self.optimizer.iterations.numpy()) == {FIRST}:
            after["after_{FIRST}"] = weights(self)
        if dies == "dies" and int(self.optimizer.iterations.numpy()) == {KILLED_AT}:
            os.kill(os.getpid(), signal.SIGKILL)
    def begin(epoch, logs):
        print("epoch", epoch, flush=True)
    noting = keras.callbacks.LambdaCallback(on_batch_end=note, on_epoch_begin=begin)
    return fit(self, *args, callbacks=[*callbacks, noting], **kwargs)

keras.Model.fit = noting_fit
with strategy.scope():
    loaded = library.load_all(simulators)
model, last = training.train(examples, loaded, TaggerConfig.from_json(config), checkpoints, None, strategy)
np.savez(out, **after, after_{STEPS}=weights(model), loss=last["loss"])
"""


def _told(monkeypatch, **cluster_and_task):
    monkeypatch.setenv(distribution.VARIABLE, json.dumps(cluster_and_task))


def test_one_process_without_a_cluster_is_chief_and_has_the_default_strategy(monkeypatch):
    monkeypatch.delenv(distribution.VARIABLE, raising=False)
    assert (distribution.workers(), distribution.is_chief()) == (1, True)
    assert type(distribution.choose()).__name__ == "_DefaultDistributionStrategy"
    _told(monkeypatch, cluster={"worker": ["a:1"], "evaluator": ["b:1"]}, task={"type": "worker", "index": 0})
    assert (distribution.workers(), distribution.is_chief()) == (1, True)


@pytest.mark.parametrize(
    "cluster, task, chief",
    [
        ({"worker": ["a:1", "b:1"]}, ("worker", 0), True),
        ({"worker": ["a:1", "b:1"]}, ("worker", 1), False),
        ({"chief": ["a:1"], "worker": ["b:1"]}, ("chief", 0), True),
        ({"chief": ["a:1"], "worker": ["b:1"]}, ("worker", 0), False),
    ],
)
def test_the_chief_is_told_by_tf_config_as_vertex_writes_it(monkeypatch, cluster, task, chief):
    _told(monkeypatch, cluster=cluster, task=dict(zip(("type", "index"), task)), environment="cloud")
    assert (distribution.workers(), distribution.is_chief()) == (2, chief)


@pytest.mark.parametrize(
    "text, told",
    [
        ("{", "TF_CONFIG: expected JSON"),
        ("[1]", "TF_CONFIG: expected an object"),
        ('{"cluster": {"worker": "a:1"}}', "lists of addresses by task type"),
        (
            '{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 2}}',
            "must be one of `cluster`'s",
        ),
    ],
)
def test_what_is_no_tf_config_is_named(monkeypatch, text, told):
    monkeypatch.setenv(distribution.VARIABLE, text)
    with pytest.raises(ValueError, match=told):
        distribution.is_chief()


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """The folders of Examples and of simulators."""
    examples, simulators = tmp_path_factory.mktemp("examples"), tmp_path_factory.mktemp("simulators")
    pictures = images.to_uint8(helpers.smooth_pictures(np.random.default_rng(0), 24, SIZE))
    records = [helpers.record(each, str(number)) for number, each in enumerate(pictures)]
    helpers.write_records(examples, features.TRAIN_SPLIT, records)
    stubs.save_mixer(str(simulators), "dimmer", "identity_swap", {"dim": (0.5, 0.2), "bright": (0.8, 0.2)})
    stubs.save_mixer(str(simulators), "fader", "reenactment", {"fade": (0.3, 0.4)})
    return str(examples), str(simulators)


def _start(inputs, folder, name, task=None, addresses=(), dies=False):
    """A process that trains, as one of workers where a `task` says so; it writes NAME.npz."""
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    environment.pop(distribution.VARIABLE, None)
    if task is not None:
        told = {"cluster": {"worker": list(addresses)}, "task": {"type": "worker", "index": task}}
        environment[distribution.VARIABLE] = json.dumps(told)
    arguments = [*inputs, CONFIG.to_json(), f"{folder}/checkpoints", f"{folder}/{name}.npz", "dies" if dies else ""]
    return subprocess.Popen(
        [sys.executable, "-c", TRAINING, *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _together(inputs, folder, dies=False):
    """Two workers' ends: exit statuses, and what they printed. Where the second dies, so does the first."""
    addresses = [f"127.0.0.1:{_free_port()}" for _ in range(2)]
    started = [_start(inputs, folder, f"worker{task}", task, addresses, dies and task == 1) for task in (0, 1)]
    try:
        if dies:
            started[1].wait(timeout=1200)
            started[0].kill()  # As a cluster does: it ends the job and starts all of it again.
        ends = [each.communicate(timeout=1200) for each in started]
    finally:
        for each in started:
            each.kill()
    return [each.returncode for each in started], ends


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.slow
def test_two_workers_train_to_what_one_does_with_the_same_batches(inputs, tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    one = _start(inputs, f"{tmp_path}/one", "one")
    _, told = one.communicate(timeout=1200)
    assert one.returncode == 0, told[-3000:]
    statuses, ends = _together(inputs, f"{tmp_path}/two")
    assert statuses == [0, 0], ends[0][1][-3000:] + ends[1][1][-3000:]
    alone, *both = (np.load(tmp_path / place) for place in ("one/one.npz", "two/worker0.npz", "two/worker1.npz"))
    for name in alone.files:
        np.testing.assert_array_equal(both[0][name], both[1][name])
    np.testing.assert_array_equal(both[0]["after_0"], alone["after_0"])
    assert _apart(both[0], alone, FIRST) < 1e-4
    # Units of ReLU that rounding switches on or off add up.
    assert _apart(both[0], alone, STEPS) < 0.05
    assert both[0]["loss"] == pytest.approx(alone["loss"], rel=1e-3)


def _apart(found, expected, steps):
    """How far two trainings are apart, as a share of the way that they have come."""
    begun, weights, others = expected["after_0"], expected[f"after_{steps}"], found[f"after_{steps}"]
    return np.linalg.norm(others - weights) / np.linalg.norm(weights - begun)


@pytest.mark.slow
def test_where_a_worker_is_killed_both_go_on_from_the_checkpoint(inputs, tmp_path):
    statuses, _ = _together(inputs, str(tmp_path), dies=True)
    assert statuses == [-signal.SIGKILL, -signal.SIGKILL]
    statuses, ends = _together(inputs, str(tmp_path))
    assert statuses == [0, 0], ends[0][1][-3000:] + ends[1][1][-3000:]
    for out, _ in ends:  # Of 23 steps the last checkpoint has 20.
        begun = [line for line in out.splitlines() if line.startswith("epoch")]
        assert begun == [f"epoch {number}" for number in range(KILLED_AT // EPOCH, STEPS // EPOCH)]
    assert os.path.exists(tmp_path / "worker0.npz")
