"""Trains taggers that differ in message length, coding, level or loss weights, each alike long, and evaluates them.

    python benchmarks/variants.py --examples=DIR --simulators=DIR --out=DIR

`--examples` and `--simulators` are what the pipeline's first two steps leave, below its work directory in artifacts/.
The taggers are trained under perturbations alone: all simulators are black-box to them. `uncoded` reads 30 bits as they
come, as StegaStamp does with its own decoder in place of a code. --out gets a folder a variant, for the evaluator's
report: `--compare=NAME=DIR/NAME/evaluation`. Variants that are there already are left as they are.
"""

import os
import sys

from faketagger.components.contract import startup

startup.quiet()  # Before TensorFlow is imported.

from absl import flags
from tensorflow import keras

from faketagger.components.contract import files, manifest
from faketagger.components.evaluator.config import EvaluatorConfig
from faketagger.components.evaluator.evaluate import evaluate
from faketagger.components.evaluator.measure import folder, models
from faketagger.components.evaluator.verdict import record
from faketagger.components.simulator import library
from faketagger.components.tagger import export, training
from faketagger.components.tagger.config import TaggerConfig
from faketagger.components.tagger.schedules import Ramp

FLAGS = flags.FLAGS
flags.DEFINE_string("examples", None, "an Examples artifact with both splits", required=True)
flags.DEFINE_string("simulators", None, "a directory of simulators", required=True)
flags.DEFINE_string("out", None, "where the taggers and their evaluations go", required=True)
flags.DEFINE_integer("steps", 3000, "optimiser steps of each variant; after 1,000 luck still decides")
flags.DEFINE_integer("repeats", 1, "how many UIDs each picture is tagged with")

_UNBOUND = {"min_psnr": 20.0, "start_psnr": 20.0}  # So that the weights decide what is seen.

VARIANTS = {
    "bits_30": {},
    "uncoded": {"code_length": 0},
    "bits_50": {"message_bits": 50},
    "raw": {"level": "raw"},
    "late": {"level": "late"},
    "bits_10": {"message_bits": 10},
    "bits_20": {"message_bits": 20},
    "bits_35": {"message_bits": 35},
    "bits_100": {"message_bits": 99},  # What BCH codes of 127 bits have nearest to 100.
    # The unofficial implementation's weights, to be compared with each other.
    "weights_10_0.1": {"message": 10.0, "residual": Ramp(scale=0.1, ramp=1000), **_UNBOUND},
    "weights_1_0.5": {"message": 1.0, "residual": Ramp(scale=0.5, ramp=1000), **_UNBOUND},
}


def main(_) -> None:
    """Trains and evaluates each variant that is not there yet."""
    base = TaggerConfig(
        code_length=127,
        min_psnr=30.05,  # The shipped tagger's.
        psnr_ramp=FLAGS.steps // 2,
        batch_size=12,
        steps=FLAGS.steps,
        stuck_after=FLAGS.steps,
        critic=Ramp(0.0),
    )
    for name, changes in VARIANTS.items():
        directory = os.path.join(FLAGS.out, name)
        if not os.path.exists(os.path.join(directory, "evaluation", record.EVALUATION_FILE)):
            print(name)
            _make(base.replace(**changes), directory)


def _make(config: TaggerConfig, directory: str) -> None:
    keras.utils.set_random_seed(config.seed)
    checkpoints, model = os.path.join(directory, "checkpoints"), os.path.join(directory, "tagger")
    trained, last = training.train(FLAGS.examples, [], config, checkpoints)
    record = manifest.TaggerRecord(
        steps=config.steps,
        level=config.level,
        weights=manifest.LossWeights(message=config.message, residual=config.residual.scale),
        black_box=tuple(library.names(FLAGS.simulators)),
        last=last,
    )
    export.save(trained.encoder, trained.decoder, config, record, model)
    files.remove_directory(checkpoints)
    seen = {name for name in library.names(FLAGS.simulators) if not name.startswith("perturbation")}
    measured = EvaluatorConfig(repeats=FLAGS.repeats, black_box=tuple(sorted(seen)), sweeps={}, after=())
    inputs = models.read_inputs(model, FLAGS.simulators, measured)
    evaluate(folder.local_pipeline, FLAGS.examples, inputs, measured, os.path.join(directory, "evaluation"))


if __name__ == "__main__":
    startup.run(main, startup.Parser("python benchmarks/variants.py", __doc__, module=sys.modules[__name__]))
