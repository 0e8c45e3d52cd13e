"""Evaluations as tables for people: the figures of one tagger beside the papers', other methods' and its own variants'.

Pure: what text.py writes as text and Markdown and html.py as HTML.
"""

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from faketagger.components.evaluator.config import BOXES, PLAIN
from faketagger.components.evaluator.measure.slices import AFTER, CONDITION, SWEEP
from faketagger.components.evaluator.report import papers

BETTER, WORSE, SAME = "better", "worse", "same"
_SIGNS = {BETTER: "▲", WORSE: "▼", SAME: "≈"}
_WORDS = {BETTER: "better", WORSE: "worse", SAME: "no clear difference"}
UNKNOWN = "no figure"
_DASH = "–"

Evaluation = dict[str, Any]
Figure = dict[str, float | None] | None


class Comparison(NamedTuple):
    """Another evaluation.

    Attributes:
      label: what to call it.
      evaluation: summary.summarise's.
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
        if other.get("tagger", {}).get("strength") is not None and len(ways) == 1:
            groups[1 + ways[0]].append(comparison)
        else:
            alike = other.get("image_size") == evaluation.get("image_size")
            label = comparison.label if alike else f"{comparison.label}, at {_size(other)}"
            groups.peers.append(Comparison(label, other, alike))
    return groups


def _distinguished(evaluation: Evaluation) -> tuple[Any, Any, Any]:
    tagger = evaluation.get("tagger", {})
    return evaluation.get("image_size"), tagger.get("level"), tagger.get("message_bits")


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
    rows = []
    for box in BOXES:
        paper = papers.BLACK_BOX_FMRR if box == "black" and _is_of_papers_length(evaluation) else None
        name = f"FMRR, {box}-box, mean over deepfake conditions{_strengths(_deepfakes(evaluation, box))}"
        rows.append([Cell(name), *_beside(evaluation, peers, lambda each, box=box: _overall(each, box), paper)])
    for box in BOXES:
        name = f"TPR at 10⁻⁶, {box}-box, mean over deepfake conditions"
        rows.append([Cell(name), *_beside(evaluation, peers, lambda each, box=box: _overall_tpr(each, box), None)])
    for name, key, digits in (("PSNR, dB", "psnr", 2), ("SSIM", "ssim", 4), ("MS-SSIM", "ms_ssim", 4)):
        cells = _beside(evaluation, peers, lambda each, key=key: _mapping(each, "quality").get(key), None, digits)
        if key == "psnr":
            cells[1] = _psnr_of_papers(_mapping(evaluation, "quality").get("psnr"))
        rows.append([Cell(name), *cells])
    rows.append([Cell("LPIPS, lower is better"), *_plain_figures(evaluation, peers, "quality", "lpips")])
    rows.append([Cell("untagged pictures read as tagged"), *_plain_figures(evaluation, peers, "untagged", "share")])
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
        "`strength` is the PSNR between what goes into a simulator and what comes out: lower is stronger. Bit accuracy "
        "is that of raw codeword bits. TPR is the share of tagged pictures found at a false-positive rate of 10⁻⁶.",
    ]
    return Table("conditions", "Every condition", _or_none(paragraphs, rows), columns, rows)


def sizes(evaluation: Evaluation, variants: Sequence[Comparison] = ()) -> Table:
    """Tables 2 and 3: FMRR by simulator, for each picture size."""
    measured = [Comparison(_size(evaluation), evaluation)]
    measured += [_named(_size(each.evaluation), each) for each in variants]
    found = {each.evaluation.get("image_size") for each in measured}
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
    found = {_mapping(each.evaluation, "tagger").get("level") for each in measured}
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
        each, bits = comparison.evaluation, _mapping(comparison.evaluation, "tagger").get("message_bits")
        for box in BOXES:
            if _overall(each, box):
                paper = papers.BLACK_BOX_FMRR if box == "black" and _is_of_papers_length(each) else None
                cells = [_bits(each), Cell(box), Cell(_paper_at(bits, box)), _strength_cell(_deepfakes(each, box))]
                cells += [_beside_papers(_overall(each, box), paper), figure(_mapping(each, "quality").get("psnr"), 2)]
                rows.append(cells)
    paragraphs = ["FMRR: the mean over all conditions of deepfake simulators. The papers' are single generators'."]
    if len(measured) == 1:
        paragraphs.append("No evaluation of another message length is among those given.")
    fmrr = f"FMRR {_interval_name(evaluation)}"
    columns = ["message bits, code bits", "box", "papers", "strength dB", fmrr, "PSNR dB"]
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
    return sorted(measured, key=lambda each: _mapping(each.evaluation, "tagger").get("message_bits") or 0)


def figure(found: Figure, digits: int = 3) -> Cell:
    """A figure with its interval."""
    if not found or found.get("mean") is None:
        return Cell(UNKNOWN)
    low, high = (number(found.get(end), digits) for end in ("low", "high"))
    return Cell(number(found["mean"], digits), f"[{low}, {high}]")


def number(value: float | None, digits: int) -> str:
    """A rounded number, or UNKNOWN."""
    return UNKNOWN if value is None else f"{value:.{digits}f}"


def difference(ours: Figure, theirs: Figure, digits: int = 3) -> Cell:
    """How this tagger differs from another, larger being better: a difference counts where the intervals do not meet.

    Returns:
      A cell of mark and tone alone; empty where one of the two is not known.
    """
    if not ours or not theirs or None in (*ours.values(), *theirs.values()):
        return Cell("")
    tone = BETTER if ours["low"] > theirs["high"] else WORSE if ours["high"] < theirs["low"] else SAME
    gap = f"{ours['mean'] - theirs['mean']:+.{digits}f}".replace("-", "−")
    return Cell("", mark=f"{_SIGNS[tone]} {gap} {_WORDS[tone]}", tone=tone)


def _exact(value: float) -> Figure:
    return {"mean": value, "low": value, "high": value}


def _beside(
    evaluation: Evaluation,
    peers: Sequence[Comparison],
    get: Callable[[Evaluation], Figure],
    paper: float | None,
    digits: int = 3,
) -> list[Cell]:
    """A figure of this tagger, the papers' and each peer's, with how this tagger differs."""
    ours = get(evaluation)
    cells = [figure(ours, digits), _paper_cell(ours, paper)]
    return cells + [_peer_cell(ours, peer, get(peer.evaluation), digits) for peer in peers]


def _paper_cell(ours: Figure, paper: float | None) -> Cell:
    if paper is None:
        return Cell(papers.NOT_REPORTED)
    mark = difference(ours, _exact(paper))
    return Cell(f"{paper:.2f}", mark=mark.mark, tone=mark.tone)


def _beside_papers(measured: Figure, paper: float | None) -> Cell:
    """A figure of this tagger or another, marked by how it differs from the papers'."""
    mark = difference(measured, None if paper is None else _exact(paper))
    than = {BETTER: " than the papers", WORSE: " than the papers", SAME: " from the papers", "": ""}
    return figure(measured)._replace(mark=mark.mark + than[mark.tone], tone=mark.tone)


def _peer_cell(ours: Figure, peer: Comparison, theirs: Figure, digits: int = 3) -> Cell:
    mark = difference(ours, theirs, digits) if peer.alike else Cell("")
    return figure(theirs, digits)._replace(mark=mark.mark, tone=mark.tone)


def _psnr_of_papers(ours: Figure) -> Cell:
    low, high = papers.PSNR
    mark = difference(ours, {"mean": (low + high) / 2, "low": low, "high": high}, 2)
    # The gap to the middle of a range says nothing: above, below or within is what can be said.
    signs = {BETTER: "▲ above their range", WORSE: "▼ below their range", SAME: "≈ within their range", "": ""}
    return Cell(f"{low:g} to {high:g}", mark=signs[mark.tone], tone=mark.tone)


def _plain_figures(evaluation: Evaluation, peers: Sequence[Comparison], where: str, key: str) -> list[Cell]:
    theirs = [figure(_mapping(peer.evaluation, where).get(key), 4) for peer in peers]
    return [figure(_mapping(evaluation, where).get(key), 4), Cell(papers.NOT_REPORTED), *theirs]


def _slice_row(evaluation: Evaluation, name: str, peers: Sequence[Comparison]) -> list[Cell]:
    found = evaluation["slices"][name]
    strength = found["strength"]
    cells = [
        Cell(name),
        Cell(box_of(found)),
        figure(strength["psnr"], 1) if strength else Cell(_DASH),
        figure(found["fmrr"]),
        figure(found["bit_accuracy"]),
        figure(found.get("tpr")),
    ]
    for peer in peers:
        theirs = peer.evaluation["slices"].get(name)
        cells.append(_peer_cell(found["fmrr"], peer, theirs["fmrr"]) if theirs else Cell("not measured"))
    return [*cells, Cell(found["family"] or _DASH)]


def _by_simulator(measured: Sequence[Comparison], boxes: Sequence[str] = BOXES) -> tuple[list[str], list[list[Cell]]]:
    """One row a deepfake simulator and box: strength and mean FMRR of each evaluation, beside the papers'."""
    keys = {}
    for comparison in measured:
        for found in _of_deepfakes(comparison.evaluation):
            if box_of(found) in boxes:
                keys.setdefault((found["simulator"], found["black_box"]), found["family"])
    rows = []
    for (simulator, black), family in keys.items():
        box = "black" if black else "white"
        cells = [Cell(simulator), Cell(box), Cell(_paper_text(simulator, black))]
        for comparison in measured:
            every = [each for each in _deepfakes(comparison.evaluation, box) if each["simulator"] == simulator]
            mean = mean_figure([each["fmrr"] for each in every])
            paper = papers.fmrr_of(simulator, black) if _is_of_papers_length(comparison.evaluation) else None
            cells += [_strength_cell(every), _beside_papers(mean, paper)]
        rows.append([*cells, Cell(family)])
    figures = [name for each in measured for name in (f"{each.label}: strength dB", f"{each.label}: FMRR")]
    return ["simulator", "box", f"papers, {papers.MESSAGE_BITS} bits", *figures, "family"], rows


def _paper_text(simulator: str, black: bool) -> str:
    white = papers.WHITE_BOX_FMRR.get(simulator)
    if not black:
        return f"{white:.2f}" if white is not None else papers.NOT_REPORTED
    return f"{papers.BLACK_BOX_FMRR:.2f} on average" + (f"; {white:.2f} white-box" if white is not None else "")


def _is_of_papers_length(evaluation: Evaluation) -> bool:
    """Whether the papers' figures, all but Fig. 3's of one message length, can stand beside it."""
    return _mapping(evaluation, "tagger").get("message_bits") == papers.MESSAGE_BITS


def _paper_at(message_bits: int | None, box: str) -> str:
    """What the papers say of a message length."""
    if box == "black":
        known = message_bits == papers.MESSAGE_BITS
        return f"{papers.BLACK_BOX_FMRR:.2f} on average" if known else papers.NOT_REPORTED
    points = [point for point in papers.LENGTHS if point.message_bits == message_bits]
    said = [f"below {each.fmrr:.2f}" if each.is_bound else f"{each.generator} {each.fmrr:.2f}" for each in points]
    return ", ".join(said) or papers.NOT_REPORTED


def mean_figure(figures: Sequence[Figure]) -> Figure:
    """The mean over slices of the same pictures, with the mean of their intervals.

    That is rather too wide: the spread of a mean is at most the mean of the spreads. None without slices, or where a
    figure is not known.
    """
    if not figures or any(not each or None in each.values() for each in figures):
        return None
    return {end: sum(each[end] for each in figures) / len(figures) for end in ("mean", "low", "high")}


def box_of(found: dict[str, Any]) -> str:
    """`white`, `black`, or a dash where no simulator was."""
    return {None: _DASH, False: "white", True: "black"}[found["black_box"]]


def _ordered(evaluation: Evaluation, kinds: Sequence[str]) -> list[str]:
    """The slices of some kinds: `plain`, white-box, black-box; sweeps by strength."""
    found = {name: each for name, each in evaluation["slices"].items() if each["kind"] in kinds}

    def order(name: str) -> tuple:
        each = found[name]
        return name != PLAIN, bool(each["black_box"]), each["simulator"] or "", each.get("strength_value") or 0.0, name

    return sorted(found, key=order)


def _of_deepfakes(evaluation: Evaluation) -> list[dict[str, Any]]:
    found = evaluation["slices"]
    named = [found[name] for name in _ordered(evaluation, (CONDITION,))]
    return [each for each in named if each["family"] != "perturbation"]


def _deepfakes(evaluation: Evaluation, box: str) -> list[dict[str, Any]]:
    return [each for each in _of_deepfakes(evaluation) if box_of(each) == box]


def _overall(evaluation: Evaluation, box: str) -> Figure:
    return _mapping(evaluation, "overall").get(box)


def _overall_tpr(evaluation: Evaluation, box: str) -> Figure:
    return _mapping(evaluation, "overall_tpr").get(box)


def _strengths(found: Sequence[dict[str, Any]]) -> str:
    """From the strongest to the weakest, in words; nothing where nothing was measured."""
    means = [each["strength"]["psnr"]["mean"] for each in found]
    known = sorted(mean for mean in means if mean is not None)
    ends = list(dict.fromkeys(f"{value:.1f}" for value in known[:1] + known[-1:]))
    return f", strength {' to '.join(ends)} dB" if ends else ""


def _strength_cell(found: Sequence[dict[str, Any]]) -> Cell:
    """Mean strength with the interval of mean_figure, or a dash where nothing was measured."""
    return figure(mean_figure([each["strength"]["psnr"] for each in found]), 1) if found else Cell(_DASH)


def _figure_columns(evaluation: Evaluation, peers: Sequence[Comparison]) -> list[str]:
    theirs = [f"{peer.label}: FMRR" for peer in peers]
    fmrr = f"FMRR {_interval_name(evaluation)}"
    return ["box", "strength dB", fmrr, "bit accuracy", "TPR at 10⁻⁶", *theirs, "family"]


def _interval_name(evaluation: Evaluation) -> str:
    return f"[{100 * evaluation['confidence']:g}% CI]"


def _labels(peers: Sequence[Comparison]) -> list[str]:
    return [peer.label for peer in peers]


def _bits(evaluation: Evaluation) -> Cell:
    tagger = _mapping(evaluation, "tagger")
    return Cell(f"{tagger.get('message_bits', UNKNOWN)}, {tagger.get('code_bits', UNKNOWN)}")


def _size(evaluation: Evaluation) -> str:
    size = evaluation.get("image_size")
    return f"{size}×{size}" if size else "size unknown"


def _level(evaluation: Evaluation) -> str:
    return _mapping(evaluation, "tagger").get("level") or "level unknown"


def _named(what: str, comparison: Comparison) -> Comparison:
    """The comparison called by what distinguishes it, with its label where that says more."""
    label = what if comparison.label == what else f"{what}, {comparison.label}"
    return Comparison(label, comparison.evaluation)


def _or_none(paragraphs: list[str], rows: Sequence) -> list[str]:
    return paragraphs if rows else [*paragraphs, "Nothing was measured for it."]


def _mapping(values: Evaluation, key: str) -> dict[str, Any]:
    return values.get(key) or {}
