"""Evaluations as tables for people: the figures of one tagger beside the papers', other methods' and its own variants'.

Pure: what text.py writes as text and Markdown and html.py as HTML.
"""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from faketagger.components.evaluator.config import BOXES, PLAIN, Box
from faketagger.components.evaluator.measure.slices import AFTER, CONDITION, SWEEP
from faketagger.components.evaluator.report import papers
from faketagger.components.evaluator.verdict.record import Evaluation, Figure, SliceFigures, known

BETTER, WORSE, SAME = "better", "worse", "same"
_SIGNS = {BETTER: "▲", WORSE: "▼", SAME: "≈"}
_WORDS = {BETTER: "better", WORSE: "worse", SAME: "no clear difference"}
UNKNOWN = "no figure"
_DASH = "–"


class Comparison(NamedTuple):
    """Another evaluation.

    Attributes:
      label: what to call it.
      evaluation: its record.
      alike: whether its pictures are of the same size, so that a difference says something of the methods.
    """

    label: str
    evaluation: Evaluation
    alike: bool = True


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


class Compared(NamedTuple):
    """Comparisons by what they are: columns beside this tagger's, or variants of it that differ in one thing alone."""

    peers: list[Comparison]
    by_size: list[Comparison]
    by_level: list[Comparison]
    by_length: list[Comparison]


def group(evaluation: Evaluation, comparisons: Iterable[Comparison]) -> Compared:
    """Finds what each comparison is.

    A variant is a tagger of ours (it has a strength; other methods have none) that differs from this one in one of
    picture size, embedding level and message length. All others stand in columns of their own.
    """
    groups = Compared([], [], [], [])
    for comparison in comparisons:
        other = comparison.evaluation
        ways = [index for index, key in enumerate(_distinguished(evaluation)) if key != _distinguished(other)[index]]
        if other.tagger.strength is not None and len(ways) == 1:
            groups[1 + ways[0]].append(comparison)
        else:
            alike = other.image_size == evaluation.image_size
            label = comparison.label if alike else f"{comparison.label}, at {_size(other)}"
            groups.peers.append(Comparison(label, other, alike))
    return groups


def _distinguished(evaluation: Evaluation) -> tuple[int, str | None, int]:
    return evaluation.image_size, evaluation.tagger.level, evaluation.tagger.message_bits


def all_tables(evaluation: Evaluation, comparisons: Iterable[Comparison] = ()) -> list[Table]:
    """Every table of the report, in its order."""
    groups = group(evaluation, comparisons)
    return [
        overall(evaluation, groups.peers),
        conditions(evaluation, groups.peers),
        sizes(evaluation, groups.by_size),
        levels(evaluation, groups.by_level),
        black_box(evaluation, groups.peers),
        lengths(evaluation, groups.by_length),
        strengths(evaluation, groups.peers),
        compounds(evaluation, groups.peers),
    ]


def comparability(evaluation: Evaluation) -> str:
    """One sentence on what the papers' figures beside ours are worth."""
    return (
        f"Ours are small networks of our own and pictures of {_size(evaluation)}, the papers' figures are of their own "
        "generators: they stand beside each other, they do not compare."
    )


def overall(evaluation: Evaluation, peers: Sequence[Comparison] = ()) -> Table:
    """Mean FMRR by box, quality and false positives."""
    measured = [evaluation, *(peer.evaluation for peer in peers)]
    rows = []
    for box in BOXES:
        paper = papers.BLACK_BOX_FMRR if box == "black" and _is_of_papers_length(evaluation) else None
        name = f"FMRR, {box}-box, mean over deepfake conditions{_changes(_deepfakes(evaluation, box))}"
        rows.append([Cell(name), *_beside([each.overall.of(box) for each in measured], peers, paper)])
    for box in BOXES:
        name = f"TPR at 10⁻⁶, {box}-box, mean over deepfake conditions"
        rows.append([Cell(name), *_beside([each.overall_tpr.of(box) for each in measured], peers, None)])
    for name, key, digits in (("PSNR, dB", "psnr", 2), ("SSIM", "ssim", 4), ("MS-SSIM", "ms_ssim", 4)):
        cells = _beside([_quality(each, key) for each in measured], peers, None, digits)
        if key == "psnr":
            cells[1] = _psnr_of_papers(_quality(evaluation, key))
        rows.append([Cell(name), *cells])
    rows.append([Cell("visibility, ΔE₀₀"), *_plain_figures([_quality(each, "visibility") for each in measured])])
    rows.append([Cell("LPIPS, lower is better"), *_plain_figures([_quality(each, "lpips") for each in measured])])
    shares = [each.untagged.share if each.untagged else None for each in measured]
    rows.append([Cell("untagged pictures read as tagged"), *_plain_figures(shares)])
    rows.append([Cell("message bits, code bits"), _bits(evaluation), Cell(f"{papers.MESSAGE_BITS} message bits")])
    rows[-1] += [_bits(peer.evaluation) for peer in peers]
    paragraphs = [
        "FMRR is the share of pictures whose whole message comes back; its mean over all conditions of deepfake "
        f"simulators, by box. The paper's abstract says more than {papers.ACCURACY_OVER_FOUR_TYPES:g} on average over "
        "four types of deepfake, without saying whether of bits or of messages: it stands beside no figure. TPR is the "
        "share of tagged pictures found at a false-positive rate of 10⁻⁶: readers are told of no other messages.",
    ]
    return Table("overall", "Overall", paragraphs, ["", "this tagger", "papers", *_labels(peers)], rows)


def conditions(evaluation: Evaluation, peers: Sequence[Comparison] = ()) -> Table:
    """Every condition of every simulator, and the tagged picture itself."""
    rows = [_slice_row(evaluation, name, peers) for name in _ordered(evaluation, (PLAIN, CONDITION))]
    columns = ["simulator/condition", *_figure_columns(evaluation, peers)]
    paragraphs = [
        "`change` is the PSNR between what goes into a simulator and what comes out: lower is more. Bit accuracy "
        "is that of raw codeword bits. TPR is the share of tagged pictures found at a false-positive rate of 10⁻⁶.",
    ]
    return Table("conditions", "Every condition", _or_none(paragraphs, rows), columns, rows)


def sizes(evaluation: Evaluation, variants: Sequence[Comparison] = ()) -> Table:
    """Tables 2 and 3: FMRR by simulator, for each picture size."""
    measured = [Comparison(_size(evaluation), evaluation)]
    measured += [_named(_size(each.evaluation), each) for each in variants]
    found = {each.evaluation.image_size for each in measured}
    missing = [f"{size}×{size}" for size in papers.IMAGE_SIZES if size not in found]
    paragraphs = [
        "The papers' Tables 2 and 3 give FMRR at two picture sizes, 128×128 and 256×256. Known here is one figure a "
        "generator, without its size. Ours: the mean over a simulator's conditions; its interval is the mean of "
        "theirs, and so rather too wide.",
    ]
    if missing:
        paragraphs.append(f"No evaluation at {' or '.join(missing)} is among those given.")
    columns, rows = _by_simulator(measured)
    return Table("tables-2-3", "Tables 2 and 3: picture size", _or_none(paragraphs, rows), columns, rows)


def levels(evaluation: Evaluation, variants: Sequence[Comparison] = ()) -> Table:
    """Table 4: FMRR by embedding level."""
    measured = [Comparison(_level(evaluation), evaluation)]
    measured += [_named(_level(each.evaluation), each) for each in variants]
    found = {each.evaluation.tagger.level for each in measured}
    missing = [level for level in papers.LEVELS if level not in found]
    paragraphs = [
        "The level at which the message enters the encoder: with the picture (raw), after its first level (early) or "
        f"at the bottleneck (late). What Table 4 says by level is {papers.NOT_REPORTED}; beside each simulator stands "
        "the papers' FMRR of Tables 2 and 3.",
    ]
    if missing:
        paragraphs.append(f"No evaluation of the level {', nor of '.join(missing)} is among those given.")
    columns, rows = _by_simulator(measured)
    return Table("table-4", "Table 4: embedding level", _or_none(paragraphs, rows), columns, rows)


def black_box(evaluation: Evaluation, peers: Sequence[Comparison] = ()) -> Table:
    """In Table 5's place: the simulators that no tagger was trained through."""
    measured = [Comparison("this tagger", evaluation), *peers]
    columns, rows = _by_simulator(measured, boxes=("black",))
    paragraphs = [
        f"What the papers' Table 5 holds is {papers.NOT_REPORTED}. In its place: the simulators that were not in the "
        f"training loop, beside the papers' black-box mean of {papers.BLACK_BOX_FMRR:.2f}."
    ]
    if not rows:
        paragraphs.append("No deepfake simulator was black-box in this evaluation.")
    return Table("table-5", "Table 5: black box", paragraphs, columns, rows)


def lengths(evaluation: Evaluation, variants: Sequence[Comparison] = ()) -> Table:
    """Figure 3: FMRR over message length."""
    measured = by_length(evaluation, variants)
    rows = []
    for comparison in measured:
        each, bits = comparison.evaluation, comparison.evaluation.tagger.message_bits
        for box in BOXES:
            mean = each.overall.of(box)
            if mean:
                paper = papers.BLACK_BOX_FMRR if box == "black" and _is_of_papers_length(each) else None
                cells = [_bits(each), Cell(box), Cell(_paper_at(bits, box)), _change_cell(_deepfakes(each, box))]
                cells += [_beside_papers(mean, paper), figure(_quality(each, "psnr"), 2)]
                rows.append(cells)
    paragraphs = ["FMRR: the mean over all conditions of deepfake simulators. The papers' are single generators'."]
    if len(measured) == 1:
        paragraphs.append("No evaluation of another message length is among those given.")
    fmrr = f"FMRR {_interval_name(evaluation)}"
    columns = ["message bits, code bits", "box", "papers", "change dB", fmrr, "PSNR dB"]
    return Table("figure-3", "Figure 3: message length", _or_none(paragraphs, rows), columns, rows)


def strengths(evaluation: Evaluation, peers: Sequence[Comparison] = ()) -> Table:
    """Figure 4: FMRR over each perturbation's strength."""
    rows = [_slice_row(evaluation, name, peers) for name in _ordered(evaluation, (SWEEP,))]
    columns = ["perturbation/strength", *_figure_columns(evaluation, peers)]
    paragraphs = [f"FMRR over the strength of a perturbation. The papers' own curves are {papers.NOT_REPORTED}."]
    if not rows:
        paragraphs.append("No perturbation was measured over a range of strengths in this evaluation.")
    return Table("figure-4", "Figure 4: strength of perturbations", paragraphs, columns, rows)


def compounds(evaluation: Evaluation, peers: Sequence[Comparison] = ()) -> Table:
    """Simulators' outputs that were perturbed then."""
    rows = [_slice_row(evaluation, name, peers) for name in _ordered(evaluation, (AFTER,))]
    columns = ["simulator/condition+perturbation", *_figure_columns(evaluation, peers)]
    paragraphs = [f"A deepfake that was then compressed or resized. Papers' figures of such are {papers.NOT_REPORTED}."]
    if not rows:
        paragraphs.append("No simulator's output was perturbed in this evaluation.")
    return Table("compounds", "A simulator, then a perturbation", paragraphs, columns, rows)


def by_length(evaluation: Evaluation, variants: Sequence[Comparison]) -> list[Comparison]:
    """This tagger and its variants of other message lengths, shortest first."""
    measured = [Comparison("this tagger", evaluation), *variants]
    return sorted(measured, key=lambda each: each.evaluation.tagger.message_bits)


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


def _exact(value: float) -> Figure:
    return Figure(mean=value, low=value, high=value)


def _beside(
    figures: Sequence[Figure | None], peers: Sequence[Comparison], paper: float | None, digits: int = 3
) -> list[Cell]:
    """A figure of this tagger, the papers' and each peer's, with how this tagger differs; `figures`: ours, theirs."""
    ours, *others = figures
    cells = [figure(ours, digits), _paper_cell(ours, paper)]
    return cells + [_peer_cell(ours, peer, theirs, digits) for peer, theirs in zip(peers, others)]


def _paper_cell(ours: Figure | None, paper: float | None) -> Cell:
    if paper is None:
        return Cell(papers.NOT_REPORTED)
    mark = difference(ours, _exact(paper))
    return Cell(f"{paper:.2f}", mark=mark.mark, tone=mark.tone)


def _beside_papers(measured: Figure | None, paper: float | None) -> Cell:
    """A figure of this tagger or another, marked by how it differs from the papers'."""
    mark = difference(measured, None if paper is None else _exact(paper))
    than = {BETTER: " than the papers", WORSE: " than the papers", SAME: " from the papers", "": ""}
    return figure(measured)._replace(mark=mark.mark + than[mark.tone], tone=mark.tone)


def _peer_cell(ours: Figure | None, peer: Comparison, theirs: Figure | None, digits: int = 3) -> Cell:
    mark = difference(ours, theirs, digits) if peer.alike else Cell("")
    return figure(theirs, digits)._replace(mark=mark.mark, tone=mark.tone)


def _psnr_of_papers(ours: Figure | None) -> Cell:
    low, high = papers.PSNR
    mark = difference(ours, Figure(mean=(low + high) / 2, low=low, high=high), 2)
    # The gap to the middle of a range says nothing: above, below or within is what can be said.
    signs = {BETTER: "▲ above their range", WORSE: "▼ below their range", SAME: "≈ within their range", "": ""}
    return Cell(f"{low:g} to {high:g}", mark=signs[mark.tone], tone=mark.tone)


def _plain_figures(figures: Sequence[Figure | None]) -> list[Cell]:
    ours, *theirs = (figure(each, 4) for each in figures)
    return [ours, Cell(papers.NOT_REPORTED), *theirs]


def _quality(evaluation: Evaluation, name: str) -> Figure | None:
    return getattr(evaluation.quality, name) if evaluation.quality else None


def _slice_row(evaluation: Evaluation, name: str, peers: Sequence[Comparison]) -> list[Cell]:
    found = evaluation.slices[name]
    cells = [
        Cell(name),
        Cell(box_of(found)),
        figure(found.change_psnr, 1) if found.change_psnr else Cell(_DASH),
        figure(found.fmrr),
        figure(found.bit_accuracy),
        figure(found.tpr),
    ]
    for peer in peers:
        theirs = peer.evaluation.slices.get(name)
        cells.append(_peer_cell(found.fmrr, peer, theirs.fmrr) if theirs else Cell("not measured"))
    return [*cells, Cell(found.family or _DASH)]


def _by_simulator(measured: Sequence[Comparison], boxes: Sequence[Box] = BOXES) -> tuple[list[str], list[list[Cell]]]:
    """One row a deepfake simulator and box: change and mean FMRR of each evaluation, beside the papers'."""
    keys: dict[tuple[str, Box], str] = {}
    for comparison in measured:
        for box in BOXES:
            for found in _deepfakes(comparison.evaluation, box):
                keys.setdefault((found.simulator or "", box), found.family or _DASH)
    rows = []
    for (simulator, box), family in keys.items():
        if box not in boxes:
            continue
        cells = [Cell(simulator), Cell(box), Cell(_paper_text(simulator, box == "black"))]
        for comparison in measured:
            every = [each for each in _deepfakes(comparison.evaluation, box) if each.simulator == simulator]
            mean = mean_figure([each.fmrr for each in every])
            alike = _is_of_papers_length(comparison.evaluation)
            paper = papers.fmrr_of(simulator, box == "black") if alike else None
            cells += [_change_cell(every), _beside_papers(mean, paper)]
        rows.append([*cells, Cell(family)])
    figures = [name for each in measured for name in (f"{each.label}: change dB", f"{each.label}: FMRR")]
    return ["simulator", "box", f"papers, {papers.MESSAGE_BITS} bits", *figures, "family"], rows


def _paper_text(simulator: str, black: bool) -> str:
    white = papers.WHITE_BOX_FMRR.get(simulator)
    if not black:
        return f"{white:.2f}" if white is not None else papers.NOT_REPORTED
    return f"{papers.BLACK_BOX_FMRR:.2f} on average" + (f"; {white:.2f} white-box" if white is not None else "")


def _is_of_papers_length(evaluation: Evaluation) -> bool:
    """Whether the papers' figures, all but Fig. 3's of one message length, can stand beside it."""
    return evaluation.tagger.message_bits == papers.MESSAGE_BITS


def _paper_at(message_bits: int, box: Box) -> str:
    """What the papers say of a message length."""
    if box == "black":
        known = message_bits == papers.MESSAGE_BITS
        return f"{papers.BLACK_BOX_FMRR:.2f} on average" if known else papers.NOT_REPORTED
    points = [point for point in papers.LENGTHS if point.message_bits == message_bits]
    said = [f"below {each.fmrr:.2f}" if each.is_bound else f"{each.generator} {each.fmrr:.2f}" for each in points]
    return ", ".join(said) or papers.NOT_REPORTED


def mean_figure(figures: Sequence[Figure | None]) -> Figure | None:
    """The mean over slices of the same pictures, with the mean of their intervals.

    That is rather too wide: the spread of a mean is at most the mean of the spreads. None without slices, or where a
    figure is not known.
    """
    all_known = [each for each in map(known, figures) if each]
    if not figures or len(all_known) < len(figures):
        return None
    mean, low, high = (sum(values) / len(all_known) for values in zip(*all_known))
    return Figure(mean=mean, low=low, high=high)


def box_of(found: SliceFigures) -> str:
    """`white`, `black`, or a dash where no simulator was."""
    return {None: _DASH, False: "white", True: "black"}[found.black_box]


def _ordered(evaluation: Evaluation, kinds: Sequence[str]) -> list[str]:
    """The slices of some kinds: `plain`, white-box, black-box; sweeps by strength."""
    found = {name: each for name, each in evaluation.slices.items() if each.kind in kinds}

    def order(name: str) -> tuple[bool, bool, str, float, str]:
        each = found[name]
        return name != PLAIN, bool(each.black_box), each.simulator or "", each.strength_value or 0.0, name

    return sorted(found, key=order)


def _deepfakes(evaluation: Evaluation, box: Box) -> list[SliceFigures]:
    named = [evaluation.slices[name] for name in _ordered(evaluation, (CONDITION,))]
    return [each for each in named if each.family != "perturbation" and box_of(each) == box]


def _changes(found: Sequence[SliceFigures]) -> str:
    """From the strongest to the weakest, in words; nothing where nothing was measured."""
    means = sorted(each.change_psnr.mean for each in found if each.change_psnr and each.change_psnr.mean is not None)
    ends = list(dict.fromkeys(f"{value:.1f}" for value in means[:1] + means[-1:]))
    return f", change {' to '.join(ends)} dB" if ends else ""


def _change_cell(found: Sequence[SliceFigures]) -> Cell:
    """Mean change with the interval of mean_figure, or a dash where nothing was measured."""
    return figure(mean_figure([each.change_psnr for each in found]), 1) if found else Cell(_DASH)


def _figure_columns(evaluation: Evaluation, peers: Sequence[Comparison]) -> list[str]:
    theirs = [f"{peer.label}: FMRR" for peer in peers]
    fmrr = f"FMRR {_interval_name(evaluation)}"
    return ["box", "change dB", fmrr, "bit accuracy", "TPR at 10⁻⁶", *theirs, "family"]


def _interval_name(evaluation: Evaluation) -> str:
    return f"[{100 * evaluation.confidence:g}% CI]"


def _labels(peers: Sequence[Comparison]) -> list[str]:
    return [peer.label for peer in peers]


def _bits(evaluation: Evaluation) -> Cell:
    return Cell(f"{evaluation.tagger.message_bits}, {evaluation.tagger.code_bits}")


def _size(evaluation: Evaluation) -> str:
    return f"{evaluation.image_size}×{evaluation.image_size}"


def _level(evaluation: Evaluation) -> str:
    return evaluation.tagger.level or "level unknown"


def _named(what: str, comparison: Comparison) -> Comparison:
    """The comparison called by what distinguishes it, with its label where that says more."""
    label = what if comparison.label == what else f"{what}, {comparison.label}"
    return Comparison(label, comparison.evaluation)


def _or_none(paragraphs: list[str], rows: Sequence[list[Cell]]) -> list[str]:
    return paragraphs if rows else [*paragraphs, "Nothing was measured for it."]
