"""The evaluation as a table for people, in plain text and in Markdown."""

from typing import Any, Dict, List, Optional

from faketagger.components.evaluator import gate
from faketagger.components.evaluator.config import PLAIN

_RIGHT_ALIGNED = ("strength dB", "bit accuracy")


def format_table(evaluation: Dict[str, Any], decision: gate.Decision) -> str:
    """Monospaced text: the slices, quality, false positives, the verdict and why. Ends in a line break."""
    table = _table(evaluation)
    heading = {name: name for name in _columns(evaluation)}
    widths = {name: max(len(row[name]) for row in [heading, *table]) for name in heading}
    lines = [_line(heading, widths), "  ".join("-" * width for width in widths.values())]
    lines += [_line(row, widths) for row in table]
    return "\n".join([*lines, "", *_quality(evaluation), "", *_verdict(decision, "  - ")]) + "\n"


def format_markdown(evaluation: Dict[str, Any], decision: gate.Decision) -> str:
    """The same as format_table in Markdown."""
    columns = _columns(evaluation)
    rules = ["---:" if name in _RIGHT_ALIGNED else "---" for name in columns]
    rows = [columns, rules, *([row[name] for name in columns] for row in _table(evaluation))]
    lines = ["| " + " | ".join(cells) + " |" for cells in rows]
    quality = [f"- {line}" for line in _quality(evaluation)]
    verdict, *reasons = _verdict(decision, "- ")
    return "\n".join([*lines, "", *quality, "", f"**{verdict}**", *([""] if reasons else []), *reasons]) + "\n"


def _line(row: Dict[str, str], widths: Dict[str, int]) -> str:
    aligned = {name: str.rjust if name in _RIGHT_ALIGNED else str.ljust for name in widths}
    return "  ".join(aligned[name](row[name], width) for name, width in widths.items()).rstrip()


def _columns(evaluation: Dict[str, Any]) -> List[str]:
    fmrr = f"FMRR [{_confidence(evaluation)}]"
    return ["simulator", "condition", "family", "box", "strength dB", fmrr, "bit accuracy"]


def _confidence(evaluation: Dict[str, Any]) -> str:
    return f"{100 * evaluation['confidence']:g}% CI"


def _table(evaluation: Dict[str, Any]) -> List[Dict[str, str]]:
    """One row a slice: `plain`, then the white-box simulators, then the black-box ones."""
    slices = evaluation["slices"]
    rows = []
    for name in sorted(slices, key=lambda name: (name != PLAIN, bool(slices[name]["black_box"]), name)):
        figures = slices[name]
        box = {None: "-", False: "white", True: "black"}[figures["black_box"]]
        strength = _number(figures["strength"]["psnr"]["mean"], 1) if figures["strength"] else "-"
        cells = [
            figures["simulator"] or name,
            figures["condition"] or "-",
            figures["family"] or "-",
            box,
            strength,
            _interval(figures["fmrr"], 3),
            _number(figures["bit_accuracy"]["mean"], 3),
        ]
        rows.append(dict(zip(_columns(evaluation), cells)))
    return rows


def _quality(evaluation: Dict[str, Any]) -> List[str]:
    quality, untagged, confidence = evaluation["quality"], evaluation["untagged"], _confidence(evaluation)
    lines = []
    if quality:
        lines.append(f"PSNR {_interval(quality['psnr'], 2)} dB, SSIM {_interval(quality['ssim'], 4)} ({confidence})")
        tries = evaluation["repeats"]
        lines.append(f"{quality['pictures']} pictures, each tagged {tries} time{'s' if tries != 1 else ''}")
    if untagged:
        found = f"{untagged['false_positives']} of {untagged['pictures']} untagged pictures"
        lines.append(f"read as tagged: {found}, share {_interval(untagged['share'], 4)} ({confidence})")
    return lines or ["no picture was measured"]


def _verdict(decision: gate.Decision, bullet: str) -> List[str]:
    failed = [f"{bullet}{check.name}: {check.reason}" for check in decision.checks if not check.passed]
    return ["BLESSED" if decision.blessed else "NOT BLESSED", *failed]


def _interval(figure: Dict[str, Optional[float]], digits: int) -> str:
    mean, low, high = (_number(figure[end], digits) for end in ("mean", "low", "high"))
    return f"{mean} [{low}, {high}]"


def _number(value: Optional[float], digits: int) -> str:
    return "none" if value is None else f"{value:.{digits}f}"
