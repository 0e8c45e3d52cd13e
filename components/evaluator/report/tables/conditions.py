"""Tables of this evaluation's slices: every condition, black-box simulators, strengths, and Figure 4's compounds."""

from collections.abc import Sequence

from faketagger.components.evaluator.config import PLAIN
from faketagger.components.evaluator.measure.slices import AFTER, CONDITION, SWEEP
from faketagger.components.evaluator.report import papers
from faketagger.components.evaluator.report.tables import cells, measured
from faketagger.components.evaluator.report.tables.cells import Cell, Table
from faketagger.components.evaluator.report.tables.comparisons import Comparison, is_as_papers
from faketagger.components.evaluator.verdict.record import Evaluation, SliceFigures

_COMPRESSED = f"over {papers.COMPRESSED_FMRR:.2f} at compression {papers.COMPRESSION}"


def conditions(evaluation: Evaluation, peers: Sequence[Comparison] = ()) -> Table:
    """Every condition of every simulator, and the tagged picture itself."""
    rows = [measured.slice_row(evaluation, name, peers) for name in measured.ordered(evaluation, (PLAIN, CONDITION))]
    columns = ["simulator/condition", *measured.figure_columns(evaluation, peers)]
    paragraphs = [
        "`change` is the PSNR between what goes into a simulator and what comes out: lower is more. Bit accuracy "
        "is that of raw codeword bits. TPR is the share of tagged pictures found at a false-positive rate of 10⁻⁶.",
    ]
    return Table("conditions", "Every condition", cells.or_none(paragraphs, rows), columns, rows)


def black_box(evaluation: Evaluation, peers: Sequence[Comparison] = ()) -> Table:
    """The simulators that no tagger was trained through, beside the papers' mean over theirs."""
    every = [Comparison("this tagger", evaluation), *peers]
    rows = []
    for (simulator, box), family in measured.simulators(every).items():
        if box == "black":
            row = [Cell(simulator), Cell(box), Cell(f"{papers.written(papers.BLACK_BOX)} on average")]
            for each in every:
                found = measured.of_simulator(each.evaluation, simulator, box)
                row += measured.change_and_fmrr(found, papers.BLACK_BOX if is_as_papers(each.evaluation) else None)
            rows.append([*row, Cell(family)])
    paragraphs = [
        "The simulators that were not in the training loop, each the mean over its conditions, beside the mean over "
        "the papers' black-box generators. A mean's interval is the mean of its conditions', and so rather too wide."
    ]
    if not rows:
        paragraphs.append("No deepfake simulator was black-box in this evaluation.")
    figures = [name for each in every for name in (f"{each.label}: change dB", f"{each.label}: FMRR")]
    columns = ["simulator", "box", f"papers, {papers.MESSAGE_BITS} bits", *figures, "family"]
    return Table("black-box", "Black box", paragraphs, columns, rows)


def compounds(evaluation: Evaluation, peers: Sequence[Comparison] = ()) -> Table:
    """Figure 4: simulators' outputs that were perturbed then."""
    names = measured.ordered(evaluation, (AFTER,))
    rows = []
    for name in names:
        slice_name, box, *rest = measured.slice_row(evaluation, name, peers)
        rows.append([slice_name, box, Cell(_compressed_in_papers(evaluation.slices[name])), *rest])
    paragraphs = [
        "A deepfake that was then compressed or resized. Of the papers' curves their text says: even so "
        f"{_COMPRESSED}, where a higher number discards more (a JPEG quality, as ours are, less); "
        "smaller pictures are read worse. Theirs are bald on STGAN and blond hair on StarGAN at "
        f"{papers.FIGURES_SIZE}×{papers.FIGURES_SIZE}, and StyleGAN: nothing is marked.",
    ]
    if not rows:
        paragraphs.append("No simulator's output was perturbed in this evaluation.")
    first, *others = measured.figure_columns(evaluation, peers)
    columns = ["simulator/condition+perturbation", first, "papers", *others]
    return Table("figure-4", "Figure 4: a simulator, then compression or resizing", paragraphs, columns, rows)


def strengths(evaluation: Evaluation, peers: Sequence[Comparison] = ()) -> Table:
    """FMRR over each perturbation's strength."""
    rows = [measured.slice_row(evaluation, name, peers) for name in measured.ordered(evaluation, (SWEEP,))]
    columns = ["perturbation/strength", *measured.figure_columns(evaluation, peers)]
    paragraphs = [
        "FMRR over the strength of a perturbation alone, without a simulator before it as in Figure 4. The papers' "
        f"curves of such are {papers.NOT_REPORTED}."
    ]
    if not rows:
        paragraphs.append("No perturbation was measured over a range of strengths in this evaluation.")
    return Table("strengths", "Strength of perturbations", paragraphs, columns, rows)


def _compressed_in_papers(found: SliceFigures) -> str:
    """What Fig. 4 says of an AFTER slice."""
    condition, _, then = (found.condition or "").partition("+")
    if papers.edit_of(found.simulator, condition) not in papers.FIGURES_3_AND_4:
        return cells.DASH
    return _COMPRESSED if then.startswith("jpeg_") else papers.NOT_REPORTED
