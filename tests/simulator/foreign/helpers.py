"""Runs the command that adapts generators made elsewhere, and what it makes."""

import numpy as np
import tensorflow as tf

from faketagger.components.simulator import adapt, library

SIZE = 32


def pictures(count=3, size=SIZE, seed=5):
    return np.random.default_rng(seed).uniform(0.1, 0.9, [count, size, size, 3]).astype(np.float32)


def run(directory, **flags):
    """The command on `directory`/model or what `model` says; its exit code."""
    flags = {"model": directory / "model", "out": directory / "simulators", "name": "other", "licence": "MIT", **flags}
    given = [(name, each) for name, value in flags.items() for each in (value if isinstance(value, list) else [value])]
    return adapt.run(
        adapt.make_parser().parse(["adapt", *(f"--{name}={value}" for name, value in given if value is not None)])
    )


def adapted(directory, **flags):
    """The simulator that the command makes."""
    assert run(directory, **flags) == adapt.OK
    return library.load(str(directory / "simulators" / "other"))


def refusal(capsys, directory, **flags):
    """What the command says when it refuses; nothing may be written."""
    assert run(directory, **flags) == adapt.FAILED
    assert not (directory / "simulators" / "other").exists()
    return capsys.readouterr().err


def simulated(simulator, pictures, condition):
    return simulator(tf.constant(pictures), tf.fill([len(pictures)], condition)).numpy()


def gradient(simulator, pictures, condition=0):
    pictures = tf.constant(pictures)
    with tf.GradientTape() as tape:
        tape.watch(pictures)
        value = tf.reduce_sum(simulator(pictures, tf.fill([len(pictures)], condition))[..., 0])
    return tape.gradient(value, pictures).numpy()
