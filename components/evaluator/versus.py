"""Whether a tagger reads worse than another on the same pictures, by more than chance."""

from typing import Any, Dict, Sequence

import numpy as np
from scipy import stats

from faketagger.components.evaluator import rows
from faketagger.components.evaluator.config import PLAIN, EvaluatorConfig
from faketagger.components.evaluator.slices import CONDITION, Slice


def compare(directory: str, other: str, config: EvaluatorConfig, slices: Sequence[Slice]) -> Dict[str, Any]:
    """Compares the rows of two evaluations, picture by picture.

    Args:
      directory: the evaluation of the tagger in question.
      other: that of the tagger it is compared with, on the same pictures, simulators and config.
      config: of both.
      slices: of both; those of kind plain and condition are compared.

    Returns:
      {slice: {"worse": pictures of which fewer tries are read, "better": more, "p_value"}}; the p-value is that of the
      exact one-sided sign test (Conover 1999, §3.4): how probable as many worse ones are among those that differ, were
      both taggers equally good. Slices whose pictures are not the same in both are left out.
    """
    found = {}
    for described in slices:
        if described.kind not in (PLAIN, CONDITION):
            continue
        new, old = (_shares(each, described.name, config.repeats) for each in (directory, other))
        if not new or set(new) != set(old):
            continue
        differences = np.array([new[image_id] - old[image_id] for image_id in new])
        worse, better = int(np.sum(differences < 0)), int(np.sum(differences > 0))
        p_value = stats.binomtest(worse, worse + better, alternative="greater").pvalue if worse + better else 1.0
        found[described.name] = {"worse": worse, "better": better, "p_value": float(p_value)}
    return found


def _shares(directory: str, slice_name: str, repeats: int) -> Dict[str, float]:
    found = rows.read(directory, slice_name, ["message_ok"])
    image_ids = found["image_id"][::repeats]
    return dict(zip(image_ids, found["message_ok"].astype(np.float64).reshape(-1, repeats).mean(axis=1)))
