"""The papers' tables by edit: FMRR by picture size (Tables 2 and 3, §4.3) and by embedding level (Table 4)."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from faketagger.components.evaluator.report import papers
from faketagger.components.evaluator.report.tables import cells, measured
from faketagger.components.evaluator.report.tables.cells import Cell, Table
from faketagger.components.evaluator.report.tables.comparisons import (
    Comparison,
    is_as_papers,
    level_of,
    size_of,
    square,
)
from faketagger.components.evaluator.verdict.record import Evaluation, SliceFigures

_MEANS = (
    "Below them each simulator's mean over its conditions; its interval is the mean of theirs, and so rather too wide."
)


class _Group(NamedTuple):
    """Columns of one picture size or level.

    Attributes:
      name: which.
      reported: the papers' FMRR there by edit; None where they have no such column.
      measured: the evaluations there.
      size, level: of the papers' pictures and taggers.
    """

    name: str
    reported: Mapping[str, float] | None
    measured: Sequence[Comparison] = ()
    size: int | None = None
    level: str = papers.LEVEL


class _Line(NamedTuple):
    """A condition, or the mean over a simulator's.

    Attributes:
      heading: its first cell.
      box: `white`, `black`, or a dash where nothing was measured.
      family: the simulator's.
      simulator: its name.
      condition: None for the mean.
    """

    heading: str
    box: str
    family: str
    simulator: str
    condition: str | None = None

    def of(self, evaluation: Evaluation) -> list[SliceFigures]:
        """What an evaluation has of it."""
        found = measured.of_simulator(evaluation, self.simulator, self.box)
        return [each for each in found if self.condition in (None, each.condition)]

    def reported(self, figures: Mapping[str, float]) -> float | None:
        """What the papers say of it."""
        return figures.get(papers.edit_of(self.simulator, self.condition))


def sizes(evaluation: Evaluation, variants: Sequence[Comparison] = ()) -> Table:
    """Tables 2 and 3: FMRR by edit, for each picture size."""
    every = _called(size_of, evaluation, variants)
    found = {each.evaluation.image_size for each in every}
    groups = []
    for size in sorted({*found, *papers.SIZES}):
        there = [each for each in every if each.evaluation.image_size == size]
        groups.append(_Group(square(size), papers.FMRR_BY_SIZE.get(size), there, size))
    groups.append(_Group("average", papers.FMRR_OVER_SIZES))
    paragraphs = [
        f"FMRR by edit and picture size: STGAN's of Table 2, StarGAN's of Table 3. {_marked(papers.LEVEL)} {_MEANS}",
        *cells.not_among("at", [square(size) for size in papers.SIZES if size not in found]),
    ]
    columns, rows = _by_line(groups, [*_conditions(papers.FMRR_OVER_SIZES, every), *_means(every)])
    return Table("tables-2-3", "Tables 2 and 3: edits by picture size", paragraphs, columns, rows)


def synthesis(evaluation: Evaluation, variants: Sequence[Comparison] = ()) -> Table:
    """§4.3: FMRR of pictures that StyleGAN reconstructed, for each picture size."""
    every = _called(size_of, evaluation, variants)
    reported, size = {papers.SYNTHESIS: papers.SYNTHESIS_FMRR}, papers.SYNTHESIS_SIZE
    columns, rows = _by_line([_Group(square(size), reported, every, size)], _conditions(reported, every))
    paragraphs = [
        "A picture that was encoded and synthesised again, in the papers by the pretrained StyleGAN. "
        f"{_marked(papers.LEVEL)}",
    ]
    return Table("section-4-3", "§4.3: synthesis", paragraphs, columns, rows)


def levels(evaluation: Evaluation, variants: Sequence[Comparison] = ()) -> Table:
    """Table 4: FMRR by edit and embedding level."""
    every = _called(level_of, evaluation, variants)
    found = [level_of(each.evaluation) for each in every]
    groups = []
    for level in dict.fromkeys([*papers.LEVELS, *found]):
        there = [each for each in every if level_of(each.evaluation) == level]
        groups.append(_Group(level, papers.FMRR_BY_LEVEL.get(level), there, papers.LEVELS_SIZE, level))
    at = f"at the column's level at {square(papers.LEVELS_SIZE)}"
    paragraphs = [
        "The level at which the message enters the encoder: with the picture (raw), after its first level (early), at "
        "the bottleneck (late), or at each of its levels (every), which the papers do not have. Theirs are STGAN's "
        f"edits. {_marked(at)} {_MEANS}",
        *cells.not_among("of the level", [level for level in papers.LEVELS if level not in found], ", nor of "),
    ]
    edits = papers.FMRR_BY_LEVEL[papers.LEVEL]
    columns, rows = _by_line(groups, [*_conditions(edits, every), *_means(every)])
    return Table("table-4", "Table 4: embedding level", paragraphs, columns, rows)


def _marked(embedded: str) -> str:
    return (
        f"The papers' figures are white-box, of {papers.MESSAGE_BITS} bits embedded {embedded}: only what was measured "
        "so, at the same picture size, is marked."
    )


def _called(
    name: Callable[[Evaluation], str], evaluation: Evaluation, variants: Sequence[Comparison]
) -> list[Comparison]:
    """This evaluation and variants, called by what distinguishes them, with their labels where those say more."""
    named = [Comparison(name(evaluation), evaluation)]
    for label, other, _ in variants:
        what = name(other)
        named.append(Comparison(what if label == what else f"{what}, {label}", other))
    return named


def _conditions(edits: Iterable[str], every: Sequence[Comparison]) -> list[_Line]:
    """Each edit of every simulator that has it, or of none where none was measured."""
    found: dict[str, list[_Line]] = {edit: [] for edit in edits}
    for (simulator, box), family in measured.simulators(every).items():
        for condition in dict.fromkeys(
            each.condition or "" for other in every for each in measured.of_simulator(other.evaluation, simulator, box)
        ):
            lines = found.get(papers.edit_of(simulator, condition))
            if lines is not None:
                lines.append(_Line(f"{simulator}/{condition}", box, family, simulator, condition))
    return [line for edit, lines in found.items() for line in lines or [_unmeasured(edit)]]


def _unmeasured(edit: str) -> _Line:
    simulator, condition = edit.split("/")
    return _Line(edit, cells.DASH, cells.DASH, simulator, condition)


def _means(every: Sequence[Comparison]) -> list[_Line]:
    return [
        _Line(f"{simulator}, mean", box, family, simulator)
        for (simulator, box), family in measured.simulators(every).items()
    ]


def _by_line(groups: Sequence[_Group], lines: Sequence[_Line]) -> tuple[list[str], list[list[Cell]]]:
    """Columns and rows: of each group the papers' figure, where they have such a column, beside what was measured."""
    columns = []
    for group in groups:
        columns += [] if group.reported is None else [f"papers, {group.name}"]
        columns += [name for each in group.measured for name in (f"{each.label}: change dB", f"{each.label}: FMRR")]
    rows = []
    for line in lines:
        found = [cell for group in groups for cell in _cells(group, line)]
        rows.append([Cell(line.heading), Cell(line.box), *found, Cell(line.family)])
    return ["simulator/condition", "box", *columns, "family"], rows


def _cells(group: _Group, line: _Line) -> list[Cell]:
    reported = line.reported(group.reported or {})
    row = [] if group.reported is None else [Cell(cells.DASH if reported is None else papers.written(reported))]
    for each in group.measured:
        is_held = line.box == "white" and is_as_papers(each.evaluation, group.size, group.level)
        row += measured.change_and_fmrr(line.of(each.evaluation), reported if is_held else None)
    return row
