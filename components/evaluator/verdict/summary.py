"""Rows of single pictures → the evaluation: slices, quality, false positives, each figure with its interval."""

import math
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from faketagger.components.contract import files
from faketagger.components.evaluator.config import BOXES, PLAIN, UNTAGGED, EvaluatorConfig
from faketagger.components.evaluator.measure import metrics, rows
from faketagger.components.evaluator.measure.models import Inputs
from faketagger.components.evaluator.measure.slices import Slice

EVALUATION_FILE = "evaluation.json"
# What every evaluation has; overall_tpr came later.
KEYS = frozenset(
    ("confidence", "repeats", "seed", "label", "image_size", "tagger", "quality", "untagged", "overall", "slices")
)
QUALITY = ("psnr", "ssim", "ms_ssim", "lpips")
FALSE_POSITIVE_RATE = 1e-6  # At which the true-positive rate is given.

Figure = dict[str, float | None]


def describe(inputs: Inputs) -> dict[str, Any]:
    """What an evaluation says of what was evaluated."""
    tagger = inputs.tagger
    same = ("message_bits", "code_bits", "image_size", "strength", "false_positive_rate")
    level = (tagger.training or {}).get("level")
    return {
        "label": f"{tagger.message_bits} bits in {tagger.code_bits}",
        "image_size": inputs.image_size,
        "tagger": {**{name: getattr(tagger, name) for name in same}, "level": level},
    }


def summarise(
    directory: str, config: EvaluatorConfig, slices: Sequence[Slice], described: dict[str, Any]
) -> dict[str, Any]:
    """Makes `evaluation.json` of the rows in a directory; a slice without rows is missing in it.

    Args:
      directory: the evaluation's.
      config: with which the rows were measured.
      slices: those that may be there.
      described: describe's: "label", "image_size", "tagger".

    Returns:
      {"confidence", "repeats", "seed", *described, "quality": {"pictures", "not_finite", *QUALITY}, "untagged":
      {"pictures", "not_finite", "false_positives", "share"}, "overall" and "overall_tpr": the mean FMRR and TPR over
      conditions of deepfakes, {"white", "black"}, "slices": {name: {"kind", "simulator", "condition", "family",
      "black_box", "strength_value", "pictures", "not_finite", "fmrr", "bit_accuracy", "tpr", "strength"}}}. Figures are
      {"mean", "low", "high"}, null where they are no finite numbers.

    Raises:
      ValueError: two eval pictures have one image id, or tries are missing.
    """
    found = {each.name: _SliceRows(directory, each.name, config) for each in slices}
    found = {name: slice_rows for name, slice_rows in found.items() if slice_rows.pictures}
    plain, untagged = found.get(PLAIN), _SliceRows(directory, UNTAGGED, config)
    evaluation = {
        "confidence": config.confidence,
        "repeats": config.repeats,
        "seed": config.seed,
        **described,
        "quality": {**plain.counts, **{name: plain.mean(name) for name in QUALITY}} if plain else {},
        "untagged": untagged.false_positives() if untagged.pictures else {},
        "overall": {box: _overall(found, _in_box(slices, box), _SliceRows.right) for box in BOXES},
        "overall_tpr": {box: _overall(found, _in_box(slices, box), _SliceRows.found) for box in BOXES},
        "slices": {each.name: _slice_figures(each, found[each.name]) for each in slices if each.name in found},
    }
    files.write_json(os.path.join(directory, EVALUATION_FILE), evaluation)
    return evaluation


def _in_box(slices: Sequence[Slice], box: str) -> list[Slice]:
    return [each for each in slices if each.is_deepfake and each.black_box == (box == "black")]


class _SliceRows:
    """One slice's rows. Pictures are the sample: the tries with one picture are averaged first.

    The columns are read anew for each figure, so that no more than one is in memory.
    """

    def __init__(self, directory: str, name: str, config: EvaluatorConfig):
        self._directory, self._name, self._config = directory, name, config
        finite = rows.read(directory, name, ["finite"])["finite"]
        if len(finite) % config.repeats:
            raise ValueError(f"slice {name}: {len(finite)} rows are not {config.repeats} of each picture")
        self.pictures = len(finite) // config.repeats
        self.counts = {"pictures": self.pictures, "not_finite": int(np.sum(~finite.astype(bool)))}

    def tries(self, column: str) -> np.ndarray:
        """float64 [pictures, repeats]."""
        values = rows.read(self._directory, self._name, [column])[column]
        return values.astype(np.float64).reshape(-1, self._config.repeats)

    def mean(self, column: str) -> Figure:
        """A column's mean over pictures."""
        values = self.tries(column).mean(axis=1)
        return _figure(values, metrics.bootstrap_interval(values, self._config.confidence, self._config.seed))

    def share(self, of_pictures: np.ndarray) -> Figure:
        """A share; [pictures], 0…1."""
        return _figure(of_pictures, metrics.share_interval(of_pictures, self._config.confidence, self._config.seed))

    def right(self) -> np.ndarray:
        """The share of each picture's tries whose whole message came back, float64 [pictures]."""
        return self.tries("message_ok").mean(axis=1)

    def found(self) -> np.ndarray:
        """The same of those that were found at FALSE_POSITIVE_RATE; NaN where a method has no p-value."""
        p_value = self.tries("p_value")
        return np.where(np.isnan(p_value), np.nan, p_value <= FALSE_POSITIVE_RATE).mean(axis=1)

    def false_positives(self) -> dict[str, Any]:
        """An untagged picture is a false positive when any of its tries is."""
        read_as_tagged = self.tries("tagged").max(axis=1)
        count = None if np.isnan(read_as_tagged).any() else int(read_as_tagged.sum())  # None where a method cannot say.
        return {**self.counts, "false_positives": count, "share": self.share(read_as_tagged)}

    def mean_over_conditions(self, of_pictures: np.ndarray) -> Figure:
        """The mean of shares that are each over several conditions; [pictures], 0…1.

        The conditions are taken as they are and pictures are the sample, of which the interval is the bootstrap: no
        binomial one, but where every picture's share is 0 or 1.
        """
        if np.isin(of_pictures, (0.0, 1.0)).all():
            return self.share(of_pictures)
        interval = metrics.bootstrap_interval(of_pictures, self._config.confidence, self._config.seed)
        return _figure(of_pictures, interval)


def _slice_figures(described: Slice, found: _SliceRows) -> dict[str, Any]:
    strength = {"psnr": found.mean("strength_psnr"), "ssim": found.mean("strength_ssim")}
    same = ("kind", "simulator", "condition", "family", "black_box")
    return {
        **{name: getattr(described, name) for name in same},
        "strength_value": described.strength,
        **found.counts,
        "fmrr": found.share(found.right()),
        "bit_accuracy": found.mean("bit_accuracy"),
        "tpr": found.share(found.found()),
        "strength": None if described.kind == PLAIN else strength,
    }


def _overall(
    found: dict[str, _SliceRows], conditions: Sequence[Slice], share: Callable[[_SliceRows], np.ndarray]
) -> Figure | None:
    of_conditions = [found[each.name] for each in conditions if each.name in found]
    if len({each.pictures for each in of_conditions}) != 1:
        return None  # None there, or not the same pictures in each: the gate says which are missing.
    return of_conditions[0].mean_over_conditions(np.mean([share(each) for each in of_conditions], axis=0))


def _figure(values: np.ndarray, interval: metrics.Interval) -> Figure:
    figure = {"mean": float(np.mean(values)), "low": interval[0], "high": interval[1]}
    return {name: value if math.isfinite(value) else None for name, value in figure.items()}
