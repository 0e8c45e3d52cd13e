"""An evaluation as one self-contained HTML page: the verdict first, tables and curves beside the papers', pictures."""

import base64
import io
import os
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import jinja2
import markupsafe
import numpy as np
import tensorflow as tf
from PIL import Image

from faketagger.components.contract import files
from faketagger.components.evaluator.measure import slices
from faketagger.components.evaluator.report import gallery, papers, plots, tables
from faketagger.components.evaluator.report.tables import Cell, Comparison, Evaluation
from faketagger.components.evaluator.verdict import gate
from faketagger.components.evaluator.verdict.summary import EVALUATION_FILE, KEYS

CHECKS_FILE = "checks.json"
MAX_BYTES = 10 * 1024 * 1024
_GALLERY_BYTES = 8 * 1024 * 1024
# Tried in turn until the gallery is small enough.
_SIDES = (gallery.MAX_SIDE, 96, 64, 48)
_JPEG_QUALITY = 85
_MOST_FAILED = 6  # Of the checks that were not passed, so many stand in the verdict; the others are folded.
_LONG_TABLE = 24  # Rows; longer ones are folded where charts show them.
_TEMPLATE = "report.html.jinja"


class Loaded(NamedTuple):
    """What an evaluation's directory holds; the decision is None without a checks.json, which other methods lack."""

    evaluation: Evaluation
    decision: gate.Decision | None


def load(directory: str) -> Loaded:
    """Reads evaluation.json and checks.json; ValueError names the one that is missing or broken."""
    path = os.path.join(directory, EVALUATION_FILE)
    evaluation = files.read_json(path, "the evaluation")
    if not isinstance(evaluation, dict) or not KEYS <= set(evaluation):
        raise ValueError(f"{path}: not an evaluation as the evaluator writes it: evaluate again")
    checks = os.path.join(directory, CHECKS_FILE)
    return Loaded(evaluation, _decision(checks) if tf.io.gfile.exists(checks) else None)


def _decision(path: str) -> gate.Decision:
    values = files.read_json(path, "the gate's decision")
    try:
        return gate.Decision(values["blessed"], [gate.Check(**check) for check in values["checks"]])
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path}: not a decision of the gate ({error})") from None


def load_comparisons(named: Sequence[str]) -> list[Comparison]:
    """Reads other evaluations, each named `LABEL=DIR`; errors as load, and ValueError for another form."""
    found = []
    for each in named:
        label, _, directory = each.partition("=")
        if not label or not directory:
            raise ValueError(f"'{each}': expected LABEL=DIR, what to call an evaluation and its directory")
        found.append(Comparison(label, load(directory).evaluation))
    return found


def make_page(
    evaluation: Evaluation,
    decision: gate.Decision | None,
    comparisons: Sequence[Comparison] = (),
    pictures: Sequence[gallery.Picture] = (),
    gallery_sentence: str = "",
) -> str:
    """The page.

    Args:
      evaluation: summary.summarise's.
      decision: the gate's.
      comparisons: other evaluations (tables.group says which goes where).
      pictures: gallery.Maker's, those of a slice in a row.
      gallery_sentence: says whose they are.

    Raises:
      ValueError: it would be larger than MAX_BYTES.
    """
    groups = tables.group(evaluation, comparisons)
    charts = {
        "figure-3": plots.lengths(evaluation, groups.by_length),
        "figure-4": plots.sweeps(evaluation, groups.peers),
    }
    page = (
        _environment()
        .get_template(_TEMPLATE)
        .render(
            label=evaluation.get("label", "a tagger"),
            facts=_facts(evaluation),
            verdict=_verdict(decision),
            caveat=tables.comparability(evaluation),
            tiles=_tiles(evaluation),
            sections=tables.all_tables(evaluation, comparisons),
            charts=charts,
            most=_MOST_FAILED,
            long=_LONG_TABLE,
            groups=_gallery_groups(evaluation, pictures),
            gallery_sentence=gallery_sentence,
            gain=gallery.GAIN,
            checks=_checks(decision),
            source=papers.SOURCE,
            not_reported=papers.NOT_REPORTED,
            confidence=f"{100 * evaluation['confidence']:g}%",
        )
    )
    size = len(page.encode())
    if size > MAX_BYTES:
        raise ValueError(f"the page would have {size:,} bytes, over {MAX_BYTES:,}: compare fewer evaluations")
    return page


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(os.path.dirname(os.path.abspath(__file__))),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters.update(code=_code, breakable=_breakable)
    return environment


def _code(paragraph: str) -> markupsafe.Markup:
    """Escaped, with what stands in backquotes as code."""
    return markupsafe.Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(markupsafe.escape(paragraph))))


def _breakable(name: str) -> markupsafe.Markup:
    """Escaped; a long name may be broken after what joins its parts."""
    return markupsafe.Markup(re.sub(r"([/+_])", r"\1<wbr>", str(markupsafe.escape(name))))


def _facts(evaluation: Evaluation) -> list[str]:
    tagger, quality = evaluation.get("tagger", {}), evaluation.get("quality") or {}
    repeats, size = evaluation["repeats"], evaluation["image_size"]
    times = f"{repeats} time{'s' if repeats != 1 else ''}"
    facts = [
        f"{quality.get('pictures', 0)} pictures of {size}×{size}, each tagged {times}",
        f"{tagger.get('message_bits', '?')} message bits in {tagger.get('code_bits', '?')} code bits",
    ]
    if tagger.get("level"):
        facts.append(f"embedding level {tagger['level']}")
    if tagger.get("strength") is not None:
        facts.append(f"strength of the residual {tagger['strength']:g}")
    return [*facts, f"seed {evaluation['seed']}"]


def _verdict(decision: gate.Decision | None) -> dict[str, Any]:
    if decision is None:
        sentence = "It was held against no gate: there is no checks.json."
        return {"tone": "unknown", "sign": "–", "word": "NOT JUDGED", "sentence": sentence, "failed": []}
    failed = [check for check in decision.checks if not check.passed]
    kept = f"{len(decision.checks) - len(failed)} of {len(decision.checks)} checks were passed"
    if decision.blessed:
        return {"tone": "yes", "sign": "✓", "word": "BLESSED", "sentence": f"{kept}.", "failed": []}
    return {"tone": "no", "sign": "✗", "word": "NOT BLESSED", "sentence": f"{kept}; these were not:", "failed": failed}


def _tiles(evaluation: Evaluation) -> list[dict[str, Any]]:
    overall, quality = evaluation["overall"], evaluation.get("quality") or {}
    found = evaluation.get("overall_tpr") or {}
    untagged = evaluation.get("untagged") or {}
    named = (
        ("FMRR, white-box mean over deepfakes", overall.get("white"), 3),
        ("FMRR, black-box mean over deepfakes", overall.get("black"), 3),
        ("TPR at 10⁻⁶, white-box mean over deepfakes", found.get("white"), 3),
        ("TPR at 10⁻⁶, black-box mean over deepfakes", found.get("black"), 3),
        ("PSNR of tagged pictures, dB", quality.get("psnr"), 2),
        ("SSIM", quality.get("ssim"), 4),
        ("MS-SSIM", quality.get("ms_ssim"), 4),
        ("LPIPS, lower is better", quality.get("lpips"), 4),
        ("untagged pictures read as tagged", untagged.get("share"), 4),
    )
    cells = [(name, tables.figure(figure, digits)) for name, figure, digits in named]
    return [{"name": name, "cell": cell} for name, cell in cells if cell.text != tables.UNKNOWN]


def _checks(decision: gate.Decision | None) -> tables.Table:
    found = decision.checks if decision else []
    passed, failed = Cell("", mark="✓ passed", tone=tables.BETTER), Cell("", mark="✗ failed", tone=tables.WORSE)
    rows = [
        [
            Cell(check.name),
            passed if check.passed else failed,
            Cell(tables.UNKNOWN if check.figure is None else f"{check.figure:.4g}"),
            Cell(f"{check.bound:.4g}"),
            Cell(check.reason),
        ]
        for check in found
    ]
    return tables.Table("checks", "The gate's checks", [], ["check", "outcome", "figure", "bound", "reason"], rows)


def _gallery_groups(evaluation: Evaluation, pictures: Sequence[gallery.Picture]) -> list[dict[str, Any]]:
    """One group a simulator or perturbation, its slices, and each slice's pictures as the template shows them."""
    shown = _data_uris(pictures)
    groups: dict[str, dict[str, list]] = {}
    for picture, uris in zip(pictures, shown):
        found = evaluation["slices"][picture.slice]
        title = _group_title(found)
        groups.setdefault(title, {}).setdefault(picture.slice, []).append(_line(picture, uris))
    return [
        {
            "title": title,
            "slices": [
                {"title": name, "facts": _slice_facts(evaluation["slices"][name]), "pictures": lines}
                for name, lines in by_slice.items()
            ],
        }
        for title, by_slice in groups.items()
    ]


def _group_title(found: dict[str, Any]) -> str:
    if found["kind"] == slices.SWEEP:
        return f"{found['simulator']}, over strengths"
    then = ", then a perturbation" if found["kind"] == slices.AFTER else ""
    return f"{found['simulator'] or 'tagged, not manipulated'}{then}"


def _slice_facts(found: dict[str, Any]) -> str:
    fmrr = tables.figure(found["fmrr"])
    facts = [] if found["black_box"] is None else [f"{tables.box_of(found)} box"]
    if found["strength"]:
        facts.append(f"strength {tables.number(found['strength']['psnr']['mean'], 1)} dB")
    return ", ".join([*facts, f"FMRR {fmrr.text} {fmrr.interval}"])


def _line(picture: gallery.Picture, uris: Sequence[str]) -> dict[str, Any]:
    right = picture.wrong_bits == 0
    said = "✓ message right" if right else f"✗ message wrong: {picture.wrong_bits} bits"
    accuracy = "no numbers" if np.isnan(picture.bit_accuracy) else f"bit accuracy {picture.bit_accuracy:.3f}"
    names = ("original", "tagged", f"residual ×{gallery.GAIN}", "manipulated")
    of, side = f"{picture.rank} picture of {picture.slice}", len(picture.original)
    return {
        "rank": picture.rank,
        "image_id": picture.image_id,
        "tone": tables.BETTER if right else tables.WORSE,
        "said": said,
        "figures": f"{accuracy}, p ≤ {picture.p_value:.0e}; tagged at {picture.psnr:.1f} dB",
        "shown": [{"uri": uri, "alt": f"{name}, {of}", "name": name, "side": side} for name, uri in zip(names, uris)],
    }


def _data_uris(pictures: Sequence[gallery.Picture]) -> list[list[str]]:
    """Four JPEGs a picture, as large as the bound allows; ValueError where they are too many for any size."""
    for side in _SIDES:
        found = [[_data_uri(each, side) for each in _four(picture)] for picture in pictures]
        if sum(len(uri) for uris in found for uri in uris) <= _GALLERY_BYTES:
            return found
    raise ValueError(f"{len(pictures)} gallery pictures are too many for a page of {MAX_BYTES:,} bytes")


def _four(picture: gallery.Picture) -> Sequence[np.ndarray]:
    return picture.original, picture.tagged, picture.residual, picture.manipulated


def _data_uri(pixels: np.ndarray, side: int) -> str:
    image = Image.fromarray(pixels)
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=_JPEG_QUALITY, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
