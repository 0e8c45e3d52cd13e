"""What tables are made of: cells with figures, intervals and marks that say how this tagger differs."""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

from faketagger.components.evaluator.report.tables.comparisons import Comparison
from faketagger.components.evaluator.verdict.record import Figure, known

BETTER, WORSE, SAME = "better", "worse", "same"
_SIGNS = {BETTER: "▲", WORSE: "▼", SAME: "≈"}
_WORDS = {BETTER: "better", WORSE: "worse", SAME: "no clear difference"}
UNKNOWN = "no figure"
NOT_MEASURED = "not measured"
DASH = "–"


class Cell(NamedTuple):
    """A table's cell.

    Attributes:
      text: the figure, or words.
      interval: `[low, high]`, or empty.
      mark: how this tagger differs, in sign, number and word, or empty.
      tone: of the mark: BETTER, WORSE, SAME, or empty.
    """

    text: str
    interval: str = ""
    mark: str = ""
    tone: str = ""


@dataclasses.dataclass(frozen=True)
class Table:
    """A table with the words before it; without rows, the words alone.

    Attributes:
      anchor: its name in links.
      title: its heading.
      paragraphs: before it.
      columns: their headings.
      rows: cells; the first of each is the row's heading.
    """

    anchor: str
    title: str
    paragraphs: list[str]
    columns: list[str] = dataclasses.field(default_factory=list)
    rows: list[list[Cell]] = dataclasses.field(default_factory=list)


def figure(found: Figure | None, digits: int = 3) -> Cell:
    """A figure with its interval."""
    if found is None or found.mean is None:
        return Cell(UNKNOWN)
    return Cell(number(found.mean, digits), f"[{number(found.low, digits)}, {number(found.high, digits)}]")


def number(value: float | None, digits: int) -> str:
    """A rounded number, or UNKNOWN."""
    return UNKNOWN if value is None else f"{value:.{digits}f}"


def difference(ours: Figure | None, theirs: Figure | None, digits: int = 3) -> Cell:
    """How this tagger differs from another, larger being better: a difference counts where the intervals do not meet.

    Returns:
      A cell of mark and tone alone; empty where one of the two is not known.
    """
    mine, other = known(ours), known(theirs)
    if not mine or not other:
        return Cell("")
    tone = BETTER if mine.low > other.high else WORSE if mine.high < other.low else SAME
    gap = f"{mine.mean - other.mean:+.{digits}f}".replace("-", "−")
    return Cell("", mark=f"{_SIGNS[tone]} {gap} {_WORDS[tone]}", tone=tone)


def peer(ours: Figure | None, other: Comparison, theirs: Figure | None, digits: int = 3) -> Cell:
    """Another evaluation's figure, marked by how this tagger differs where their pictures are alike."""
    mark = difference(ours, theirs, digits) if other.alike else Cell("")
    return figure(theirs, digits)._replace(mark=mark.mark, tone=mark.tone)


def of_papers(text: str, ours: Figure | None, theirs: float | None, digits: int = 3) -> Cell:
    """The papers' figure in words, marked by how this tagger differs; `theirs` is None where that is not to be said."""
    mark = difference(ours, None if theirs is None else _exact(theirs), digits)
    return Cell(text, mark=mark.mark, tone=mark.tone)


def range_of_papers(ours: Figure | None, ends: tuple[float, float], digits: int) -> Cell:
    """The papers' figures from the least to the most, and where this tagger's lies."""
    low, high = ends
    mark = difference(ours, Figure(mean=(low + high) / 2, low=low, high=high), digits)
    # The gap to the middle of a range says nothing: above, below or within is what can be said.
    signs = {BETTER: "▲ above their range", WORSE: "▼ below their range", SAME: "≈ within their range", "": ""}
    return Cell(f"{low:.{digits}f} to {high:.{digits}f}", mark=signs[mark.tone], tone=mark.tone)


def beside_papers(measured: Figure | None, theirs: float | None) -> Cell:
    """A figure of this tagger or another, marked by how it differs from the papers'; None as of_papers."""
    mark = difference(measured, None if theirs is None else _exact(theirs))
    than = {BETTER: " than the papers", WORSE: " than the papers", SAME: " from the papers", "": ""}
    return figure(measured)._replace(mark=mark.mark + than[mark.tone], tone=mark.tone)


def row(
    name: str, figures: Sequence[Figure | None], paper: Sequence[Cell], peers: Sequence[Comparison], digits: int = 3
) -> list[Cell]:
    """A heading, this tagger's figure, the papers' cells, and each peer's; `figures`: ours, theirs."""
    ours, *others = figures
    theirs = [peer(ours, each, found, digits) for each, found in zip(peers, others)]
    return [Cell(name), figure(ours, digits), *paper, *theirs]


def unmarked_row(name: str, figures: Sequence[Figure | None], paper: Sequence[Cell], digits: int) -> list[Cell]:
    """The same of figures of which a larger one is not better."""
    ours, *others = (figure(each, digits) for each in figures)
    return [Cell(name), ours, *paper, *others]


def or_none(paragraphs: list[str], rows: Sequence[list[Cell]]) -> list[str]:
    """With a sentence for a table without rows."""
    return paragraphs if rows else [*paragraphs, "Nothing was measured for it."]


def not_among(what: str, missing: Sequence[str], joined: str = " or ") -> list[str]:
    """A sentence on evaluations that were not given; none where all were."""
    return [f"No evaluation {what} {joined.join(missing)} is among those given."] if missing else []


def _exact(value: float) -> Figure:
    return Figure(mean=value, low=value, high=value)
