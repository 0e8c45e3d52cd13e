"""Rows of single pictures → the evaluation: slices, quality, false positives, each figure with its interval."""

import math
import os
from collections.abc import Callable, Sequence

import numpy as np

from faketagger.components.evaluator.config import PLAIN, UNTAGGED, EvaluatorConfig
from faketagger.components.evaluator.measure import metrics, rows
from faketagger.components.evaluator.measure.models import Inputs
from faketagger.components.evaluator.measure.slices import Slice
from faketagger.components.evaluator.verdict import record
from faketagger.components.evaluator.verdict.record import Figure

FALSE_POSITIVE_RATE = 1e-6  # At which the true-positive rate is given.


def describe(inputs: Inputs) -> record.Evaluated:
    """What an evaluation says of what was evaluated."""
    tagger = inputs.tagger
    facts = record.TaggerFacts(
        message_bits=tagger.message_bits,
        code_bits=tagger.code_bits,
        image_size=tagger.image_size,
        strength=tagger.strength,
        false_positive_rate=tagger.false_positive_rate,
        level=tagger.training.level if tagger.training else None,
        weights=tagger.training.weights if tagger.training else None,
    )
    label = f"{tagger.message_bits} bits in {tagger.code_bits}"
    return record.Evaluated(label=label, image_size=inputs.image_size, tagger=facts)


def summarise(
    directory: str, config: EvaluatorConfig, slices: Sequence[Slice], evaluated: record.Evaluated
) -> record.Evaluation:
    """Makes `evaluation.json` of the rows in a directory; a slice without rows is missing in it.

    Args:
      directory: the evaluation's.
      config: with which the rows were measured.
      slices: those that may be there.
      evaluated: describe's.

    Raises:
      ValueError: two eval pictures have one image id, or tries are missing.
    """
    found = {each.name: _SliceRows(directory, each.name, config) for each in slices}
    found = {name: slice_rows for name, slice_rows in found.items() if slice_rows.pictures}
    untagged = _SliceRows(directory, UNTAGGED, config)
    evaluation = record.Evaluation(
        label=evaluated.label,
        image_size=evaluated.image_size,
        tagger=evaluated.tagger,
        confidence=config.confidence,
        repeats=config.repeats,
        seed=config.seed,
        quality=found[PLAIN].quality() if PLAIN in found else None,
        untagged=untagged.false_positives() if untagged.pictures else None,
        overall=_by_box(found, slices, _SliceRows.right),
        overall_tpr=_by_box(found, slices, _SliceRows.found),
        slices={each.name: _slice_figures(each, found[each.name]) for each in slices if each.name in found},
    )
    evaluation.write(os.path.join(directory, record.EVALUATION_FILE))
    return evaluation


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
        self.not_finite = int(np.sum(~finite.astype(bool)))

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

    def quality(self) -> record.QualityFigures:
        """How much of a picture tagging keeps; of the slice `plain`."""
        return record.QualityFigures(
            pictures=self.pictures,
            not_finite=self.not_finite,
            psnr=self.mean("psnr"),
            ssim=self.mean("ssim"),
            ms_ssim=self.mean("ms_ssim"),
            visibility=self.mean("visibility"),
            lpips=self.mean("lpips"),
        )

    def false_positives(self) -> record.UntaggedFigures:
        """An untagged picture is a false positive when any of its tries is."""
        read_as_tagged = self.tries("tagged").max(axis=1)
        count = None if np.isnan(read_as_tagged).any() else int(read_as_tagged.sum())  # None where a method cannot say.
        return record.UntaggedFigures(
            pictures=self.pictures,
            not_finite=self.not_finite,
            false_positives=count,
            share=self.share(read_as_tagged),
        )

    def mean_over_conditions(self, of_pictures: np.ndarray) -> Figure:
        """The mean of shares that are each over several conditions; [pictures], 0…1."""
        interval = metrics.mean_share_interval(of_pictures, self._config.confidence, self._config.seed)
        return _figure(of_pictures, interval)


def _slice_figures(described: Slice, found: _SliceRows) -> record.SliceFigures:
    changes = described.kind != PLAIN
    return record.SliceFigures(
        kind=described.kind,
        simulator=described.simulator,
        condition=described.condition,
        family=described.family,
        black_box=described.black_box,
        strength_value=described.strength,
        pictures=found.pictures,
        not_finite=found.not_finite,
        fmrr=found.share(found.right()),
        bit_accuracy=found.mean("bit_accuracy"),
        tpr=found.share(found.found()),
        change_psnr=found.mean("change_psnr") if changes else None,
        change_ssim=found.mean("change_ssim") if changes else None,
    )


def _by_box(
    found: dict[str, _SliceRows], slices: Sequence[Slice], share: Callable[[_SliceRows], np.ndarray]
) -> record.ByBox:
    def overall(black_box: bool) -> Figure | None:
        named = [each.name for each in slices if each.is_deepfake and each.black_box == black_box]
        of_conditions = [found[name] for name in named if name in found]
        if len({each.pictures for each in of_conditions}) != 1:
            return None  # None there, or not the same pictures in each: the gate says which are missing.
        return of_conditions[0].mean_over_conditions(np.mean([share(each) for each in of_conditions], axis=0))

    return record.ByBox(white=overall(False), black=overall(True))


def _figure(values: np.ndarray, interval: metrics.Interval) -> Figure:
    mean, low, high = (value if math.isfinite(value) else None for value in (float(np.mean(values)), *interval))
    return Figure(mean=mean, low=low, high=high)
