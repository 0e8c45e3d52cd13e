"""Rows of single pictures → the evaluation: one table of slices with intervals, as `evaluation.json`."""

import json
import math
import operator
import os
from typing import Any, Dict, Iterable

import apache_beam as beam
import numpy as np
from apache_beam.io import parquetio

from faketagger.components.evaluator import measure, metrics
from faketagger.components.evaluator.config import PLAIN, UNTAGGED, EvaluatorConfig, simulator_of

EVALUATION_FILE = "evaluation.json"
ROWS_PREFIX = "rows"


def summarise_slice(name: str, rows: Iterable[measure.Row], config: EvaluatorConfig) -> Dict[str, Any]:
    """One slice's figures, each {"mean", "low", "high"}, null where not finite; the order of the rows does not matter.

    Pictures are the sample: the tries with one picture are averaged first (metrics.share_interval). An untagged
    picture is a false positive when any of its tries is.

    Raises:
      ValueError: two eval pictures have one image id, or tries are missing.
    """
    rows = sorted(rows, key=operator.itemgetter("image_id", "repeat"))
    for first, second in zip(rows, rows[1:]):
        if (first["image_id"], first["repeat"]) == (second["image_id"], second["repeat"]):
            raise ValueError(f"two eval pictures have the id '{first['image_id']}': give example_gen other ids")
    if len(rows) % config.repeats:
        raise ValueError(f"slice {name}: {len(rows)} rows are not {config.repeats} of each picture")

    def tries(column: str) -> np.ndarray:
        return np.array([row[column] for row in rows], np.float64).reshape(-1, config.repeats)

    def share(values: np.ndarray) -> Dict[str, Any]:
        return _figure(np.mean(values), metrics.share_interval(values, config.confidence, config.seed))

    def mean(column: str) -> Dict[str, Any]:
        values = tries(column).mean(axis=1)
        return _figure(np.mean(values), metrics.bootstrap_interval(values, config.confidence, config.seed))

    pictures = len(rows) // config.repeats
    counts = {"pictures": pictures, "not_finite": sum(not row["finite"] for row in rows)}
    if name == UNTAGGED:
        read_as_tagged = tries("tagged").max(axis=1)
        return {**counts, "false_positives": int(read_as_tagged.sum()), "share": share(read_as_tagged)}
    figures = {
        **counts,
        "fmrr": share(tries("message_ok").mean(axis=1)),
        "bit_accuracy": mean("bit_accuracy"),
        "detected": share(tries("tagged").mean(axis=1)),
    }
    if name == PLAIN:
        return {**figures, "psnr": mean("psnr"), "ssim": mean("ssim")}
    return {**figures, "strength": {"psnr": mean("strength_psnr"), "ssim": mean("strength_ssim")}}


def _figure(mean: float, interval: metrics.Interval) -> Dict[str, Any]:
    values = {"mean": float(mean), "low": interval[0], "high": interval[1]}
    return {name: value if math.isfinite(value) else None for name, value in values.items()}


def assemble(slices: Dict[str, Dict[str, Any]], inputs: measure.Inputs, config: EvaluatorConfig) -> Dict[str, Any]:
    """The evaluation from the figures of its slices (summarise_slice); a slice without rows is missing in it.

    Returns:
      {"confidence", "repeats", "seed", "tagger": …, "quality": {"pictures", "not_finite", "psnr", "ssim"},
      "untagged": {"pictures", "not_finite", "false_positives", "share"}, "slices": {name: {"simulator", "condition",
      "family", "black_box", "pictures", "not_finite", "fmrr", "bit_accuracy", "detected", "strength"}}}.
    """
    plain = dict(slices.get(PLAIN, {}))
    quality = {name: plain[name] for name in ("pictures", "not_finite", "psnr", "ssim") if name in plain}
    table = {}
    for name in inputs.slices:
        if name in slices:
            figures = {key: value for key, value in slices[name].items() if key not in ("psnr", "ssim")}
            table[name] = {**_origin(name, inputs, config), **figures}
    tagger = inputs.tagger
    return {
        "confidence": config.confidence,
        "repeats": config.repeats,
        "seed": config.seed,
        "tagger": {
            "message_bits": tagger.message_bits,
            "code_bits": tagger.code_bits,
            "image_size": tagger.image_size,
            "strength": tagger.strength,
            "false_positive_rate": tagger.false_positive_rate,
        },
        "quality": quality,
        "untagged": slices.get(UNTAGGED, {}),
        "slices": table,
    }


def _origin(name: str, inputs: measure.Inputs, config: EvaluatorConfig) -> Dict[str, Any]:
    if name == PLAIN:
        return dict.fromkeys(("simulator", "condition", "family", "black_box", "strength"))
    simulator = simulator_of(name)
    return {
        "simulator": simulator,
        "condition": name[len(simulator) + 1 :],
        "family": inputs.simulators[simulator].family,
        "black_box": config.is_black_box(simulator),
    }


class WriteEvaluation(beam.PTransform):
    """PCollection of rows → `evaluation.json` and `rows-*.parquet` in a directory; Beam renames them into place."""

    def __init__(self, directory: str, inputs: measure.Inputs, config: EvaluatorConfig):
        super().__init__()
        self._directory = directory
        self._inputs = inputs
        self._config = config

    def expand(self, rows):
        # One shard: a second attempt in the same directory replaces the files instead of adding others beside them.
        written = rows | "Rows" >> parquetio.WriteToParquet(
            os.path.join(self._directory, ROWS_PREFIX),
            measure.ROW_SCHEMA,
            codec="snappy",
            file_name_suffix=".parquet",
            num_shards=1,
        )
        evaluation = (
            rows
            | "BySlice" >> beam.Map(lambda row: (row["slice"], row))
            | "Group" >> beam.GroupByKey()
            | "Summarise" >> beam.Map(lambda item, config: (item[0], summarise_slice(*item, config)), self._config)
            | "Table" >> beam.combiners.ToDict()
            | "Assemble" >> beam.Map(assemble, self._inputs, self._config)
            | "Json" >> beam.Map(json.dumps, indent=2, sort_keys=True, allow_nan=False)
            | "Evaluation" >> beam.io.WriteToText(
                os.path.join(self._directory, EVALUATION_FILE), shard_name_template="", num_shards=1
            )
        )
        return {"rows": written, "evaluation": evaluation}
