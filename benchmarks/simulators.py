"""The table of the shipped simulators, measured on this machine, in Markdown.

    python benchmarks/simulators.py --examples=DIR

`--examples` is what the pipeline's first step leaves, with pictures of the simulators' size.
"""

import os
import sys
import tempfile
import time

from faketagger.components.contract import startup

startup.quiet()  # Before TensorFlow is imported.

import numpy as np
import tensorflow as tf
from absl import flags
from tqdm import tqdm

from faketagger.components.contract import features, manifest, pretrained
from faketagger.components.simulator import library
from faketagger.components.simulator.generators.base import read_faces
from faketagger.components.simulator.packing import export, shipped
from faketagger.components.simulator.quality import assess

FLAGS = flags.FLAGS
flags.DEFINE_string("examples", None, "an Examples artifact, of which the eval split is used", required=True)
_COLUMNS = (
    "simulator", "family", "parameters", "MB on disk", "training, min", "change, dB", "in the face, dB",
    "edits seen / KID (photographs)", "s a picture", "gradient",
)  # fmt: skip
_BATCH = 8
_CALLS = 5


def main(_) -> None:
    """Prints one row a shipped simulator."""
    print("| " + " | ".join(_COLUMNS) + " |\n" + "|---" * len(_COLUMNS) + "|")
    for name in tqdm(library.names(pretrained.SIMULATORS), desc="simulators"):
        described = manifest.read(manifest.SimulatorManifest, os.path.join(pretrained.SIMULATORS, name))
        pictures = read_faces(FLAGS.examples, features.EVAL_SPLIT, described.image_size, _BATCH)
        with tempfile.TemporaryDirectory() as directory:
            model = shipped.unpack(os.path.join(pretrained.SIMULATORS, name))
            export.save(directory, model.simulate, described, assess.Assessor(pictures), tracked=model.variables)
            simulator = library.load(os.path.join(directory, name))
            print("| " + " | ".join(_row(described, simulator, pictures.pictures)) + " |", flush=True)


def _row(described: manifest.SimulatorManifest, simulator: library.Simulator, pictures: np.ndarray) -> list[str]:
    trained, changes = described.training, described.change.values()
    size = os.path.getsize(os.path.join(pretrained.SIMULATORS, described.name, shipped.WEIGHTS_FILE))
    return [
        described.name,
        described.family,
        f"{trained.parameters:,}",
        f"{size / 1e6:.1f}",
        f"{trained.seconds_a_step * trained.steps / 60:.0f}",
        _range([each.psnr for each in changes]),
        _range([each.face_psnr for each in changes]),
        _quality(described),
        f"{_seconds_a_picture(simulator, pictures):.3f}",
        "flows" if _gradient_flows(simulator, pictures) else "none",
    ]


def _quality(described: manifest.SimulatorManifest) -> str:
    if described.success:
        good = sum(each["seen"] >= 0.7 for each in described.success.values())
        return f"{good} of {len(described.success)} edits seen in ≥ 0.7"
    if not described.realism:
        return "not measured"
    kids = [each["kid"] for name, each in described.realism.items() if name != assess.PHOTOGRAPHS]
    return f"{min(kids):.3f} to {max(kids):.3f} ({described.realism[assess.PHOTOGRAPHS]['kid']:.3f})"


def _range(values: list[float]) -> str:
    return f"{min(values):.1f} to {max(values):.1f}"


def _seconds_a_picture(simulator: library.Simulator, pictures: np.ndarray) -> float:
    condition = tf.zeros([len(pictures)], tf.int32)
    simulator(pictures, condition)  # The first call makes the graph.
    begun = time.perf_counter()
    for _ in range(_CALLS):
        simulator(pictures, condition)
    return (time.perf_counter() - begun) / (_CALLS * len(pictures))


def _gradient_flows(simulator: library.Simulator, pictures: np.ndarray) -> bool:
    """Whether every condition of the loaded SavedModel has a finite gradient that is not zero."""
    for index in range(len(simulator.manifest.conditions)):
        images = tf.constant(pictures)
        with tf.GradientTape() as tape:
            tape.watch(images)
            value = tf.reduce_mean(tf.square(simulator(images, tf.fill([len(images)], index))))
        gradient = tape.gradient(value, images)
        if gradient is None or not np.isfinite(gradient).all() or not np.any(gradient):
            return False
    return True


if __name__ == "__main__":
    startup.run(main, startup.Parser("python benchmarks/simulators.py", __doc__, module=sys.modules[__name__]))
