"""The evaluation for people: one table in plain text, all of the report's in Markdown."""

from collections.abc import Sequence

from faketagger.components.evaluator.config import PLAIN
from faketagger.components.evaluator.measure.slices import CONDITION
from faketagger.components.evaluator.report.tables import contents
from faketagger.components.evaluator.report.tables.cells import Cell, Table
from faketagger.components.evaluator.report.tables.comparisons import Comparison
from faketagger.components.evaluator.report.tables.overall import comparability
from faketagger.components.evaluator.verdict.record import Decision, Evaluation, Figure

_RIGHT_ALIGNED = ("change dB", "bit accuracy")


def format_table(evaluation: Evaluation, decision: Decision) -> str:
    """Monospaced text: the conditions, quality, false positives, the verdict and why. Ends in a line break.

    Sweeps, and perturbations after simulators, are a hundred lines more: they are in the report.
    """
    table = _table(evaluation)
    heading = {name: name for name in _columns(evaluation)}
    widths = {name: max(len(row[name]) for row in [heading, *table]) for name in heading}
    lines = [_line(heading, widths), "  ".join("-" * width for width in widths.values())]
    lines += [_line(row, widths) for row in table]
    return "\n".join([*lines, "", *_quality(evaluation), "", *_verdict(decision, "  - ")]) + "\n"


def format_markdown(evaluation: Evaluation, decision: Decision | None, comparisons: Sequence[Comparison] = ()) -> str:
    """The report's tables in Markdown (contents.all_tables), the verdict first. Ends in a line break.

    Args:
      evaluation: its record.
      decision: the gate's; None where it was held against none.
      comparisons: other evaluations, to stand beside it.
    """
    verdict, *reasons = _verdict(decision, "- ")
    quality = [f"- {line}" for line in _quality(evaluation)]
    lines = [f"**{verdict}**", *([""] if reasons else []), *reasons, "", *quality, "", comparability(evaluation)]
    for table in contents.all_tables(evaluation, comparisons):
        paragraphs = [f"\n{paragraph}" for paragraph in table.paragraphs]
        lines += ["", f"### {table.title}", *paragraphs, *_markdown_rows(table)]
    return "\n".join(lines) + "\n"


def _markdown_rows(table: Table) -> list[str]:
    if not table.rows:
        return []
    rows = [[_escaped(column) for column in table.columns], ["---"] * len(table.columns)]
    rows += [[_markdown_cell(cell) for cell in row] for row in table.rows]
    return ["", *("| " + " | ".join(cells) + " |" for cells in rows)]


def _markdown_cell(cell: Cell) -> str:
    mark = f"({cell.mark})" if cell.mark else ""
    return _escaped(" ".join(part for part in (cell.text, cell.interval, mark) if part))


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")


def _line(row: dict[str, str], widths: dict[str, int]) -> str:
    aligned = {name: str.rjust if name in _RIGHT_ALIGNED else str.ljust for name in widths}
    return "  ".join(aligned[name](row[name], width) for name, width in widths.items()).rstrip()


def _columns(evaluation: Evaluation) -> list[str]:
    fmrr = f"FMRR [{_confidence(evaluation)}]"
    return ["simulator", "condition", "family", "box", "change dB", fmrr, "bit accuracy"]


def _confidence(evaluation: Evaluation) -> str:
    return f"{100 * evaluation.confidence:g}% CI"


def _table(evaluation: Evaluation) -> list[dict[str, str]]:
    """One row a slice: `plain`, then the white-box simulators, then the black-box ones."""
    slices = {name: found for name, found in evaluation.slices.items() if found.kind in (PLAIN, CONDITION)}
    rows = []
    for name in sorted(slices, key=lambda name: (name != PLAIN, bool(slices[name].black_box), name)):
        figures = slices[name]
        cells = [
            figures.simulator or name,
            figures.condition or "-",
            figures.family or "-",
            {None: "-", False: "white", True: "black"}[figures.black_box],
            _number(figures.change_psnr.mean, 1) if figures.change_psnr else "-",
            _interval(figures.fmrr, 3),
            _number(figures.bit_accuracy.mean, 3),
        ]
        rows.append(dict(zip(_columns(evaluation), cells)))
    return rows


def _quality(evaluation: Evaluation) -> list[str]:
    quality, untagged, confidence = evaluation.quality, evaluation.untagged, _confidence(evaluation)
    lines = []
    if quality:
        lines.append(f"PSNR {_interval(quality.psnr, 2)} dB, SSIM {_interval(quality.ssim, 4)} ({confidence})")
        tries = evaluation.repeats
        lines.append(f"{quality.pictures} pictures, each tagged {tries} time{'s' if tries != 1 else ''}")
    if untagged and untagged.false_positives is not None:
        found = f"{untagged.false_positives} of {untagged.pictures} untagged pictures"
        lines.append(f"read as tagged: {found}, share {_interval(untagged.share, 4)} ({confidence})")
    return lines or ["no picture was measured"]


def _verdict(decision: Decision | None, bullet: str) -> list[str]:
    if decision is None:
        return ["NOT JUDGED"]
    failed = [f"{bullet}{check.name}: {check.reason}" for check in decision.checks if not check.passed]
    return ["BLESSED" if decision.blessed else "NOT BLESSED", *failed]


def _interval(figure: Figure, digits: int) -> str:
    mean, low, high = (_number(each, digits) for each in (figure.mean, figure.low, figure.high))
    return f"{mean} [{low}, {high}]"


def _number(value: float | None, digits: int) -> str:
    return "none" if value is None else f"{value:.{digits}f}"
