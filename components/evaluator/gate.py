"""Decides whether a tagger is blessed. Pure, and closed by default: what was not shown counts as not reached."""

import dataclasses
import math
from typing import Any, Callable, Dict, List, Optional, Sequence

from faketagger.components.evaluator.config import Gate, simulator_of


@dataclasses.dataclass(frozen=True)
class Check:
    """One demand of the gate.

    Attributes:
      name: what was checked, e.g. `fmrr plain`.
      figure: the end of the interval that counts; None when there is none.
      bound: what it was held against.
      passed: whether it held.
      reason: one sentence with the figures, for people.
    """

    name: str
    figure: Optional[float]
    bound: float
    passed: bool
    reason: str


@dataclasses.dataclass(frozen=True)
class Decision:
    """Whether a tagger is blessed, and all checks; blessed only when every one passed."""

    blessed: bool
    checks: List[Check]

    def to_dict(self) -> Dict[str, Any]:
        """As JSON values."""
        return dataclasses.asdict(self)


def decide(evaluation: Dict[str, Any], gate: Gate, expected_slices: Sequence[str]) -> Decision:
    """Holds an evaluation (summary.assemble) against a gate.

    Args:
      evaluation: what was measured.
      gate: what is demanded.
      expected_slices: the slices that must be there (measure.Inputs.slices); slices that were measured besides are
        gated too.

    Returns:
      The decision. A slice that is missing, a figure that is missing or no number, outputs that were not finite, too
      few pictures, no gated slice at all, or an override for a slice that does not exist: each fails its check.
    """
    slices = _mapping(evaluation, "slices")
    known = list(dict.fromkeys([*expected_slices, *slices]))
    gated = [name for name in known if gate.gates(name)]
    checks = [_at_least(f"fmrr {name}", slices.get(name), "fmrr", gate.threshold(name), gate) for name in gated]
    if not gated:
        checks.append(Check("gated slices", 0, 1, False, "no slice is gated: nothing shows that tags survive"))
    for name in sorted(set(gate.fmrr_overrides) - set(known) - {simulator_of(name) for name in known}):
        reason = f"the gate names '{name}', which is neither a slice nor a simulator of this evaluation"
        checks.append(Check(f"fmrr {name}", None, gate.fmrr_overrides[name], False, reason))
    quality = evaluation.get("quality")
    checks.append(_at_least("psnr", quality, "psnr", gate.min_psnr, gate))
    if gate.min_ssim is not None:
        checks.append(_at_least("ssim", quality, "ssim", gate.min_ssim, gate))
    untagged = evaluation.get("untagged")
    checks.append(_at_most("false positives", untagged, "share", gate.max_false_positives, gate))
    return Decision(all(check.passed for check in checks), checks)


def _at_least(name: str, entry: Any, key: str, bound: float, gate: Gate) -> Check:
    return _check(name, entry, key, "low", bound, gate, lambda low, least: low >= least)


def _at_most(name: str, entry: Any, key: str, bound: float, gate: Gate) -> Check:
    return _check(name, entry, key, "high", bound, gate, lambda high, most: high <= most)


def _check(
    name: str, entry: Any, key: str, end: str, bound: float, gate: Gate, holds: Callable[[float, float], bool]
) -> Check:
    """One figure of one slice; `end` is the end of its interval that counts."""
    if not isinstance(entry, dict) or not entry:
        return Check(name, None, bound, False, "was not measured")
    figure, mean = _number(_mapping(entry, key).get(end)), _number(_mapping(entry, key).get("mean"))
    pictures, not_finite = _number(entry.get("pictures")), _number(entry.get("not_finite"))
    problems = []
    if pictures is None or pictures < gate.min_pictures:
        problems.append(f"{_shown(pictures)} pictures, {gate.min_pictures} are the least that decide")
    if not_finite != 0:
        problems.append(f"{_shown(not_finite)} results were not finite numbers")
    if figure is None or mean is None:
        problems.append("the figure is missing or no number")
    elif not holds(figure, bound):
        problems.append(_missed(figure, mean, end, bound, holds(mean, bound)))
    if problems:
        return Check(name, figure, bound, False, "; ".join(problems))
    return Check(name, figure, bound, True, f"{_END[end]} {figure:.4g}, bound {bound:.4g}")


_END = {"low": "lower end", "high": "upper end"}


def _missed(figure: float, mean: float, end: str, bound: float, mean_holds: bool) -> str:
    text = f"{_END[end]} {figure:.4g} of the interval, mean {mean:.4g}, does not keep the bound {bound:.4g}"
    # The commonest surprise with few pictures: the mean is good, the proof is not.
    return text + ("; the mean does: more pictures would narrow the interval" if mean_holds else "")


def _mapping(values: Any, key: str) -> Dict[str, Any]:
    found = values.get(key) if isinstance(values, dict) else None
    return found if isinstance(found, dict) else {}


def _number(value: Any) -> Optional[float]:
    plain = isinstance(value, (int, float)) and not isinstance(value, bool)
    return value if plain and math.isfinite(value) else None


def _shown(value: Optional[float]) -> str:
    return "an unknown number of" if value is None else f"{value:g}"
