"""Whether a tagger reads worse than another on the same pictures, by more than chance."""

from collections.abc import Sequence

import numpy as np
from scipy import stats

from faketagger.components.evaluator.config import PLAIN, EvaluatorConfig
from faketagger.components.evaluator.measure import rows
from faketagger.components.evaluator.measure.slices import CONDITION, Slice
from faketagger.components.evaluator.verdict.record import Figure, SignTest, Versus


def compare(
    directory: str, other: str, config: EvaluatorConfig, slices: Sequence[Slice], psnr: Figure | None
) -> Versus:
    """Compares the rows of two evaluations, picture by picture.

    Args:
      directory: the evaluation of the tagger in question.
      other: that of the tagger it is compared with, on the same pictures, simulators and config.
      config: of both.
      slices: of both; those of kind plain and condition are compared.
      psnr: that of the tagger it is compared with.

    Returns:
      By slice, the pictures of which fewer tries are read, and more; and overall, those of which fewer, or more, are
      read over all these slices together: a loss too small to show in any one slice shows there. The p-value is that of
      the exact one-sided sign test (Conover 1999, §3.4): how probable as many worse ones are among those that differ,
      were both taggers equally good. Slices whose pictures are not the same in both are left out; unless all slices
      have the same pictures, the overall test is None.
    """
    differences = {}
    for described in slices:
        if described.kind in (PLAIN, CONDITION):
            new, old = (_shares(each, described.name, config.repeats) for each in (directory, other))
            if new and set(new) == set(old):
                differences[described.name] = {image_id: new[image_id] - old[image_id] for image_id in new}
    return Versus(
        psnr=psnr,
        slices={name: _sign_test(list(of_slice.values())) for name, of_slice in differences.items()},
        overall=_overall(list(differences.values())),
    )


def _overall(differences: Sequence[dict[str, float]]) -> SignTest | None:
    if not differences or any(set(each) != set(differences[0]) for each in differences):
        return None
    # Rounded: shares that cancel out must count as no difference.
    return _sign_test([round(sum(each[image_id] for each in differences), 6) for image_id in differences[0]])


def _sign_test(differences: Sequence[float]) -> SignTest:
    worse, better = int(np.sum(np.less(differences, 0))), int(np.sum(np.greater(differences, 0)))
    p_value = stats.binomtest(worse, worse + better, alternative="greater").pvalue if worse + better else 1.0
    return SignTest(worse=worse, better=better, p_value=float(p_value))


def _shares(directory: str, slice_name: str, repeats: int) -> dict[str, float]:
    found = rows.read(directory, slice_name, ["message_ok"])
    image_ids = found["image_id"][::repeats]
    return dict(zip(image_ids, found["message_ok"].astype(np.float64).reshape(-1, repeats).mean(axis=1)))
