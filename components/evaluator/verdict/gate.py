"""Decides whether a tagger is blessed. Pure, and closed by default: what was not shown counts as not reached."""

from collections.abc import Callable, Sequence
from typing import Literal

from faketagger.components.evaluator.config import PLAIN, Gate, simulator_of
from faketagger.components.evaluator.measure.slices import CONDITION, Slice
from faketagger.components.evaluator.verdict.record import (
    Check,
    Counted,
    Decision,
    Evaluation,
    Figure,
    SignTest,
    SliceFigures,
)

End = Literal["low", "high"]  # Of an interval.
_END: dict[End, str] = {"low": "lower end", "high": "upper end"}


def decide(evaluation: Evaluation, gate: Gate, expected_slices: Sequence[Slice], compared: bool = False) -> Decision:
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
    slices = evaluation.slices
    kinds = {each.name: each.kind for each in expected_slices}
    known = list(dict.fromkeys([*kinds, *slices]))
    gated = [name for name in known if _is_gated(name, kinds.get(name, CONDITION), gate)]
    checks = [_fmrr(f"fmrr {name}", slices.get(name), gate.threshold(name), gate) for name in gated]
    if not gated:
        checks.append(_check_of("gated slices", 0.0, 1.0, False, "no slice is gated: nothing shows that tags survive"))
    checks.append(_all_measured(slices, [each for each in expected_slices if each.name not in gated], gate))
    # A sweep's perturbation alone names nothing that is gated: its bound would be kept by never being asked for.
    simulators = {simulator_of(name) for name in known if kinds.get(name, CONDITION) in (PLAIN, CONDITION)}
    for name in sorted(set(gate.fmrr_overrides) - set(known) - simulators):
        reason = f"the gate names '{name}', which is neither a slice nor a simulator of this evaluation"
        checks.append(_check_of(f"fmrr {name}", None, gate.fmrr_overrides[name], False, reason))
    quality, untagged = evaluation.quality, evaluation.untagged
    for box, bound in gate.min_overall.items():
        checks.append(_at_least(f"overall fmrr {box}-box", quality, evaluation.overall.of(box), bound, gate))
    checks.append(_at_least("psnr", quality, quality.psnr if quality else None, gate.min_psnr, gate))
    if gate.min_ssim is not None:
        checks.append(_at_least("ssim", quality, quality.ssim if quality else None, gate.min_ssim, gate))
    if gate.max_visibility is not None:
        seen = quality.visibility if quality else None
        checks.append(_at_most("visibility", quality, seen, gate.max_visibility, gate))
    share = untagged.share if untagged else None
    checks.append(_at_most("false positives", untagged, share, gate.max_false_positives, gate))
    if compared and gate.significance:
        checks += _not_worse(evaluation, gate, [name for name in kinds if kinds[name] in (PLAIN, CONDITION)])
    elif gate.significance:
        reason = "not compared: no newest blessed tagger was given"
        checks.append(_check_of("not worse", None, gate.significance, True, reason))
    return Decision(blessed=all(check.passed for check in checks), checks=tuple(checks))


def _is_gated(name: str, kind: str, gate: Gate) -> bool:
    return gate.gates(name) if kind in (PLAIN, CONDITION) else name in gate.fmrr_overrides


def _all_measured(slices: dict[str, SliceFigures], ungated: Sequence[Slice], gate: Gate) -> Check:
    """Slices without a bound must be there as well, of enough pictures, and in finite numbers."""
    # No FMRR misses a bound of nothing: what is left to fail is how it was measured.
    wrong = [each.name for each in ungated if not _fmrr("", slices.get(each.name), 0.0, gate).passed]
    count = len(ungated)
    lacking = f"missing, of fewer than {gate.min_pictures} pictures, or not finite numbers"
    reason = f"{lacking}: {', '.join(wrong)}" if wrong else f"all {count} others were measured"
    return _check_of("other slices", float(count - len(wrong)), float(count), not wrong, reason)


def _not_worse(evaluation: Evaluation, gate: Gate, names: Sequence[str]) -> list[Check]:
    """Against the newest blessed tagger (versus.compare): each slice, all together, and the PSNR.

    The significance is shared out among them (Bonferroni): with a hundred slices, one in twenty would fail by chance
    alone.
    """
    newest = evaluation.newest_blessed
    bound = gate.significance / (len(names) + 1)
    checks = [_not_worse_on(name, newest.slices.get(name) if newest else None, bound) for name in names]
    checks.append(_not_worse_on("overall", newest.overall if newest else None, bound))
    before = newest.psnr.mean if newest and newest.psnr else None
    now = evaluation.quality.psnr.mean if evaluation.quality else None
    if before is None or now is None:
        return [*checks, _check_of("not worse psnr", None, gate.max_psnr_drop, False, "was not compared")]
    least = before - gate.max_psnr_drop
    reason = f"{now:.2f} dB, the newest blessed {before:.2f} dB; a drop of {gate.max_psnr_drop:g} dB is allowed"
    return [*checks, _check_of("not worse psnr", now, least, now >= least, reason)]


def _not_worse_on(name: str, found: SignTest | None, bound: float) -> Check:
    if found is None:
        return _check_of(f"not worse {name}", None, bound, False, "was not compared")
    passed, reason = found.p_value >= bound, f"p {found.p_value:.2g}, bound {bound:.2g}"
    if not passed:
        reason = f"worse than the newest blessed on {found.worse} pictures, better on {found.better}: {reason}"
    return _check_of(f"not worse {name}", found.p_value, bound, passed, reason)


def _fmrr(name: str, found: SliceFigures | None, bound: float, gate: Gate) -> Check:
    return _at_least(name, found, found.fmrr if found else None, bound, gate)


def _at_least(name: str, counted: Counted | None, figure: Figure | None, bound: float, gate: Gate) -> Check:
    return _check(name, counted, figure, "low", bound, gate, lambda low, least: low >= least)


def _at_most(name: str, counted: Counted | None, figure: Figure | None, bound: float, gate: Gate) -> Check:
    return _check(name, counted, figure, "high", bound, gate, lambda high, most: high <= most)


def _check(
    name: str,
    counted: Counted | None,
    figure: Figure | None,
    end: End,
    bound: float,
    gate: Gate,
    holds: Callable[[float, float], bool],
) -> Check:
    """One figure of one slice; `end` is the end of its interval that counts."""
    if counted is None:
        return _check_of(name, None, bound, False, "was not measured")
    found = None if figure is None else figure.low if end == "low" else figure.high
    problems = []
    if counted.pictures < gate.min_pictures:
        problems.append(f"{counted.pictures} pictures, {gate.min_pictures} are the least that decide")
    if counted.not_finite:
        problems.append(f"{counted.not_finite} results were not finite numbers")
    if figure is None or figure.mean is None or found is None:
        problems.append("the figure is missing or no number")
    elif not holds(found, bound):
        problems.append(_missed(found, figure.mean, end, bound, holds(figure.mean, bound)))
    if problems:
        return _check_of(name, found, bound, False, "; ".join(problems))
    return _check_of(name, found, bound, True, f"{_END[end]} {found:.4g}, bound {bound:.4g}")


def _check_of(name: str, figure: float | None, bound: float, passed: bool, reason: str) -> Check:
    return Check(name=name, figure=figure, bound=bound, passed=passed, reason=reason)


def _missed(figure: float, mean: float, end: End, bound: float, mean_holds: bool) -> str:
    text = f"{_END[end]} {figure:.4g} of the interval, mean {mean:.4g}, does not keep the bound {bound:.4g}"
    # The commonest surprise with few pictures: the mean is good, the proof is not.
    return text + ("; the mean does: more pictures would narrow the interval" if mean_holds else "")
