"""Evaluates an exported tagger on a folder of photographs, without a pipeline.

    python -m faketagger.components.evaluator --model=pretrained/tagger --images=DIR --out=DIR

Where the folder's attributes.csv has a `split` column its `eval` rows are used, else every picture. Without
`--simulators` the shipped ones are made for the tagger's picture size. Exit status: 0 the gate would bless it, 2 it
would not, 1 failed.
"""

import dataclasses
import functools
import os
import sys
import tempfile
import warnings
from collections.abc import Sequence

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # Before TensorFlow is imported.
warnings.simplefilter("ignore")

import tensorflow as tf
from absl import app, flags, logging

from faketagger.components.contract import manifest
from faketagger.components.evaluator.config import EvaluatorConfig
from faketagger.components.evaluator.evaluate import evaluate
from faketagger.components.evaluator.measure import folder, models
from faketagger.components.evaluator.report.text import format_table

FLAGS = flags.FLAGS
flags.DEFINE_string("model", None, "the tagger's SavedModel directory", required=True)
flags.DEFINE_string("images", None, "a folder of photographs, with an optional attributes.csv", required=True)
flags.DEFINE_string("simulators", None, "a directory of simulator SavedModels; by default the shipped ones")
flags.DEFINE_string("out", None, "where all that evaluate.evaluate makes is written", required=True)
flags.DEFINE_string("newest_blessed", None, "the SavedModel directory of a tagger that this one must not be worse than")
flags.DEFINE_integer("image_size", None, "the side of the pictures; the simulators', or by default the tagger's")
flags.DEFINE_list(
    "black_box",
    None,
    "the simulators that the tagger was not trained through; by default as its record of training says",
)
flags.DEFINE_integer("repeats", None, "how many UIDs each picture is tagged with; 1 by default")
flags.DEFINE_string("config", None, "an EvaluatorConfig as JSON: gate, seed, limit, …; the flags above go before it")
flags.DEFINE_multi_string("beam_args", [], "an option for Beam's runner")

PASSED, FAILED, NOT_PASSED = 0, 1, 2


def main(_: Sequence[str]) -> int:
    """Evaluates; the exit status."""
    logging.set_verbosity(logging.FATAL)  # Failures are told below, in a sentence.
    try:
        return _evaluate()
    except (ValueError, OSError, tf.errors.OpError) as error:
        print(f"failed: {error}", file=sys.stderr)
        return FAILED


def _evaluate() -> int:
    config = EvaluatorConfig.from_flags(FLAGS.config, black_box=FLAGS.black_box, repeats=FLAGS.repeats)
    tagger = manifest.read(manifest.TaggerManifest, FLAGS.model)
    image_size = FLAGS.image_size or folder.side_of(FLAGS.simulators) or tagger.image_size
    pipeline = functools.partial(folder.local_pipeline, *FLAGS.beam_args)
    with tempfile.TemporaryDirectory() as temporary:
        examples = os.path.join(temporary, "examples")
        folder.write_examples(FLAGS.images, examples, image_size, FLAGS.out, pipeline)
        made = os.path.join(temporary, "simulators")
        simulators = FLAGS.simulators or folder.shipped_simulators(examples, made, image_size)
        if FLAGS.black_box is None and not config.black_box:
            config = dataclasses.replace(config, black_box=models.not_trained_through(tagger, simulators))
        inputs = models.read_inputs(FLAGS.model, simulators, config)
        newest = models.read_inputs(FLAGS.newest_blessed, simulators, config) if FLAGS.newest_blessed else None
        evaluation, decision = evaluate(pipeline, examples, inputs, config, FLAGS.out, newest)
    print(format_table(evaluation, decision))
    return PASSED if decision.blessed else NOT_PASSED


if __name__ == "__main__":
    app.run(main)
