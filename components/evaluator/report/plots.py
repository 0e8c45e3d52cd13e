"""Curves with bands, as SVG to be put into a page: FMRR over the strength of perturbations and over message length."""

import dataclasses
import io
import itertools
import logging
import re
from collections.abc import Sequence
from typing import Any

import matplotlib
from matplotlib import axes as matplotlib_axes
from matplotlib import figure as matplotlib_figure

from faketagger.components.evaluator.config import BOXES
from faketagger.components.evaluator.measure.slices import CONDITION, SWEEP
from faketagger.components.evaluator.report import papers
from faketagger.components.evaluator.report.tables.comparisons import Comparison, by_length
from faketagger.components.evaluator.verdict.record import Evaluation, Known, known

# What a perturbation's strength is (perturbations/).
AXES = {
    "jpeg": "quality",
    "resize": "side kept",
    "noise": "standard deviation, of 1",
    "blur": "standard deviation, pixels",
    "crop": "side kept",
    "brightness": "brightness added",
    "contrast": "contrast added, relative",
    "hue": "turns of the colour circle",
    "saturation": "saturation added, relative",
}
# Okabe and Ito's colours, which the colour-blind tell apart; line and marker differ too.
_STYLES = (
    ("#0072B2", "-", "o"),
    ("#D55E00", "--", "s"),
    ("#009E73", "-.", "^"),
    ("#CC79A7", ":", "D"),
    ("#5D4A00", (0, (5, 1, 1, 1, 1, 1)), "v"),
    ("#56B4E9", (0, (1, 1)), "P"),
)
_TEXT, _LINES = "#1b1f24", "#d8dde3"
_PASTED_SWAPS, _WHOLE_SWAPS = "identity_swap, pasted back", "identity_swap, whole picture"
# Labels are what a user calls things: no formulas.
_SETTINGS = {"svg.fonttype": "none", "font.size": 9, "text.color": _TEXT, "text.parse_math": False}
logging.getLogger("matplotlib").setLevel(logging.ERROR)  # It tells of its font cache.


@dataclasses.dataclass(frozen=True)
class Curve:
    """One line with its band: points (x, figure) from left to right, each figure known."""

    label: str
    points: list[tuple[float, Known]]


@dataclasses.dataclass(frozen=True)
class Chart:
    """A drawn chart.

    Attributes:
      title: its heading.
      svg: the `<svg>` element, without references to anything outside.
      description: what it shows, in words, for those who do not see it.
    """

    title: str
    svg: str
    description: str


def sweeps(evaluation: Evaluation, peers: Sequence[Comparison] = ()) -> list[Chart]:
    """One chart a perturbation: FMRR over its strength, of this tagger and of other methods."""
    measured = [Comparison("this tagger", evaluation), *peers]
    kinds = dict.fromkeys(each.simulator or "" for each in evaluation.slices.values() if each.kind == SWEEP)
    charts = []
    for kind in kinds:
        curves = [Curve(each.label, _sweep(each.evaluation, kind)) for each in measured]
        charts.append(_chart(kind, curves, AXES.get(kind, "strength")))
    return charts


def lengths(evaluation: Evaluation, variants: Sequence[Comparison] = ()) -> list[Chart]:
    """FMRR over message length by box, with the papers' points; nothing where no box was measured."""
    measured = by_length(evaluation, variants)
    curves = []
    for box in BOXES:
        found = [(each.evaluation.tagger.message_bits, known(each.evaluation.overall.of(box))) for each in measured]
        points = [(float(bits), figure) for bits, figure in found if figure]
        curves += [Curve(f"this tagger, {box}-box mean", points)] if points else []
    return [_chart("message length", curves, "message bits", with_papers=True)] if curves else []


def qualities(evaluations: Sequence[Evaluation]) -> list[Chart]:
    """Over the PSNR of evaluations at several strengths: FMRR by family and box, and the bit errors of pasted swaps.

    A family has a colour and a marker, a box a line; swaps of the whole picture stand for themselves.
    """
    kinds = sorted({kind for each in evaluations for kind in _means(each, "fmrr")})
    families = sorted({family for family, _ in kinds})
    styles = {
        (family, box): (colour, "-" if box == "white" else "--", marker)
        for family, (colour, _, marker) in zip(families, itertools.cycle(_STYLES))
        for box in ("white", "black")
    }
    by_family = [Curve(f"{family}, {box}-box", _over_psnr(evaluations, "fmrr", (family, box))) for family, box in kinds]
    with matplotlib.rc_context({**_SETTINGS, "svg.hashsalt": "quality"}):
        figure = matplotlib_figure.Figure(figsize=(8.4, 3.8), layout="constrained")
        left, right = figure.subplots(1, 2)
        for curve, kind in zip(by_family, kinds):
            _draw(left, curve, *styles[kind], band=False)
        left.axvspan(*papers.PSNR, color=_LINES, alpha=0.5, linewidth=0)
        left.axhline(papers.BLACK_BOX, xmax=0.35, color=_TEXT, linestyle=":", linewidth=1)
        left.annotate("papers: 0.89 black-box, at 26 to 30 dB", (papers.PSNR[0], 0.91), fontsize=7)
        _finish(left, "PSNR, dB")
        swaps = []
        for family, box in kinds:
            if family == _PASTED_SWAPS:
                found = _over_psnr(evaluations, "bit_accuracy", (family, box))
                curve = Curve(f"{family}, {box}-box", [(x, _of_errors(y)) for x, y in found])
                _draw(right, curve, *styles[family, box], band=False)
                swaps.append(curve)
        for point in papers.QUALITIES:
            right.plot(point.psnr, point.bit_error, marker="*", linestyle="none", color=_TEXT)
            right.annotate(point.method, (point.psnr, point.bit_error), (5, 3), textcoords="offset points", fontsize=7)
        _finish(right, "PSNR, dB")
        right.set(ylabel="bits read wrongly after pasted swaps", ylim=(-0.01, 0.3))
        handles, labels = left.get_legend_handles_labels()
        figure.legend(
            handles,
            labels,
            loc="outside upper left",
            ncols=3,
            fontsize=7,
            frameon=False,
            borderaxespad=0,
            handlelength=4,
        )
        said = (
            f"{_description('by family', by_family, 'PSNR')} {_description('after swaps', swaps, 'PSNR', 'Bit errors')}"
        )
        return [Chart("quality", _as_svg(figure, "quality"), said)]


def _of_errors(accuracy: Known) -> Known:
    """The share of errors: its lower end is the accuracy's upper one."""
    return Known(1.0 - accuracy.mean, 1.0 - accuracy.high, 1.0 - accuracy.low)


def _over_psnr(evaluations: Sequence[Evaluation], name: str, kind: tuple[str, str]) -> list[tuple[float, Known]]:
    points = []
    for each in evaluations:
        psnr = known(each.quality.psnr) if each.quality else None
        found = _means(each, name).get(kind)
        if psnr and found:
            points.append((psnr.mean, found))
    return sorted(points)


def _means(evaluation: Evaluation, name: str) -> dict[tuple[str, str], Known]:
    """By family and box, the means over conditions of deepfakes of a figure and of the ends of its interval."""
    found: dict[tuple[str, str], list[Known]] = {}
    for condition, each in evaluation.slices.items():
        figure = known(getattr(each, name))
        if each.kind == CONDITION and each.family not in (None, "perturbation") and figure:
            family = each.family
            if family == "identity_swap":  # They have little in common.
                family = _WHOLE_SWAPS if condition.endswith("_whole") else _PASTED_SWAPS
            found.setdefault((family, "black" if each.black_box else "white"), []).append(figure)
    return {kind: Known(*(sum(end) / len(end) for end in zip(*figures))) for kind, figures in sorted(found.items())}


def _sweep(evaluation: Evaluation, kind: str) -> list[tuple[float, Known]]:
    of_kind = [each for each in evaluation.slices.values() if each.kind == SWEEP and each.simulator == kind]
    found = [(each.strength_value, known(each.fmrr)) for each in of_kind]
    return sorted((strength, figure) for strength, figure in found if strength is not None and figure)


def _chart(title: str, curves: Sequence[Curve], axis: str, with_papers: bool = False) -> Chart:
    with matplotlib.rc_context({**_SETTINGS, "svg.hashsalt": title}):
        figure = matplotlib_figure.Figure(figsize=(4.8, 3.4) if with_papers else (3.5, 2.6), layout="constrained")
        axes = figure.add_subplot()
        drawn = [(curve, style) for curve, style in zip(curves, itertools.cycle(_STYLES)) if curve.points]
        for curve, style in drawn:
            _draw(axes, curve, *style)
        if with_papers:
            _draw_papers(axes)
        _finish(axes, axis)
        if with_papers or len(drawn) > 1:
            figure.legend(loc="outside upper left", ncols=2, fontsize=7, frameon=False, borderaxespad=0)
        return Chart(title, _as_svg(figure, title), _description(title, [curve for curve, _ in drawn], axis))


def _draw(axes: matplotlib_axes.Axes, curve: Curve, colour: str, line: Any, marker: str, band: bool = True) -> None:
    xs = [x for x, _ in curve.points]
    mean, low, high = ([point[end] for _, point in curve.points] for end in range(3))
    if band:
        axes.fill_between(xs, low, high, color=colour, alpha=0.15, linewidth=0)
    # Bars besides: a band of one point cannot be seen. Rounded figures may leave their intervals by a hair.
    errors = [[max(0.0, m - end) for m, end in zip(mean, low)], [max(0.0, end - m) for m, end in zip(mean, high)]]
    axes.errorbar(xs, mean, errors, color=colour, linestyle=line, marker=marker, markersize=4, linewidth=1.5,
                  elinewidth=0.8, capsize=2, label=curve.label)  # fmt: skip


def _draw_papers(axes: matplotlib_axes.Axes) -> None:
    by_length = itertools.groupby(papers.LENGTHS, key=lambda point: point.message_bits)
    for index, (message_bits, found) in enumerate(by_length):
        points = sorted(found, key=lambda point: point.fmrr)
        for point in points:
            marker = {"over": "^", "below": "v", "": "*"}[point.bound]
            axes.plot(message_bits, point.fmrr, marker=marker, linestyle="none", color=_TEXT)
        lowest, ends = points[0], dict.fromkeys(f"{each.fmrr:.2f}" for each in (points[0], points[-1]))
        said = f"papers: {lowest.bound} {' to '.join(ends)}".replace("  ", " ")
        # Below, at two heights in turn: lengths lie close together.
        offset = (0, -34 if index % 2 else -18)
        where = (message_bits, lowest.fmrr)
        axes.annotate(said, where, offset, textcoords="offset points", ha="center", va="center", fontsize=7)
    axes.margins(x=0.25)


def _finish(axes: matplotlib_axes.Axes, axis: str) -> None:
    axes.set(ylim=(-0.04, 1.04), xlabel=axis, ylabel="FMRR")
    axes.grid(color=_LINES, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(_TEXT)


def _as_svg(figure: matplotlib_figure.Figure, title: str) -> str:
    buffer = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))  # Else a block of metadata with addresses.
    figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    # A page may have each name once, and every chart has the same: those in use get the title before them.
    used = set(re.findall(r"#([\w.-]+)", svg))
    prefix = re.sub(r"\W", "-", title)
    svg = re.sub(r' id="([^"]+)"', lambda found: f' id="{prefix}-{found[1]}"' if found[1] in used else "", svg)
    svg = re.sub(r"(url\(#|href=\"#)([\w.-]+)", lambda found: f"{found[1]}{prefix}-{found[2]}", svg)
    return re.sub(r' (?:width|height)="[^"]*pt"', "", svg, count=2)  # The page sets its size.


def _description(title: str, curves: Sequence[Curve], axis: str, figure: str = "FMRR") -> str:
    said = []
    for curve in curves:
        points = ", ".join(f"{point.mean:.2f} at {x:g}" for x, point in curve.points)
        said.append(f"{curve.label}: {points}")
    return f"{figure} over {axis}, {title}. {'; '.join(said)}."
