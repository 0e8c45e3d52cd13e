"""What tables take from an evaluation: its slices in their order, means over them, rows that several tables share."""

from collections.abc import Sequence

from faketagger.components.evaluator.config import BOXES, PLAIN, Box
from faketagger.components.evaluator.measure.slices import CONDITION
from faketagger.components.evaluator.report.tables import cells
from faketagger.components.evaluator.report.tables.cells import Cell
from faketagger.components.evaluator.report.tables.comparisons import Comparison
from faketagger.components.evaluator.verdict.record import Evaluation, Figure, SliceFigures, known


def ordered(evaluation: Evaluation, kinds: Sequence[str]) -> list[str]:
    """The slices of some kinds: `plain`, white-box, black-box; sweeps by strength."""
    found = {name: each for name, each in evaluation.slices.items() if each.kind in kinds}

    def order(name: str) -> tuple[bool, bool, str, float, str]:
        each = found[name]
        return name != PLAIN, bool(each.black_box), each.simulator or "", each.strength_value or 0.0, name

    return sorted(found, key=order)


def deepfakes(evaluation: Evaluation, box: str) -> list[SliceFigures]:
    """Every condition of deepfake simulators of a box."""
    named = [evaluation.slices[name] for name in ordered(evaluation, (CONDITION,))]
    return [each for each in named if each.family != "perturbation" and box_of(each) == box]


def simulators(measured: Sequence[Comparison]) -> dict[tuple[str, Box], str]:
    """The families of deepfake simulators in any evaluation, by name and box."""
    found: dict[tuple[str, Box], str] = {}
    for comparison in measured:
        for box in BOXES:
            for each in deepfakes(comparison.evaluation, box):
                found.setdefault((each.simulator or "", box), each.family or cells.DASH)
    return found


def of_simulator(evaluation: Evaluation, simulator: str, box: str) -> list[SliceFigures]:
    """Every condition of one of simulators' keys."""
    return [each for each in deepfakes(evaluation, box) if each.simulator == simulator]


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
    return {None: cells.DASH, False: "white", True: "black"}[found.black_box]


def quality(evaluation: Evaluation, name: str) -> Figure | None:
    """One of the record's QualityFigures."""
    return getattr(evaluation.quality, name) if evaluation.quality else None


def bits(evaluation: Evaluation) -> Cell:
    """Message bits, code bits."""
    return Cell(f"{evaluation.tagger.message_bits}, {evaluation.tagger.code_bits}")


def change(found: Sequence[SliceFigures]) -> Cell:
    """Mean change with the interval of mean_figure, or a dash where nothing was measured."""
    return cells.figure(mean_figure([each.change_psnr for each in found]), 1) if found else Cell(cells.DASH)


def change_and_fmrr(found: Sequence[SliceFigures], paper: float | None) -> list[Cell]:
    """Of slices, the means; FMRR as cells.beside_papers marks it."""
    if not found:
        return [Cell(cells.DASH), Cell(cells.NOT_MEASURED)]
    return [change(found), cells.beside_papers(mean_figure([each.fmrr for each in found]), paper)]


def slice_row(evaluation: Evaluation, name: str, peers: Sequence[Comparison]) -> list[Cell]:
    """What was measured of a slice, as figure_columns heads it, its name first."""
    found = evaluation.slices[name]
    row = [
        Cell(name),
        Cell(box_of(found)),
        cells.figure(found.change_psnr, 1) if found.change_psnr else Cell(cells.DASH),
        cells.figure(found.fmrr),
        cells.figure(found.bit_accuracy),
        cells.figure(found.tpr),
    ]
    for peer in peers:
        theirs = peer.evaluation.slices.get(name)
        row.append(cells.peer(found.fmrr, peer, theirs.fmrr) if theirs else Cell(cells.NOT_MEASURED))
    return [*row, Cell(found.family or cells.DASH)]


def figure_columns(evaluation: Evaluation, peers: Sequence[Comparison]) -> list[str]:
    """Headings of slice_row after the name."""
    theirs = [f"{peer.label}: FMRR" for peer in peers]
    return ["box", "change dB", fmrr_column(evaluation), "bit accuracy", "TPR at 10⁻⁶", *theirs, "family"]


def fmrr_column(evaluation: Evaluation) -> str:
    """The heading of FMRR with its intervals."""
    return f"FMRR [{100 * evaluation.confidence:g}% CI]"
