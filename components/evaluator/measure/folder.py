"""A folder of photographs, and the shipped simulators, as what the evaluator reads: for commands without a pipeline."""

import os
import sys
from collections.abc import Callable

import apache_beam as beam
import tensorflow as tf
from apache_beam.options.pipeline_options import PipelineOptions

from faketagger.components.contract import features, files, manifest, pretrained
from faketagger.components.example_gen import preprocess, sources
from faketagger.components.simulator import library, training
from faketagger.components.simulator.config import SimulatorConfig


def local_pipeline(*beam_args: str) -> beam.Pipeline:
    """An empty pipeline, in this process unless `beam_args` say otherwise; Beam's own default downloads a runner."""
    return beam.Pipeline(options=PipelineOptions(["--runner=FnApiRunner", *beam_args]))


def write_examples(
    folder: str,
    examples: str,
    image_size: int,
    rejected_to: str,
    make_pipeline: Callable[[], beam.Pipeline] = local_pipeline,
) -> None:
    """Writes a folder's photographs as Examples.

    Where the folder's attributes.csv has a `split` column its rows say which are the eval split, else all are.

    Args:
      folder: of photographs.
      examples: the new Examples artifact's directory.
      image_size: the side of the pictures.
      rejected_to: the directory for the list of those that cannot be read, which are told on standard error; a list of
        an earlier run is removed from it.
      make_pipeline: makes an empty pipeline.

    Raises:
      ValueError: not one readable picture is in the eval split.
    """
    listed = os.path.join(rejected_to, preprocess.REJECTED_FILE)
    if files.exists(listed):
        tf.io.gfile.remove(listed)
    with make_pipeline() as pipeline:
        preprocess.write_examples(pipeline, sources.ReadFolder(folder, None), examples, image_size, eval_percent=100)
    counts = preprocess.read_counts(examples)
    if counts[preprocess.REJECTED]:
        with open(os.path.join(examples, preprocess.REJECTED_FILE), "rb") as file:
            files.write_bytes(listed, file.read())
        print(f"{counts[preprocess.REJECTED]} pictures could not be read and are left out: {listed}", file=sys.stderr)
    if not counts[features.EVAL_SPLIT]:
        raise ValueError(f"{folder}: no readable picture of the eval split")


def shipped_simulators(examples: str, directory: str, image_size: int) -> str:
    """Makes SavedModels of the shipped simulators in `directory`, for pictures of `image_size`; returns it."""
    config = SimulatorConfig(image_size=image_size, train=(), shipped=tuple(library.names(pretrained.SIMULATORS)))
    training.make_all(examples, directory, config, checkpoints="")
    return directory


def side_of(simulators: str | None) -> int | None:
    """The side of the pictures that a directory of simulators takes; None without one."""
    if not simulators:
        return None
    first = os.path.join(simulators, library.names(simulators)[0])
    return manifest.read(manifest.SimulatorManifest, first).image_size
