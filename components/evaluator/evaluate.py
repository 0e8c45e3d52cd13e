"""The whole evaluation of a tagger: measurement on Beam, comparison with another, gate, report."""

import os
import uuid
from collections.abc import Callable

import apache_beam as beam
import tensorflow as tf

from faketagger.components.contract import features, files
from faketagger.components.evaluator.config import EvaluatorConfig
from faketagger.components.evaluator.measure import models, parts, rows
from faketagger.components.evaluator.report import html
from faketagger.components.evaluator.report.text import format_markdown, format_table
from faketagger.components.evaluator.verdict import gate, record, summary, versus

TABLE_FILE, MARKDOWN_FILE, REPORT_FILE = "table.txt", "table.md", "report.html"
NEWEST_BLESSED = "newest_blessed"  # The folder of its evaluation.


def evaluate(
    make_pipeline: Callable[[], beam.Pipeline],
    examples_uri: str,
    inputs: models.Inputs,
    config: EvaluatorConfig,
    directory: str,
    newest_blessed: models.Inputs | None = None,
) -> tuple[record.Evaluation, record.Decision]:
    """Measures a tagger and holds what is found against the gate.

    Args:
      make_pipeline: makes an empty Beam pipeline.
      examples_uri: the Examples artifact, of which the eval split is read.
      inputs: models.read_inputs'.
      config: how to measure, and the gate.
      directory: where evaluation.json, rows-*.parquet, checks.json, table.txt, table.md and report.html are written.
      newest_blessed: the tagger that this one must not be worse than, with the same simulators; its evaluation is
        written to a folder of that name.

    Returns:
      The evaluation and the gate's decision.

    Raises:
      ValueError: `black_box` names a simulator that the tagger was trained through, or a tagger lies where the
        newest blessed one's evaluation goes.
    """
    claimed = sorted(set(config.black_box) & set(models.trained_through(inputs.tagger)))
    if claimed:
        raise ValueError(f"black_box names {', '.join(claimed)}, through which the tagger was trained, says its record")
    other = os.path.join(directory, NEWEST_BLESSED)
    for each in (inputs, newest_blessed):
        if each and f"{os.path.realpath(each.model_dir)}/".startswith(f"{os.path.realpath(other)}/"):
            raise ValueError(f"{each.model_dir}: lies in {other}, which is written anew: choose another place for one")
    _check_place(directory)
    _clear(directory)
    _clear(other)
    if tf.io.gfile.isdir(other) and not tf.io.gfile.listdir(other):
        files.remove_directory(other)
    evaluation = _measure(make_pipeline, examples_uri, inputs, config, directory)
    if newest_blessed:
        before = _measure(make_pipeline, examples_uri, newest_blessed, config, other)
        psnr = before.quality.psnr if before.quality else None
        compared = versus.compare(directory, other, config, inputs.slices, psnr)
        evaluation = evaluation.replace(newest_blessed=compared)
        evaluation.write(os.path.join(directory, record.EVALUATION_FILE))
    decision = gate.decide(evaluation, config.gate, inputs.slices, compared=newest_blessed is not None)
    forms = {
        TABLE_FILE: format_table,
        MARKDOWN_FILE: format_markdown,
        REPORT_FILE: html.make_page,
    }
    for name, format_it in forms.items():
        files.write_bytes(os.path.join(directory, name), format_it(evaluation, decision).encode())
    decision.write(os.path.join(directory, record.CHECKS_FILE))
    return evaluation, decision


def _check_place(directory: str) -> None:
    """tf.errors.OpError where nothing can be written to a directory: sooner than after an hour of measuring."""
    probe = os.path.join(directory, f".writable-{uuid.uuid4().hex}")
    files.write_bytes(probe, b"")
    tf.io.gfile.remove(probe)


def _clear(directory: str) -> None:
    """Removes what an earlier evaluation left: were this one to die, that would pass for its outcome."""
    names = (record.CHECKS_FILE, record.EVALUATION_FILE, TABLE_FILE, MARKDOWN_FILE, REPORT_FILE)
    for path in [*(os.path.join(directory, name) for name in names), *rows.paths(directory)]:
        if tf.io.gfile.exists(path):
            tf.io.gfile.remove(path)


def _measure(
    make_pipeline: Callable[[], beam.Pipeline],
    examples_uri: str,
    inputs: models.Inputs,
    config: EvaluatorConfig,
    directory: str,
) -> record.Evaluation:
    with make_pipeline() as pipeline:
        _ = (
            pipeline
            | "Files" >> beam.Create(features.example_files(examples_uri, features.EVAL_SPLIT))
            | "Measure" >> parts.MeasureTagger(inputs, config, directory)
        )
    return summary.summarise(directory, config, inputs.slices, summary.describe(inputs))
