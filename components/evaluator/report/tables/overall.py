"""The whole in a few rows, and pictures' quality beside the papers' Table 5."""

from collections.abc import Sequence

from faketagger.components.evaluator.config import BOXES, Box
from faketagger.components.evaluator.report import papers
from faketagger.components.evaluator.report.tables import cells, measured
from faketagger.components.evaluator.report.tables.cells import Cell, Table
from faketagger.components.evaluator.report.tables.comparisons import Comparison, is_as_papers, size_of
from faketagger.components.evaluator.verdict.record import Evaluation, Figure, SliceFigures


def comparability(evaluation: Evaluation) -> str:
    """One sentence on what the papers' figures beside ours are worth."""
    return (
        f"Ours are small networks of our own and pictures of {size_of(evaluation)}, the papers' figures are of their "
        "own generators: they stand beside each other, they do not compare."
    )


def overall(evaluation: Evaluation, peers: Sequence[Comparison] = ()) -> Table:
    """Mean FMRR by box, quality and false positives."""
    every = [evaluation, *(peer.evaluation for peer in peers)]
    nothing = [Cell(papers.NOT_REPORTED)]
    rows = []
    for box in BOXES:
        name = f"FMRR, {box}-box, mean over deepfake conditions{_changes(measured.deepfakes(evaluation, box))}"
        rows.append(
            cells.row(name, [each.overall.of(box) for each in every], [_mean_of_papers(evaluation, box)], peers)
        )
    for box in BOXES:
        name = f"TPR at 10⁻⁶, {box}-box, mean over deepfake conditions"
        rows.append(cells.row(name, [each.overall_tpr.of(box) for each in every], nothing, peers))
    psnr, ssim, ms_ssim, visibility, lpips = (
        [measured.quality(each, name) for each in every] for name in ("psnr", "ssim", "ms_ssim", "visibility", "lpips")
    )
    rows += [
        cells.row("PSNR, dB", psnr, [cells.range_of_papers(psnr[0], papers.PSNR, 2)], peers, 2),
        cells.row("SSIM", ssim, [cells.range_of_papers(ssim[0], papers.SSIM, 3)], peers, 4),
        cells.row("MS-SSIM", ms_ssim, nothing, peers, 4),
        cells.unmarked_row("visibility, ΔE₀₀", visibility, nothing, 4),
        cells.unmarked_row("LPIPS, lower is better", lpips, nothing, 4),
        cells.unmarked_row("untagged pictures read as tagged", [_share(each) for each in every], nothing, 4),
    ]
    ours, *theirs = map(measured.bits, every)
    rows.append([Cell("message bits, code bits"), ours, Cell(f"{papers.MESSAGE_BITS} message bits"), *theirs])
    paragraphs = [
        "FMRR is the share of pictures whose whole message comes back; its mean over all conditions of deepfake "
        f"simulators, by box. The paper's abstract says {papers.written(papers.BLACK_BOX)} black-box, "
        f"{papers.WHITE_BOX} white-box and more than {papers.OVER_FOUR_TYPES:g} on average over four types of deepfake"
        ", without saying whether of bits or of messages. TPR is the share of tagged pictures found at a "
        "false-positive rate of 10⁻⁶: readers are told of no other messages.",
    ]
    columns = ["", "this tagger", "papers", *(peer.label for peer in peers)]
    return Table("overall", "Overall", paragraphs, columns, rows)


def quality(evaluation: Evaluation, peers: Sequence[Comparison] = ()) -> Table:
    """Table 5: PSNR and SSIM by generator, of one tagger each in the papers, of one for all here."""
    every = [evaluation, *(peer.evaluation for peer in peers)]
    is_held = is_as_papers(evaluation, level=papers.LEVEL)
    rows = []
    for name, key, digits in (("PSNR, dB", "psnr", 2), ("SSIM", "ssim", 3)):
        found = [measured.quality(each, key) for each in every]
        theirs = [getattr(each, key) for each in papers.QUALITY.values()]
        paper = [cells.of_papers(f"{each:.{digits}f}", found[0], each if is_held else None, digits) for each in theirs]
        rows.append(cells.row(name, found, paper, peers, digits))
    visibility = [measured.quality(each, "visibility") for each in every]
    unknown = [Cell(papers.NOT_REPORTED)] * len(papers.QUALITY)
    rows.append(cells.unmarked_row("visibility, ΔE₀₀, lower is better", visibility, unknown, 2))
    paragraphs = [
        "Tagged pictures beside the original ones. The papers train a tagger through each generator; here one tagger "
        f"is for all. Theirs are {papers.MESSAGE_BITS} bits embedded late: only such a tagger is marked.",
    ]
    theirs = [f"papers, {papers.NAMES[generator]}" for generator in papers.QUALITY]
    columns = ["", "this tagger", *theirs, *(peer.label for peer in peers)]
    return Table("table-5", "Table 5: picture quality", paragraphs, columns, rows)


def _mean_of_papers(evaluation: Evaluation, box: Box) -> Cell:
    if box == "white":
        return Cell(papers.WHITE_BOX)
    is_held = is_as_papers(evaluation)
    text = papers.written(papers.BLACK_BOX) + ("" if is_held else f" at {papers.MESSAGE_BITS} bits")
    return cells.of_papers(text, evaluation.overall.of(box), papers.BLACK_BOX if is_held else None)


def _share(evaluation: Evaluation) -> Figure | None:
    return evaluation.untagged.share if evaluation.untagged else None


def _changes(found: Sequence[SliceFigures]) -> str:
    """From the strongest to the weakest, in words; nothing where nothing was measured."""
    means = sorted(each.change_psnr.mean for each in found if each.change_psnr and each.change_psnr.mean is not None)
    ends = list(dict.fromkeys(f"{value:.1f}" for value in means[:1] + means[-1:]))
    return f", change {' to '.join(ends)} dB" if ends else ""
