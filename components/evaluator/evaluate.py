"""The whole evaluation of a tagger: measurement on Beam, gate, table."""

import os
from typing import Any, Dict, Tuple

import apache_beam as beam

from faketagger.components.contract import features, files
from faketagger.components.evaluator import gate, measure, report, summary
from faketagger.components.evaluator.config import EvaluatorConfig

TABLE_FILE = "table.txt"


def evaluate(
    pipeline: beam.Pipeline, examples_uri: str, inputs: measure.Inputs, config: EvaluatorConfig, directory: str
) -> Tuple[Dict[str, Any], gate.Decision]:
    """Runs `pipeline` with the measurement added, and holds what it found against the gate.

    Args:
      pipeline: an empty one; it is run.
      examples_uri: the Examples artifact, of which the eval split is read.
      inputs: measure.read_inputs'.
      config: how to measure, and the gate.
      directory: where evaluation.json, rows-*.parquet and table.txt are written.

    Returns:
      The evaluation (summary.assemble) and the gate's decision.
    """
    with pipeline:
        _ = (
            pipeline
            | "Files" >> beam.Create(features.example_files(examples_uri, features.EVAL_SPLIT))
            | "Read" >> measure.ReadExamples()
            | "Measure" >> measure.MeasureTagger(inputs, config)
            | "Write" >> summary.WriteEvaluation(directory, inputs, config)
        )
    evaluation = files.read_json(os.path.join(directory, summary.EVALUATION_FILE), "the evaluation")
    decision = gate.decide(evaluation, config.gate, inputs.slices)
    table = report.format_table(evaluation, decision)
    files.write_bytes(os.path.join(directory, TABLE_FILE), table.encode())
    return evaluation, decision
