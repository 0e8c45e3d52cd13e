"""Trains taggers that differ in one thing, and evaluates them.

    python benchmarks/variants.py --of=messages --examples=DIR --simulators=DIR --out=DIR

`--examples` and `--simulators` are what the pipeline's first two steps leave, below its work directory in artifacts/.
--out gets a folder a variant, for the evaluator's report: `--compare=NAME=DIR/NAME/evaluation`. Variants that are there
already are left as they are; one whose training or evaluation was killed goes on, where settings, examples, simulators
and the tagger that it began with are the same.

`--of=messages`: message length, coding, level and loss weights. They are trained under perturbations alone: all
simulators are black-box to them. `uncoded` reads 30 bits as they come, as StegaStamp does with its own decoder in place
of a code.

`--of=training`: the shipped tagger's training, of which one thing is left out or done otherwise, each in as much time.
All go on from the tagger --start_from, through the simulators that are not --black_box. What a short training shows
depends on where it begins: from a tagger that is to learn something yet.
"""

import os
import sys
from collections.abc import Callable
from typing import Any

from faketagger.components.contract import startup

startup.quiet()  # Before TensorFlow is imported.

from absl import flags
from tensorflow import keras

from faketagger.components.contract import files, pretrained
from faketagger.components.evaluator.config import EvaluatorConfig
from faketagger.components.evaluator.evaluate import evaluate
from faketagger.components.evaluator.measure import folder, models
from faketagger.components.evaluator.verdict import record
from faketagger.components.simulator import library
from faketagger.components.tagger import export, start, training
from faketagger.components.tagger.config import Geometry, HardDrawing, TaggerConfig
from faketagger.components.tagger.schedules import Ramp
from faketagger.pipelines import presets

FLAGS = flags.FLAGS
flags.DEFINE_enum("of", "messages", ["messages", "training"], "which variants")
flags.DEFINE_string("examples", None, "an Examples artifact with both splits", required=True)
flags.DEFINE_string("simulators", None, "a directory of simulators", required=True)
flags.DEFINE_list("black_box", [], "with --of=training, those of them that are kept out of it")
flags.DEFINE_string(
    "start_from", "shipped", "with --of=training, the SavedModel of a tagger with the shipped one's sizes"
)
flags.DEFINE_string("out", None, "where the taggers and their evaluations go", required=True)
flags.DEFINE_integer("steps", 3000, "optimiser steps of each variant; from nothing, after 1,000 luck still decides")
flags.DEFINE_integer("limit", None, "at most this many pictures are evaluated")
flags.DEFINE_integer("repeats", 1, "how many UIDs each picture is tagged with")

_MODEL = "tagger"
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
TRAINING: dict[str, Callable[[TaggerConfig], dict[str, Any]]] = {
    "as_shipped": lambda shipped: {},
    "one_version": lambda shipped: {"versions": 1},
    "drawn_evenly": lambda shipped: {"hard_drawing": HardDrawing(floor=1000.0)},
    "aligned": lambda shipped: {"geometry": Geometry()},
    "moved_alike": lambda shipped: {"geometry": shipped.geometry.replace(deepfakes=1.0)},
    "moved_more": lambda shipped: {
        "geometry": Geometry(share=0.5, shift=0.04, scale=0.07, rotation=4.0, deepfakes=0.3)  # Of trainings before.
    },
    "finer": lambda shipped: {"masking": shipped.masking.replace(softness=2, headroom=shipped.masking.headroom / 2)},
    "one_strength": lambda shipped: {"strengths": (1.0, 1.0)},
    "not_averaged": lambda shipped: {"averaging": 0.0},
    "straight_through": lambda shipped: {"straight_through": tuple(_white_box())},
    "steered": lambda shipped: {"steered": Ramp(scale=0.1)},  # DeepTag §3.2's masks.
}
# How many more steps are made in the time of as many of `as_shipped`, as measured.
_MORE_STEPS = {"one_version": 1.9, "straight_through": 1.6}


def main(_) -> None:
    """Trains and evaluates each variant that is not there yet."""
    for name, config in (_messages() if FLAGS.of == "messages" else _training()).items():
        directory = os.path.join(FLAGS.out, name)
        if not os.path.exists(os.path.join(directory, "evaluation", record.EVALUATION_FILE)):
            print(name)
            _make(config, directory)
            keras.backend.clear_session()  # Else the memory of each is kept.


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
    shipped = presets.shipped().tagger
    shipped = shipped.replace(
        start_from=FLAGS.start_from,
        black_box=tuple(FLAGS.black_box),
        averaging=0.99,  # Of a short training.
    )
    return {
        name: shipped.replace(steps=int(_MORE_STEPS.get(name, 1.0) * FLAGS.steps), **changes(shipped))
        for name, changes in TRAINING.items()
    }


def _seen() -> list[str]:
    return sorted(name for name in library.names(FLAGS.simulators) if not name.startswith("perturbation"))


def _white_box() -> list[str]:
    return [name for name in _seen() if name not in FLAGS.black_box]


def _make(config: TaggerConfig, directory: str) -> None:
    keras.utils.set_random_seed(config.seed)
    root, model = os.path.join(directory, "checkpoints"), os.path.join(directory, _MODEL)
    started_from = start.directory_of(config)
    made_of = [config.to_json(), *map(files.directory_fingerprint, (FLAGS.examples, FLAGS.simulators))]
    made_of += [pretrained.fingerprint(started_from)] if started_from else []
    checkpoints = files.checkpoint_directory(root, model, *made_of)
    through = training.white_box(library.load_all(FLAGS.simulators), config)
    trained, last = training.train(FLAGS.examples, through, config, checkpoints)
    told = training.record_of(config, through, last, start.record_before(config))
    export.save(trained.encoder, trained.decoder, config, told, model)
    measured = EvaluatorConfig(
        repeats=FLAGS.repeats, limit=FLAGS.limit, black_box=config.black_box, sweeps={}, after=()
    )
    inputs = models.read_inputs(model, FLAGS.simulators, measured)
    evaluate(folder.local_pipeline, FLAGS.examples, inputs, measured, os.path.join(directory, "evaluation"))
    files.remove_directory(root)  # Not before: what is killed in its evaluation is not trained again.


if __name__ == "__main__":
    startup.run(main, startup.Parser("python benchmarks/variants.py", __doc__, module=sys.modules[__name__]))
