"""Trains taggers that differ in one thing, and evaluates them.

    python benchmarks/variants.py --of=messages --examples=DIR --simulators=DIR --out=DIR

`--examples` and `--simulators` are what the pipeline's first two steps leave, below its work directory in artifacts/.
--out gets a folder a variant, for the evaluator's report: `--compare=NAME=DIR/NAME/evaluation`. Variants that are there
already are left as they are.

`--of=messages`: message length, coding, level and loss weights. They are trained under perturbations alone: all
simulators are black-box to them. `uncoded` reads 30 bits as they come, as StegaStamp does with its own decoder in place
of a code.

`--of=training`: what the shipped tagger's training has besides, taken out one by one, and what it has not, added; each
in as much time. All go on at 128×128, through the simulators that are not --black_box, from one tagger of 64×64 that is
trained first, as `start`, under perturbations alone.
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
from faketagger.components.tagger.config import Geometry, HardDrawing, Masking, TaggerConfig
from faketagger.components.tagger.schedules import Ramp

FLAGS = flags.FLAGS
flags.DEFINE_enum("of", "messages", ["messages", "training"], "which variants")
flags.DEFINE_string("examples", None, "an Examples artifact with both splits", required=True)
flags.DEFINE_string("simulators", None, "a directory of simulators", required=True)
flags.DEFINE_list("black_box", [], "with --of=training, those of them that are kept out of it")
flags.DEFINE_string("out", None, "where the taggers and their evaluations go", required=True)
flags.DEFINE_integer("steps", 3000, "optimiser steps of each variant; from nothing, after 1,000 luck still decides")
flags.DEFINE_integer("limit", None, "at most this many pictures are evaluated")
flags.DEFINE_integer("repeats", 1, "how many UIDs each picture is tagged with")

_MODEL = "tagger"
_START_STEPS = 2000
_UNBOUND = {"min_psnr": 20.0, "start_psnr": 20.0}  # So that the weights decide what is seen.

MESSAGES = {
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
TRAINING = {
    "all": {},
    "one_version": {"versions": 1},
    "drawn_evenly": {"hard_drawing": HardDrawing(floor=1000.0)},
    "aligned": {"geometry": Geometry()},
    "one_strength": {"strengths": (1.0, 1.0)},
    "not_averaged": {"averaging": 0.0},
    "steered": {"steered": Ramp(scale=0.1)},  # More, not less: DeepTag §3.2's masks.
    "straight_through": {},  # Of every simulator it is trained through.
}
# How many more steps are made in the time of as many of `all`, as measured.
_MORE_STEPS = {"one_version": 1.6, "straight_through": 1.6}


def main(_) -> None:
    """Trains and evaluates each variant that is not there yet."""
    for name, config in (_messages() if FLAGS.of == "messages" else _training()).items():
        directory = os.path.join(FLAGS.out, name)
        if not os.path.exists(os.path.join(directory, "evaluation", record.EVALUATION_FILE)):
            print(name)
            _make(config, directory)


def _messages() -> dict[str, TaggerConfig]:
    base = TaggerConfig(
        code_length=127,
        min_psnr=30.05,
        psnr_ramp=FLAGS.steps // 2,
        batch_size=12,
        steps=FLAGS.steps,
        stuck_after=FLAGS.steps,
        critic=Ramp(0.0),
        black_box=tuple(_seen()),
    )
    return {name: base.replace(**changes) for name, changes in MESSAGES.items()}


def _training() -> dict[str, TaggerConfig]:
    start = TaggerConfig(
        code_length=127,
        min_psnr=33.0,
        psnr_ramp=_START_STEPS // 2,
        batch_size=8,
        steps=_START_STEPS,
        stuck_after=_START_STEPS,
        critic=Ramp(0.0),
        black_box=tuple(_seen()),
    )
    base = start.replace(
        start_from=os.path.join(FLAGS.out, "start", _MODEL),
        image_size=128,
        space_to_depth=2,
        start_psnr=33.0,
        masking=Masking(headroom=3.0, softness=3),
        residual=Ramp(0.0),
        perceptual=Ramp(0.0),
        steps=FLAGS.steps,
        strengths=(0.7, 1.0),
        versions=2,
        geometry=Geometry(share=0.5, shift=0.04, scale=0.07, rotation=4.0, deepfakes=0.3),
        averaging=0.99,
        perturbed_simulated=0.3,
        hard_drawing=HardDrawing(spares_hopeless=True),
        black_box=tuple(FLAGS.black_box),
    )
    variants = {name: base.replace(**changes) for name, changes in TRAINING.items()}
    through = tuple(name for name in _seen() if name not in FLAGS.black_box)
    variants["straight_through"] = base.replace(straight_through=through)
    for name, times in _MORE_STEPS.items():
        variants[name] = variants[name].replace(steps=int(times * FLAGS.steps))
    return {"start": start, **variants}


def _seen() -> list[str]:
    return sorted(name for name in library.names(FLAGS.simulators) if not name.startswith("perturbation"))


def _make(config: TaggerConfig, directory: str) -> None:
    keras.utils.set_random_seed(config.seed)
    checkpoints, model = os.path.join(directory, "checkpoints"), os.path.join(directory, _MODEL)
    through = training.white_box(library.load_all(FLAGS.simulators), config)
    trained, last = training.train(FLAGS.examples, through, config, checkpoints)
    told = manifest.TaggerRecord(
        steps=config.steps,
        level=config.level,
        weights=manifest.LossWeights(message=config.message, residual=config.residual.scale),
        black_box=config.black_box,
        simulators=tuple(each.manifest.name for each in through),
        last=last,
    )
    export.save(trained.encoder, trained.decoder, config, told, model)
    files.remove_directory(checkpoints)
    measured = EvaluatorConfig(
        repeats=FLAGS.repeats, limit=FLAGS.limit, black_box=config.black_box, sweeps={}, after=()
    )
    inputs = models.read_inputs(model, FLAGS.simulators, measured)
    evaluate(folder.local_pipeline, FLAGS.examples, inputs, measured, os.path.join(directory, "evaluation"))


if __name__ == "__main__":
    startup.run(main, startup.Parser("python benchmarks/variants.py", __doc__, module=sys.modules[__name__]))
