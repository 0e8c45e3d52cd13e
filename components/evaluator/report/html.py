"""An evaluation as one self-contained HTML page: the verdict first, tables and curves beside the papers', pictures."""

import base64
import io
import os
import re
from collections.abc import Sequence
from typing import NamedTuple

import jinja2
import markupsafe
import numpy as np
import tensorflow as tf
from PIL import Image

from faketagger.components.evaluator.measure import slices
from faketagger.components.evaluator.report import gallery, papers, plots
from faketagger.components.evaluator.report.tables import cells, contents
from faketagger.components.evaluator.report.tables.cells import Cell, Table
from faketagger.components.evaluator.report.tables.comparisons import Comparison, group
from faketagger.components.evaluator.report.tables.measured import box_of
from faketagger.components.evaluator.report.tables.overall import comparability
from faketagger.components.evaluator.verdict import record
from faketagger.components.evaluator.verdict.record import Check, Decision, Evaluation, SliceFigures

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
    decision: Decision | None


def load(directory: str) -> Loaded:
    """Reads evaluation.json and checks.json.

    Raises:
      ValueError: one is missing, no JSON, or not as the evaluator writes it today; says which file and field.
    """
    evaluation = Evaluation.read(os.path.join(directory, record.EVALUATION_FILE), "the evaluation")
    checks = os.path.join(directory, record.CHECKS_FILE)
    return Loaded(evaluation, Decision.read(checks, "the gate's decision") if tf.io.gfile.exists(checks) else None)


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
    decision: Decision | None,
    comparisons: Sequence[Comparison] = (),
    pictures: Sequence[gallery.Picture] = (),
    gallery_sentence: str = "",
) -> str:
    """The page.

    Args:
      evaluation: its record.
      decision: the gate's.
      comparisons: other evaluations (group says which goes where).
      pictures: gallery.Maker's, those of a slice in a row.
      gallery_sentence: says whose they are.

    Raises:
      ValueError: it would be larger than MAX_BYTES.
    """
    groups = group(evaluation, comparisons)
    charts = {
        "figure-3": plots.lengths(evaluation, groups.by_length),
        "strengths": plots.sweeps(evaluation, groups.peers),
    }
    page = (
        _environment()
        .get_template(_TEMPLATE)
        .render(
            label=evaluation.label,
            facts=_facts(evaluation),
            verdict=_verdict(decision),
            caveat=comparability(evaluation),
            tiles=_tiles(evaluation),
            sections=contents.all_tables(evaluation, comparisons),
            charts=charts,
            most=_MOST_FAILED,
            long=_LONG_TABLE,
            groups=_gallery_groups(evaluation, pictures),
            gallery_sentence=gallery_sentence,
            gain=gallery.GAIN,
            checks=_checks(decision),
            source=papers.SOURCE,
            not_reported=papers.NOT_REPORTED,
            confidence=f"{100 * evaluation.confidence:g}%",
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
    tagger, repeats, size = evaluation.tagger, evaluation.repeats, evaluation.image_size
    pictures = evaluation.quality.pictures if evaluation.quality else 0
    times = f"{repeats} time{'s' if repeats != 1 else ''}"
    facts = [
        f"{pictures} pictures of {size}×{size}, each tagged {times}",
        f"{tagger.message_bits} message bits in {tagger.code_bits} code bits",
    ]
    if tagger.level:
        facts.append(f"embedding level {tagger.level}")
    if tagger.strength is not None:
        facts.append(f"strength of the residual {tagger.strength:g}")
    return [*facts, f"seed {evaluation.seed}"]


class _Verdict(NamedTuple):
    tone: str
    sign: str
    word: str
    sentence: str
    failed: Sequence[Check] = ()


def _verdict(decision: Decision | None) -> _Verdict:
    if decision is None:
        return _Verdict("unknown", "–", "NOT JUDGED", "It was held against no gate: there is no checks.json.")
    failed = [check for check in decision.checks if not check.passed]
    kept = f"{len(decision.checks) - len(failed)} of {len(decision.checks)} checks were passed"
    if decision.blessed:
        return _Verdict("yes", "✓", "BLESSED", f"{kept}.")
    return _Verdict("no", "✗", "NOT BLESSED", f"{kept}; these were not:", failed)


class _Tile(NamedTuple):
    name: str
    cell: Cell


def _tiles(evaluation: Evaluation) -> list[_Tile]:
    overall, found, quality = evaluation.overall, evaluation.overall_tpr, evaluation.quality
    named = [
        ("FMRR, white-box mean over deepfakes", overall.white, 3),
        ("FMRR, black-box mean over deepfakes", overall.black, 3),
        ("TPR at 10⁻⁶, white-box mean over deepfakes", found.white, 3),
        ("TPR at 10⁻⁶, black-box mean over deepfakes", found.black, 3),
    ]
    if quality:
        named += [
            ("PSNR of tagged pictures, dB", quality.psnr, 2),
            ("SSIM", quality.ssim, 4),
            ("MS-SSIM", quality.ms_ssim, 4),
            ("visibility, ΔE₀₀", quality.visibility, 2),
            ("LPIPS, lower is better", quality.lpips, 4),
        ]
    if evaluation.untagged:
        named.append(("untagged pictures read as tagged", evaluation.untagged.share, 4))
    tiles = [_Tile(name, cells.figure(figure, digits)) for name, figure, digits in named]
    return [tile for tile in tiles if tile.cell.text != cells.UNKNOWN]


def _checks(decision: Decision | None) -> Table:
    found = decision.checks if decision else []
    passed, failed = Cell("", mark="✓ passed", tone=cells.BETTER), Cell("", mark="✗ failed", tone=cells.WORSE)
    rows = [
        [
            Cell(check.name),
            passed if check.passed else failed,
            Cell(cells.UNKNOWN if check.figure is None else f"{check.figure:.4g}"),
            Cell(f"{check.bound:.4g}"),
            Cell(check.reason),
        ]
        for check in found
    ]
    return Table("checks", "The gate's checks", [], ["check", "outcome", "figure", "bound", "reason"], rows)


class _Shown(NamedTuple):
    """One image of a line."""

    uri: str
    alt: str
    name: str
    side: int


class _Line(NamedTuple):
    """One picture of a slice."""

    rank: str
    image_id: str
    tone: str
    said: str
    figures: str
    shown: list[_Shown]


class _Slice(NamedTuple):
    title: str
    facts: str
    pictures: list[_Line]


class _Group(NamedTuple):
    title: str
    slices: list[_Slice]


def _gallery_groups(evaluation: Evaluation, pictures: Sequence[gallery.Picture]) -> list[_Group]:
    """One group a simulator or perturbation, its slices, and each slice's pictures as the template shows them."""
    groups: dict[str, dict[str, list[_Line]]] = {}
    for picture, uris in zip(pictures, _data_uris(pictures)):
        title = _group_title(evaluation.slices[picture.slice])
        groups.setdefault(title, {}).setdefault(picture.slice, []).append(_line(picture, uris))
    return [
        _Group(title, [_Slice(name, _slice_facts(evaluation.slices[name]), lines) for name, lines in by_slice.items()])
        for title, by_slice in groups.items()
    ]


def _group_title(found: SliceFigures) -> str:
    if found.kind == slices.SWEEP:
        return f"{found.simulator}, over strengths"
    then = ", then a perturbation" if found.kind == slices.AFTER else ""
    return f"{found.simulator or 'tagged, not manipulated'}{then}"


def _slice_facts(found: SliceFigures) -> str:
    fmrr = cells.figure(found.fmrr)
    facts = [] if found.black_box is None else [f"{box_of(found)} box"]
    if found.change_psnr:
        facts.append(f"change {cells.number(found.change_psnr.mean, 1)} dB")
    return ", ".join([*facts, f"FMRR {fmrr.text} {fmrr.interval}"])


def _line(picture: gallery.Picture, uris: Sequence[str]) -> _Line:
    right = picture.wrong_bits == 0
    said = "✓ message right" if right else f"✗ message wrong: {picture.wrong_bits} bits"
    accuracy = "no numbers" if np.isnan(picture.bit_accuracy) else f"bit accuracy {picture.bit_accuracy:.3f}"
    names = ("original", "tagged", f"residual ×{gallery.GAIN}", "manipulated")
    of, side = f"{picture.rank} picture of {picture.slice}", len(picture.original)
    return _Line(
        rank=picture.rank,
        image_id=picture.image_id,
        tone=cells.BETTER if right else cells.WORSE,
        said=said,
        figures=f"{accuracy}, p ≤ {picture.p_value:.0e}; tagged at {picture.psnr:.1f} dB",
        shown=[_Shown(uri, f"{name}, {of}", name, side) for name, uri in zip(names, uris)],
    )


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
