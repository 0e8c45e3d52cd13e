r"""Trains one simulator for the repository: half-precision weights, manifest, model card and sheet of samples.

    python -m faketagger.components.simulator --generator=stargan --data="TEXT" --licence="TEXT" --examples=DIR \
        --out=pretrained/simulators

`--examples` is what the pipeline's first step leaves, below its work directory in artifacts/FaceExampleGen/examples.
Killed, it goes on from its last checkpoint when it is called again with the same settings and Examples.
"""

import dataclasses
import os
import tempfile
import warnings

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # Before TensorFlow is imported.
warnings.simplefilter("ignore")

from absl import app, flags, logging
from tensorflow import keras

from faketagger.components.contract import features, files, manifest
from faketagger.components.simulator import library, training
from faketagger.components.simulator.config import SimulatorConfig
from faketagger.components.simulator.generators.base import Generator, read_faces
from faketagger.components.simulator.generators.registry import GENERATORS, depths
from faketagger.components.simulator.packing import card, export, samples, shipped
from faketagger.components.simulator.quality.assess import Assessor

FLAGS = flags.FLAGS
_DEFAULTS = SimulatorConfig(image_size=128)
flags.DEFINE_enum("generator", None, list(GENERATORS), "what to train", required=True)
flags.DEFINE_string("name", None, "its name, where it is another than the generator's")
flags.DEFINE_string(
    "examples", None, "an Examples artifact: trained on its train split, assessed on eval", required=True
)
flags.DEFINE_string("shown", None, "an Examples artifact whose eval pictures the sheet shows; --examples by default")
flags.DEFINE_string("data", None, "what the pictures are, for the model card", required=True)
flags.DEFINE_string("licence", None, "under which terms the simulator may be used", required=True)
flags.DEFINE_string("out", None, "the directory of shipped simulators", required=True)
flags.DEFINE_string("checkpoints", None, "kept until the end, for a training that is killed; beside --out by default")
flags.register_validator(
    "name", lambda name: name is None or manifest.is_name(name), "expected lower-case letters, digits and underscores"
)
flags.DEFINE_integer("image_size", _DEFAULTS.image_size, "the side of the pictures")
flags.DEFINE_integer("width", _DEFAULTS.width, "channels of the first layer")
flags.DEFINE_integer("depth", None, ", ".join(f"{depth.parts} of {name}" for name, depth in depths().items()))
flags.DEFINE_integer("steps", _DEFAULTS.steps, "optimiser steps")
flags.DEFINE_integer("batch_size", _DEFAULTS.batch_size, "pictures a step")
flags.DEFINE_float("learning_rate", _DEFAULTS.learning_rate, "of Adam")
flags.DEFINE_float("zoom", _DEFAULTS.zoom, "the least share of a picture's side that a training window shows")
flags.DEFINE_float("critic", _DEFAULTS.critic, "weight of a patch critic beside restoring; 0 for none")
flags.DEFINE_bool("attention", _DEFAULTS.attention, "whether stargan makes a mask of what it changes")
flags.DEFINE_bool(
    "bfloat16", _DEFAULTS.bfloat16, "convolutions in bfloat16: three times as fast on processors with AMX"
)
flags.DEFINE_integer("judge_steps", _DEFAULTS.judge_steps, "optimiser steps for the classifier that judges it")
flags.DEFINE_integer("seed", _DEFAULTS.seed, "for initial weights and shuffling")
_SETTINGS = (
    "image_size",
    "width",
    "depth",
    "steps",
    "batch_size",
    "learning_rate",
    "judge_steps",
    "seed",
    "zoom",
    "critic",
    "attention",
    "bfloat16",
)


def main(_) -> None:
    """Trains and packs one simulator."""
    logging.set_verbosity(logging.ERROR)  # TensorFlow tells of every file that it writes.
    config = SimulatorConfig(train=(FLAGS.generator,), **{name: FLAGS[name].value for name in _SETTINGS})
    name = FLAGS.name or FLAGS.generator
    faces = read_faces(FLAGS.examples, features.TRAIN_SPLIT, config.stored_side)
    root = FLAGS.checkpoints or f"{FLAGS.out}.checkpoints"
    checkpoints = training.checkpoint_directory(root, name, config, FLAGS.examples)
    judged = Assessor(read_faces(FLAGS.examples, features.EVAL_SPLIT, config.image_size))
    judged = training.with_judge(judged, faces, config)
    keras.utils.set_random_seed(config.seed)
    model, described = training.train(FLAGS.generator, faces, config, checkpoints, judged.judge)
    described = dataclasses.replace(
        described, name=name, licence=FLAGS.licence, training_data=f"{FLAGS.data} ({described.training_data})"
    )
    shown = Assessor(read_faces(FLAGS.shown, features.EVAL_SPLIT, config.image_size)) if FLAGS.shown else judged
    with tempfile.TemporaryDirectory() as temporary:
        _make(model, described, judged, shown, temporary)
        files.copy_directory(os.path.join(temporary, "packed", name), os.path.join(FLAGS.out, name))
    files.remove_directory(checkpoints)


def _make(
    model: Generator, described: manifest.SimulatorManifest, judged: Assessor, shown: Assessor, directory: str
) -> None:
    """Packs a simulator below `directory`/packed, assessed as it will be used: with the weights as they are on disk."""
    packed = os.path.join(directory, "packed", described.name)
    shipped.pack(model, described, os.path.dirname(packed))
    model = shipped.unpack(packed)
    described = export.save(directory, model.simulate, described, judged, tracked=model.variables)
    simulator = library.load(os.path.join(directory, described.name))
    manifest.write(described, packed)
    files.write_bytes(os.path.join(packed, samples.FILE), export.sheet(simulator, shown))
    size = os.path.getsize(os.path.join(packed, shipped.WEIGHTS_FILE))
    text = card.write(described, len(judged.faces.pixels), size, shown is not judged)
    files.write_bytes(os.path.join(packed, card.FILE), text.encode())


if __name__ == "__main__":
    app.run(main)
