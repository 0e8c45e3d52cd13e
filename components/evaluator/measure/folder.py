"""A folder of photographs, and the shipped simulators, as what the evaluator reads: for commands without a pipeline."""

import os
import sys
from collections.abc import Callable

import apache_beam as beam
import tensorflow as tf
from apache_beam.options.pipeline_options import PipelineOptions

from faketagger.components.contract import features, files, manifest, pretrained
from faketagger.components.example_gen import image_folder, preprocess, sources
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

    Where the folder's attributes.csv says of any which split it is of, those of the eval split are taken, else all: of
    others a pipeline may have trained on most.

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
    splits = [entry.split for entry in image_folder.list_folder(folder)]
    is_split = any(splits)
    if is_split and None in splits:
        print(
            f"{splits.count(None)} pictures are left out: attributes.csv says of others which split they are of, of "
            "these not",
            file=sys.stderr,
        )
    with make_pipeline() as pipeline:
        preprocess.write_examples(
            pipeline, sources.ReadFolder(folder, None), examples, image_size, eval_percent=0 if is_split else 100
        )
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


def reason(error: BaseException) -> str:
    """The line that says what failed, of Beam's error, which may hold a worker's whole traceback."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__)[:500]


def side_of(simulators: str | None) -> int | None:
    """The side of the pictures that a directory of simulators takes; None without one."""
    if not simulators:
        return None
    first = os.path.join(simulators, library.names(simulators)[0])
    return manifest.read(manifest.SimulatorManifest, first).image_size
