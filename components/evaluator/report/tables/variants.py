"""What a tagger gains and loses by its settings: message length (Figure 3) and the loss terms' weights."""

from collections.abc import Iterator, Sequence

from faketagger.components.evaluator.config import BOXES, PLAIN, Box
from faketagger.components.evaluator.report import papers
from faketagger.components.evaluator.report.tables import cells, measured
from faketagger.components.evaluator.report.tables.cells import Cell, Table
from faketagger.components.evaluator.report.tables.comparisons import Comparison, by_length, is_as_papers
from faketagger.components.evaluator.verdict.record import Evaluation, SliceFigures

_SEEN = (("psnr", 2), ("ssim", 4), ("visibility", 2))


def lengths(evaluation: Evaluation, variants: Sequence[Comparison] = ()) -> Table:
    """Figure 3: FMRR over message length, of the papers' conditions and on average over all."""
    every = by_length(evaluation, variants)
    known = {point.message_bits for point in papers.LENGTHS} | set(papers.ENOUGH_BITS)
    rows = []
    for message_bits in sorted(known | {each.evaluation.tagger.message_bits for each in every}):
        there = [each.evaluation for each in every if each.evaluation.tagger.message_bits == message_bits]
        rows += [row for each in there for row in _of_length(each)]
        if not any(_as_in_figure(each, box) for each in there for box in BOXES):
            said = Cell(_said_of_length(message_bits))
            unmeasured = [Cell(cells.DASH), Cell(cells.NOT_MEASURED), Cell(cells.DASH)]
            rows.append([Cell(str(message_bits)), Cell("the papers' conditions"), Cell(cells.DASH), said, *unmeasured])
    size = papers.FIGURES_SIZE
    paragraphs = [
        f"The papers' are bald on STGAN and blond hair on StarGAN at {size}×{size}, and StyleGAN, embedded "
        f"{papers.LEVEL}: their text bounds them at 20 and 50 bits and calls "
        f"{' and '.join(map(str, papers.ENOUGH_BITS))} enough for a platform. Only what was measured alike is marked, "
        "and nothing beside a bound.",
    ]
    if len(every) == 1:
        paragraphs.append("No evaluation of another message length is among those given.")
    columns = [
        "message bits, code bits",
        "of",
        "box",
        "papers",
        "change dB",
        measured.fmrr_column(evaluation),
        "PSNR dB",
    ]
    return Table("figure-3", "Figure 3: message length", paragraphs, columns, rows)


def weights(evaluation: Evaluation, variants: Sequence[Comparison] = ()) -> Table:
    """The unofficial implementation's trade-off: what is read and what is seen, over the loss terms' weights."""
    every = [evaluation, *(each.evaluation for each in variants)]
    every.sort(key=_image_over_message)
    rows = [row for each in every for row in _of_weights(each)]
    known = {(each.tagger.weights.message, each.tagger.weights.residual) for each in every if each.tagger.weights}
    for point in papers.WEIGHTS:
        if (point.message, point.image) not in known:
            nothing = [Cell(cells.DASH), Cell(cells.NOT_MEASURED), *[Cell(cells.DASH)] * 5]
            rows.append([Cell(_weights(point.message, point.image)), Cell(cells.DASH), Cell(point.said), *nothing])
    paragraphs = [
        "λ weighs the message's loss, α the residual's. Taggers that differ in these alone stand here; an unofficial "
        "implementation says in words what its own do, and that swapping costs about "
        f"{100 * papers.SWAPPING_COSTS:g} points of bit accuracy. Its losses are not ours, so that equal weights are "
        "not equally heavy, and where a bound on PSNR is reached here it decides, not α.",
    ]
    if not variants:
        paragraphs.append("No evaluation of other weights is among those given.")
    fmrr = measured.fmrr_column(evaluation)
    columns = ["λ, α", "box", "unofficial implementation", "change dB", fmrr]
    columns += ["bit accuracy, plain", "bit accuracy, swapped", "PSNR dB", "SSIM", "visibility, ΔE₀₀"]
    return Table("weights", "Message against image: the weights of the loss", paragraphs, columns, rows)


def _of_length(evaluation: Evaluation) -> Iterator[list[Cell]]:
    """Rows of one tagger: by box, the mean over deepfakes, then the papers' conditions that it was measured on."""
    message_bits = evaluation.tagger.message_bits
    psnr = cells.figure(measured.quality(evaluation, "psnr"), 2)
    for box in BOXES:
        mean, found = evaluation.overall.of(box), measured.deepfakes(evaluation, box)
        if mean:
            is_held = box == "black" and is_as_papers(evaluation)
            said = f"{papers.written(papers.BLACK_BOX)} on average" if is_held else cells.DASH
            fmrr = cells.beside_papers(mean, papers.BLACK_BOX if is_held else None)
            heading = [measured.bits(evaluation), Cell("mean over deepfakes"), Cell(box), Cell(said)]
            yield [*heading, measured.change(found), fmrr, psnr]
    for box in BOXES:
        for shown in _as_in_figure(evaluation, box):
            edit = papers.edit_of(shown.simulator, shown.condition)
            figures = measured.change_and_fmrr([shown], _held_at_length(evaluation, shown, edit))
            heading = [measured.bits(evaluation), Cell(f"{shown.simulator}/{shown.condition}"), Cell(box)]
            yield [*heading, Cell(_said_of_length(message_bits, edit)), *figures, psnr]


def _as_in_figure(evaluation: Evaluation, box: Box) -> list[SliceFigures]:
    """The papers' conditions, of simulators of the same generators."""
    found = measured.deepfakes(evaluation, box)
    return [each for each in found if papers.edit_of(each.simulator, each.condition) in papers.FIGURES_3_AND_4]


def _said_of_length(message_bits: int, edit: str | None = None) -> str:
    """What the papers say of a message length and of one of their conditions, or of all three."""
    said = []
    for point in _points(message_bits, edit):
        figure = f"{point.bound} {point.fmrr:.2f}" if point.bound else papers.written(point.fmrr)
        said.append(figure if edit or point.edit is None else f"{papers.name_of(point.edit)} {figure}")
    if message_bits in papers.ENOUGH_BITS:
        said.append("enough for a platform")
    return ", ".join(said) or papers.NOT_REPORTED


def _held_at_length(evaluation: Evaluation, found: SliceFigures, edit: str) -> float | None:
    """The papers' figure where it can be held against a slice's."""
    size = papers.SYNTHESIS_SIZE if edit == papers.SYNTHESIS else papers.FIGURES_SIZE
    if found.black_box or not is_as_papers(evaluation, size, papers.LEVEL):
        return None
    return next((each.fmrr for each in _points(papers.MESSAGE_BITS, edit) if not each.bound), None)


def _points(message_bits: int, edit: str | None) -> list[papers.AtLength]:
    of_length = [point for point in papers.LENGTHS if point.message_bits == message_bits]
    return [point for point in of_length if edit is None or point.edit in (None, edit)]


def _of_weights(evaluation: Evaluation) -> Iterator[list[Cell]]:
    """Rows of one tagger, by box."""
    found = evaluation.tagger.weights
    name, said = "not recorded", papers.NOT_REPORTED
    if found:
        name = _weights(found.message, found.residual)
        said = next((each.said for each in papers.WEIGHTS if _weights(each.message, each.image) == name), said)
    plain = evaluation.slices.get(PLAIN)
    seen = [cells.figure(measured.quality(evaluation, key), digits) for key, digits in _SEEN]
    for box in BOXES:
        slices = measured.deepfakes(evaluation, box)
        swaps = [each.bit_accuracy for each in slices if each.family == "identity_swap"]
        if slices:
            fmrr = cells.figure(evaluation.overall.of(box))
            accuracies = [
                cells.figure(plain.bit_accuracy if plain else None),
                cells.figure(measured.mean_figure(swaps)),
            ]
            yield [Cell(name), Cell(box), Cell(said), measured.change(slices), fmrr, *accuracies, *seen]


def _weights(message: float, image: float) -> str:
    return f"{message:g}, {image:g}"


def _image_over_message(evaluation: Evaluation) -> float:
    found = evaluation.tagger.weights
    return found.residual / found.message if found and found.message else 0.0
