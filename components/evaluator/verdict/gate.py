"""Decides whether a tagger is blessed. Pure, and closed by default: what was not shown counts as not reached."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

from faketagger.components.evaluator.config import PLAIN, Gate, simulator_of
from faketagger.components.evaluator.measure.slices import CONDITION, Slice


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
    figure: float | None
    bound: float
    passed: bool
    reason: str


@dataclasses.dataclass(frozen=True)
class Decision:
    """Whether a tagger is blessed, and all checks; blessed only when every one passed."""

    blessed: bool
    checks: list[Check]

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return dataclasses.asdict(self)


def decide(
    evaluation: dict[str, Any], gate: Gate, expected_slices: Sequence[Slice], compared: bool = False
) -> Decision:
    """Holds an evaluation (summary.summarise) against a gate.

    Args:
      evaluation: what was measured.
      gate: what is demanded.
      expected_slices: the slices that must be there; slices that were measured besides are gated too.
      compared: whether there is a newest blessed tagger, whose comparison must be there.

    Returns:
      The decision. A slice that is missing, a figure that is missing or no number, outputs that were not finite, too
      few pictures, no gated slice at all, or an override for a slice that does not exist: each fails its check.
    """
    slices = _mapping(evaluation, "slices")
    kinds = {each.name: each.kind for each in expected_slices}
    known = list(dict.fromkeys([*kinds, *slices]))
    gated = [name for name in known if _is_gated(name, kinds.get(name, CONDITION), gate)]
    checks = [_at_least(f"fmrr {name}", slices.get(name), "fmrr", gate.threshold(name), gate) for name in gated]
    if not gated:
        checks.append(Check("gated slices", 0, 1, False, "no slice is gated: nothing shows that tags survive"))
    checks.append(_all_measured(slices, [each for each in expected_slices if each.name not in gated], gate))
    # A sweep's perturbation alone names nothing that is gated: its bound would be kept by never being asked for.
    simulators = {simulator_of(name) for name in known if kinds.get(name, CONDITION) in (PLAIN, CONDITION)}
    for name in sorted(set(gate.fmrr_overrides) - set(known) - simulators):
        reason = f"the gate names '{name}', which is neither a slice nor a simulator of this evaluation"
        checks.append(Check(f"fmrr {name}", None, gate.fmrr_overrides[name], False, reason))
    quality = evaluation.get("quality")
    for box, bound in gate.min_overall.items():
        entry = {**(quality or {}), "fmrr": _mapping(evaluation, "overall").get(box)}
        checks.append(_at_least(f"overall fmrr {box}-box", entry, "fmrr", bound, gate))
    checks.append(_at_least("psnr", quality, "psnr", gate.min_psnr, gate))
    if gate.min_ssim is not None:
        checks.append(_at_least("ssim", quality, "ssim", gate.min_ssim, gate))
    untagged = evaluation.get("untagged")
    checks.append(_at_most("false positives", untagged, "share", gate.max_false_positives, gate))
    if compared and gate.significance:
        checks += _not_worse(evaluation, gate, [name for name in kinds if kinds[name] in (PLAIN, CONDITION)])
    elif gate.significance:
        reason = "not compared: no newest blessed tagger was given"
        checks.append(Check("not worse", None, gate.significance, True, reason))
    return Decision(all(check.passed for check in checks), checks)


def _is_gated(name: str, kind: str, gate: Gate) -> bool:
    return gate.gates(name) if kind in (PLAIN, CONDITION) else name in gate.fmrr_overrides


def _all_measured(slices: dict[str, Any], ungated: Sequence[Slice], gate: Gate) -> Check:
    """Slices without a bound must be there as well, of enough pictures, and in finite numbers."""
    # No FMRR misses a bound of nothing: what is left to fail is how it was measured.
    wrong = [each.name for each in ungated if not _at_least("", slices.get(each.name), "fmrr", 0.0, gate).passed]
    count = len(ungated)
    lacking = f"missing, of fewer than {gate.min_pictures} pictures, or not finite numbers"
    reason = f"{lacking}: {', '.join(wrong)}" if wrong else f"all {count} others were measured"
    return Check("other slices", count - len(wrong), count, not wrong, reason)


def _not_worse(evaluation: dict[str, Any], gate: Gate, names: Sequence[str]) -> list[Check]:
    """Against the newest blessed tagger (versus.compare): each slice, all together, and the PSNR.

    The significance is shared out among them (Bonferroni): with a hundred slices, one in twenty would fail by chance
    alone.
    """
    newest = _mapping(evaluation, "newest_blessed")
    bound = gate.significance / (len(names) + 1)
    checks = []
    for name in (*names, "overall"):
        found = _mapping(newest, name) if name == "overall" else _mapping(_mapping(newest, "slices"), name)
        p_value = _number(found.get("p_value"))
        passed = p_value is not None and p_value >= bound
        reason = f"p {p_value:.2g}, bound {bound:.2g}" if p_value is not None else "was not compared"
        if p_value is not None and not passed:
            reason = (
                f"worse than the newest blessed on {found['worse']} pictures, better on {found['better']}: {reason}"
            )
        checks.append(Check(f"not worse {name}", p_value, bound, passed, reason))
    before, now = (_number(_mapping(each, "psnr").get("mean")) for each in (newest, _mapping(evaluation, "quality")))
    if before is None or now is None:
        checks.append(Check("not worse psnr", None, gate.max_psnr_drop, False, "was not compared"))
    else:
        reason = f"{now:.2f} dB, the newest blessed {before:.2f} dB; a drop of {gate.max_psnr_drop:g} dB is allowed"
        passed = now >= before - gate.max_psnr_drop
        checks.append(Check("not worse psnr", now, before - gate.max_psnr_drop, passed, reason))
    return checks


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


def _mapping(values: Any, key: str) -> dict[str, Any]:
    found = values.get(key) if isinstance(values, dict) else None
    return found if isinstance(found, dict) else {}


def _number(value: Any) -> float | None:
    plain = isinstance(value, (int, float)) and not isinstance(value, bool)
    return value if plain and math.isfinite(value) else None


def _shown(value: float | None) -> str:
    return "an unknown number of" if value is None else f"{value:g}"
