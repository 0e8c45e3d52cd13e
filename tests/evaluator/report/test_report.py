"""The report: figures beside the papers' and other methods', marked honestly; a page that needs nothing else."""

import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser

import nbclient
import nbformat
import numpy as np
import pytest

from faketagger.components.evaluator.measure import rows
from faketagger.components.evaluator.report import gallery, html, plots, tables
from faketagger.components.evaluator.report.tables import Comparison
from faketagger.components.evaluator.report.text import format_markdown
from faketagger.components.evaluator.verdict.record import Check, Decision, Evaluation, Figure
from faketagger.tests.helpers import ROOT

UNKNOWN = Figure(mean=None, low=None, high=None)


def _figure(mean, margin=0.02, highest=1.0):
    return Figure(mean=mean, low=max(0.0, mean - margin), high=min(highest, mean + margin))


def _slice(kind, name, family, black_box, fmrr, psnr=20.0, strength_value=None):
    simulator, _, condition = name.partition("/")
    is_plain = kind == "plain"
    return {
        "kind": kind,
        "simulator": None if is_plain else simulator,
        "condition": None if is_plain else condition,
        "family": family,
        "black_box": black_box,
        "strength_value": strength_value,
        "pictures": 50,
        "not_finite": 0,
        "fmrr": _figure(fmrr),
        "bit_accuracy": _figure(0.9),
        "tpr": _figure(0.8),
        "change_psnr": None if is_plain else _figure(psnr, 0.5, 100.0),
        "change_ssim": None if is_plain else _figure(0.7),
    }


def _evaluation(fmrr=0.9, changes=None, slices=None, **tagger):
    """An evaluation with every kind of slice; FMRR is `fmrr` everywhere.

    `changes` are other fields of the record, `slices` fields of some slices by name: None takes a slice away.
    """
    named = {
        "plain": ("plain", None, None),
        "stargan/happy": ("condition", "attribute_editing", False),
        "stargan/young": ("condition", "attribute_editing", False),
        "stgan/happy": ("condition", "attribute_editing", True),
        "perturbation/jpeg_75": ("condition", "perturbation", False),
        "stargan/happy+jpeg_75": ("after", "attribute_editing", False),
    }
    found = {name: _slice(kind, name, family, box, fmrr) for name, (kind, family, box) in named.items()}
    for at in (10.0, 95.0, 30.0):
        found[f"jpeg/{at:g}"] = _slice("sweep", f"jpeg/{at:g}", "perturbation", False, fmrr, 30.0, at)
    for name, fields in (slices or {}).items():
        found[name] = fields and {**found.get(name, {}), **fields}
    described = {"message_bits": 30, "code_bits": 121, "image_size": 64, "strength": 1.0, "level": "early"}
    values = {
        "confidence": 0.95,
        "repeats": 2,
        "seed": 0,
        "image_size": 64,
        "label": "30 bits in 121",
        "tagger": {**described, "false_positive_rate": 1e-6, **tagger},
        "quality": {
            "pictures": 50,
            "not_finite": 0,
            "psnr": _figure(31.0, 0.1, 100.0),
            "ssim": _figure(0.95),
            "ms_ssim": _figure(0.97),
            "lpips": UNKNOWN,
        },
        "untagged": {"pictures": 50, "not_finite": 0, "false_positives": 0, "share": _figure(0.0, 0.07)},
        "overall": {"white": _figure(fmrr), "black": _figure(fmrr)},
        "overall_tpr": {"white": None, "black": None},
        "slices": {name: fields for name, fields in found.items() if fields},
    }
    return Evaluation.from_values({**values, **(changes or {})})


def _baseline(fmrr=0.5, label="DWT-DCT", slices=None, **changes):
    return Comparison(label, _evaluation(fmrr, changes, slices, strength=None, level=None))


def _decision(failed=0, passed=1):
    checks = [Check(f"fmrr bad/{index}", 0.1, 0.9, False, f"reason {index}") for index in range(failed)]
    checks += [Check(f"fmrr good/{index}", 0.95, 0.9, True, "holds") for index in range(passed)]
    return Decision(not failed, checks)


def _table(found, anchor):
    return next(table for table in found if table.anchor == anchor)


def _row(table, first):
    row = next(row for row in table.rows if row[0].text == first)
    return dict(zip(table.columns, row))


class _Page(HTMLParser):
    """What a page is made of: (tag, attributes) of every element, and its text outside <style>."""

    def __init__(self, page):
        super().__init__()
        self.elements, self.text, self._open = [], "", []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self._open.append(tag)

    def handle_endtag(self, tag):
        self._open.append(f"/{tag}")

    def handle_data(self, data):
        self.text += "" if self._open[-1:] == ["style"] else data

    def of(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def _picture(side=16, rank="best", wrong_bits=0, slice_name="stargan/happy"):
    pixels = np.random.default_rng(0).integers(0, 255, [side, side, 3], np.uint8)
    return gallery.Picture(
        slice_name, rank, "a/face<1>.jpg", 0, pixels, pixels, pixels, pixels, 31.2, wrong_bits, 0.9, 1e-9
    )


@pytest.fixture(scope="module")
def full_page():
    comparisons = [_baseline(), Comparison("short", _evaluation(0.95, message_bits=10))]
    pictures = [_picture(rank=rank, wrong_bits=wrong) for rank, wrong in (("best", 0), ("median", 0), ("worst", 7))]
    return html.make_page(_evaluation(), _decision(failed=8), comparisons, pictures, "Drawn faces.")


def test_the_verdict_stands_before_every_figure_and_says_why(full_page):
    text = _Page(full_page).text
    assert (
        text.index("NOT BLESSED") < text.index("reason 0") < text.index("they do not compare") < text.index("Overall")
    )
    assert "1 of 9 checks were passed" in text
    assert all(f"reason {index}" in text for index in range(8))


def test_an_evaluation_that_no_gate_saw_is_neither_blessed_nor_refused():
    text = _Page(html.make_page(_evaluation(), None)).text
    assert "NOT JUDGED" in text and "BLESSED" not in text


def test_the_page_takes_nothing_from_outside_and_has_no_scripts(full_page):
    page = _Page(full_page)
    addresses = [
        value
        for _, attributes in page.elements
        for name, value in attributes.items()
        if name in ("src", "href", "xlink:href", "srcset", "data", "action", "poster")
    ]
    assert addresses and all(each.startswith(("#", "data:image/jpeg;base64,")) for each in addresses)
    assert not page.of("script") and not page.of("link") and not page.of("iframe")
    assert "@import" not in full_page and not re.search(r"url\((?!#)", full_page)


def test_every_link_inside_the_page_leads_somewhere_and_names_are_given_once(full_page):
    page = _Page(full_page)
    names = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(names) == len(set(names))
    used = {
        value[1:] for _, attributes in page.elements for value in attributes.values() if (value or "").startswith("#")
    }
    used |= set(re.findall(r"url\(#([^)]+)\)", full_page))
    assert {each for each in used if not re.fullmatch("[0-9a-fA-F]{3,6}", each)} <= set(names)


def test_the_page_can_be_read_with_a_screen_reader_and_on_a_narrow_screen(full_page):
    page = _Page(full_page)
    assert page.of("html") == [{"lang": "en"}]
    assert len(page.of("h1")) == 1
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in page.of("meta")
    assert len(page.of("img")) == 12 and all(each["alt"] for each in page.of("img"))
    assert page.of("th") and all(each.get("scope") in ("col", "row") for each in page.of("th"))
    tags = [(tag, attributes.get("class")) for tag, attributes in page.elements]
    before = [tags[index - 1] for index, (tag, _) in enumerate(tags) if tag == "table"]
    assert before and set(before) == {("div", "scroll")}
    figures = [each for each in page.of("figure") if each.get("role") == "img"]
    assert len(figures) == len(page.of("svg")) == 2 and all(each["aria-label"] for each in figures)


def test_the_gallery_says_in_words_whether_each_message_was_read(full_page):
    text = _Page(full_page).text
    assert text.count("✓ message right") == 2 and text.count("✗ message wrong: 7 bits") == 1
    assert "Drawn faces." in text and "white box, change 20.0 dB, FMRR 0.900 [0.880, 0.920]" in text


def test_names_cannot_smuggle_markup_or_formulas_into_the_page():
    label = "<script>alert(1)</script> $a$ \\frac"
    evaluation = _evaluation(changes={"label": label})
    page = html.make_page(evaluation, _decision(), [_baseline(label=label)], [_picture()])
    assert not _Page(page).of("script")
    assert "a/face&lt;1&gt;.jpg" in page and "$a$" in page


def test_a_difference_counts_only_where_the_intervals_do_not_meet():
    ours = _figure(0.9, 0.05)
    better = tables.difference(ours, _figure(0.5, 0.05))
    assert (better.mark, better.tone) == ("▲ +0.400 better", tables.BETTER)
    worse = tables.difference(_figure(0.5, 0.05), ours)
    assert (worse.mark, worse.tone) == ("▼ −0.400 worse", tables.WORSE)
    same = tables.difference(ours, _figure(0.81, 0.05))
    assert (same.mark, same.tone) == ("≈ +0.090 no clear difference", tables.SAME)
    assert tables.difference(ours, UNKNOWN).mark == ""


def test_a_simulator_stands_beside_its_generators_figure_and_a_black_box_one_beside_the_black_box_mean():
    table = _table(tables.all_tables(_evaluation(0.9)), "tables-2-3")
    stargan, stgan = _row(table, "stargan"), _row(table, "stgan")
    assert stargan["papers, 30 bits"].text == "0.85"
    assert stargan["64×64: FMRR"] == ("0.900", "[0.880, 0.920]", "▲ +0.050 better than the papers", "better")
    assert stgan["papers, 30 bits"].text == "0.89 on average; 0.92 white-box"
    assert stgan["64×64: FMRR"].mark == "≈ +0.010 no clear difference from the papers"
    assert (stargan["box"].text, stgan["box"].text) == ("white", "black")


def test_a_tagger_of_another_message_length_is_not_held_against_the_papers_figures():
    found = tables.all_tables(_evaluation(0.9, message_bits=10))
    assert _row(_table(found, "tables-2-3"), "stargan")["64×64: FMRR"].mark == ""
    assert _table(found, "overall").rows[1][2].text == "not reported here"


def test_what_the_papers_do_not_say_is_called_not_reported():
    added = {"faceswap/anna": _slice("condition", "faceswap/anna", "identity_swap", False, 1.0)}
    evaluation = _evaluation(slices=added)
    found = tables.all_tables(evaluation)
    row = _row(_table(found, "tables-2-3"), "faceswap")
    assert row["papers, 30 bits"].text == "not reported here" and row["64×64: FMRR"].mark == ""
    assert "papers' own curves are not reported here" in " ".join(_table(found, "figure-4").paragraphs)


def test_the_mean_over_conditions_has_their_mean_interval():
    evaluation = _evaluation(slices={"stargan/young": {"fmrr": Figure(mean=0.5, low=0.3, high=0.6)}})
    row = _row(_table(tables.all_tables(evaluation), "tables-2-3"), "stargan")
    assert row["64×64: FMRR"][:2] == ("0.700", "[0.590, 0.760]")


def test_comparisons_are_told_apart_by_what_they_differ_in():
    early = _evaluation()
    named = {
        "method": _baseline().evaluation,
        "uncoded": _evaluation(code_bits=30),
        "large": _evaluation(changes={"image_size": 128}),
        "late": _evaluation(level="late"),
        "short": _evaluation(message_bits=10),
        "both": _evaluation(level="late", message_bits=10),
    }
    groups = tables.group(early, [Comparison(*each) for each in named.items()])
    assert [[each.label for each in group] for group in groups] == [
        ["method", "uncoded", "both"],
        ["large"],
        ["late"],
        ["short"],
    ]


def test_variants_fill_the_columns_of_the_tables_they_belong_to():
    variants = [
        Comparison("large", _evaluation(0.7, {"image_size": 128})),
        Comparison("late", _evaluation(0.6, level="late")),
        Comparison("long", _evaluation(0.3, message_bits=50)),
    ]
    found = tables.all_tables(_evaluation(), variants)
    assert _row(_table(found, "tables-2-3"), "stargan")["128×128, large: FMRR"].text == "0.700"
    assert _row(_table(found, "table-4"), "stargan")["late: FMRR"].text == "0.600"
    assert _row(_table(found, "figure-3"), "50, 121")["FMRR [95% CI]"].text == "0.300"


def test_below_a_bound_is_not_held_against_a_figure():
    longer = Comparison("long", _evaluation(0.3, message_bits=50))
    row = _row(_table(tables.all_tables(_evaluation(), [longer]), "figure-3"), "50, 121")
    assert row["papers"].text == "below 0.70" and row["FMRR [95% CI]"].mark == ""


def test_a_table_without_data_says_so_instead_of_vanishing():
    nothing = dict.fromkeys(set(_evaluation().slices) - {"plain"})
    evaluation = _evaluation(changes={"overall": {"white": None, "black": None}}, slices=nothing)
    found = tables.all_tables(evaluation)
    for anchor, said in (
        ("tables-2-3", "No evaluation at 128×128 or 256×256"),
        ("table-4", "No evaluation of the level raw, nor of late"),
        ("table-5", "No deepfake simulator was black-box"),
        ("figure-3", "No evaluation of another message length"),
        ("figure-4", "No perturbation was measured"),
        ("compounds", "No simulator's output was perturbed"),
    ):
        table = _table(found, anchor)
        assert said in " ".join(table.paragraphs) and not table.rows
        assert said in _Page(html.make_page(evaluation, None)).text


def test_another_method_stands_beside_only_what_both_were_measured_on():
    other = _baseline(0.5, slices={"stargan/young": None})
    table = _table(tables.all_tables(_evaluation(0.9), [other]), "conditions")
    assert _row(table, "stargan/happy")["DWT-DCT: FMRR"][:3] == ("0.500", "[0.480, 0.520]", "▲ +0.400 better")
    assert _row(table, "stargan/young")["DWT-DCT: FMRR"].text == "not measured"


def test_another_method_at_another_picture_size_is_named_so_and_not_marked():
    table = _table(tables.all_tables(_evaluation(), [_baseline(image_size=256)]), "conditions")
    cell = _row(table, "plain")["DWT-DCT, at 256×256: FMRR"]
    assert cell.text == "0.500" and cell.mark == ""


@pytest.mark.parametrize(
    "psnr, said", [(33.0, "▲ above their range"), (28.0, "≈ within their range"), (20.0, "▼ below their range")]
)
def test_psnr_is_held_against_the_papers_range(psnr, said):
    quality = _evaluation().quality.replace(psnr=_figure(psnr, 0.1, 100.0))
    evaluation = _evaluation(changes={"quality": quality})
    cell = _row(_table(tables.all_tables(evaluation), "overall"), "PSNR, dB")["papers"]
    assert (cell.text, cell.mark) == ("26 to 30", said)


def test_every_fmrr_has_change_box_and_interval_beside_it():
    for table in tables.all_tables(_evaluation(), [_baseline()]):
        if table.anchor == "overall":
            continue
        assert "box" in table.columns, table.anchor
        for row in table.rows:
            cells = dict(zip(table.columns, row))
            changes = [cell for name, cell in cells.items() if "change dB" in name]
            assert changes and (row[0].text == "plain" or all(cell.interval for cell in changes))
            assert all(cell.interval for name, cell in cells.items() if "FMRR" in name)
    overall = _table(tables.all_tables(_evaluation()), "overall")
    assert "white-box" in overall.rows[0][0].text and "change 20.0 dB" in overall.rows[0][0].text


def test_strengths_are_in_the_order_of_their_numbers():
    names = [row[0].text for row in _table(tables.all_tables(_evaluation()), "figure-4").rows]
    assert names == ["jpeg/10", "jpeg/30", "jpeg/95"]


def test_a_chart_shows_every_method_from_weak_to_strong():
    (chart,) = plots.sweeps(_evaluation(0.9), [_baseline(0.5)])
    assert chart.title == "jpeg"
    assert "this tagger: 0.90 at 10, 0.90 at 30, 0.90 at 95" in chart.description
    assert "DWT-DCT: 0.50 at 10" in chart.description
    assert ">DWT-DCT<" in chart.svg and ">quality<" in chart.svg


def test_a_method_keeps_its_look_where_another_has_no_curve():
    (chart,) = plots.sweeps(_evaluation(0.9), [_baseline(0.5), _baseline(0.4, "LSB")])
    other = _baseline(0.5, slices=dict.fromkeys(("jpeg/10", "jpeg/30", "jpeg/95")))
    (without,) = plots.sweeps(_evaluation(0.9), [other, _baseline(0.4, "LSB")])
    first, second = (colour.lower() for colour in ("#D55E00", "#009E73"))
    assert first in chart.svg.lower() and second in chart.svg.lower()
    assert first not in without.svg.lower() and second in without.svg.lower()


def test_a_figure_that_is_not_known_leaves_its_point_out():
    evaluation = _evaluation(slices={"jpeg/30": {"fmrr": UNKNOWN}})
    (chart,) = plots.sweeps(evaluation)
    assert "0.90 at 10, 0.90 at 95" in chart.description


def _at(psnr, fmrr):
    quality = {**_evaluation().quality.dict(), "psnr": _figure(psnr, 0.1, 100.0)}
    swap = _slice("condition", "faceswap/to_group_a", "identity_swap", True, fmrr)
    return _evaluation(fmrr, {"quality": quality}, {"faceswap/to_group_a": swap})


def test_the_quality_chart_goes_over_psnr_by_family_and_shows_the_bits_that_swaps_spoil():
    (chart,) = plots.qualities([_at(40.0, 0.5), _at(36.0, 0.9)])
    assert "attribute_editing, white-box: 0.90 at 36, 0.50 at 40" in chart.description
    assert "attribute_editing, black-box: 0.90 at 36, 0.50 at 40" in chart.description
    assert "identity_swap, black-box: 0.10 at 36, 0.10 at 40" in chart.description  # 1 − bit accuracy.
    assert "perturbation" not in chart.description
    assert "SepMark" in chart.svg and "papers: 0.89" in chart.svg


def test_the_same_evaluation_makes_the_same_page():
    assert html.make_page(_evaluation(), _decision()) == html.make_page(_evaluation(), _decision())


def test_the_markdown_has_the_verdict_first_and_the_same_tables():
    comparisons = [_baseline(label="a|b")]
    text = format_markdown(_evaluation(), _decision(failed=1), comparisons)
    lines = text.splitlines()
    assert lines[:3] == ["**NOT BLESSED**", "", "- fmrr bad/0: reason 0"]
    assert "| stgan/happy | black | 20.0 [19.5, 20.5] | 0.900 [0.880, 0.920] | 0.900 [0.880, 0.920] | " in text
    assert "| 0.500 [0.480, 0.520] (▲ +0.400 better) | attribute_editing |" in text
    headings = [line[4:] for line in lines if line.startswith("### ")]
    assert headings == [table.title for table in tables.all_tables(_evaluation(), comparisons)]
    blocks = [block.splitlines() for block in text.split("\n\n") if block.startswith("|")]
    assert len(blocks) == len(headings)
    for block in blocks:
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in block}) == 1


def test_a_gallery_that_would_be_too_large_is_shown_smaller_or_refused(monkeypatch):
    pictures = [_picture(side=128)]
    large = html.make_page(_evaluation(), None, (), pictures)
    monkeypatch.setattr(html, "_GALLERY_BYTES", 60_000)
    small = html.make_page(_evaluation(), None, (), pictures)
    assert len(small) < len(large) - 10_000
    monkeypatch.setattr(html, "_GALLERY_BYTES", 1_000)
    with pytest.raises(ValueError, match="too many"):
        html.make_page(_evaluation(), None, (), pictures)


def test_a_page_over_the_bound_is_refused(monkeypatch):
    monkeypatch.setattr(html, "MAX_BYTES", 10_000)
    with pytest.raises(ValueError, match="over 10,000"):
        html.make_page(_evaluation(), None)


@pytest.fixture
def directory(tmp_path):
    """An evaluation's directory: figures, checks and rows."""
    _evaluation().write(str(tmp_path / "evaluation.json"))
    _decision().write(str(tmp_path / "checks.json"))
    with rows.RowFile(rows.path_of(str(tmp_path), "0")) as file:
        for name, found in _evaluation().slices.items():
            same = {"repeat": 0, "slice": name, "kind": found.kind, "finite": True}
            file.write(rows.Row(image_id, message_ok=image_id == "good", **same) for image_id in ("good", "bad"))
    return tmp_path


def test_a_broken_or_old_evaluation_is_named(directory):
    assert html.load(str(directory)).decision == _decision()
    (directory / "checks.json").write_text('{"blessed": true}')
    with pytest.raises(ValueError, match="checks.json: checks: expected a list, found nothing"):
        html.load(str(directory))
    old = json.loads(_evaluation().to_json())
    del old["overall"]
    (directory / "evaluation.json").write_text(json.dumps(old))
    with pytest.raises(ValueError, match="evaluation.json: overall: expected an object, found nothing"):
        html.load(str(directory))
    foreign = json.loads(_evaluation().to_json())
    foreign["slices"]["plain"]["fmrr"]["low"] = "0.9"
    (directory / "evaluation.json").write_text(json.dumps(foreign))
    with pytest.raises(
        ValueError, match="evaluation.json: slices.plain.fmrr.low: expected a number or null, found '0.9'"
    ):
        html.load(str(directory))
    with pytest.raises(ValueError, match="the evaluation is missing"):
        html.load(str(directory / "nowhere"))


def test_a_comparison_without_a_label_is_refused(directory):
    assert html.load_comparisons([f"ours={directory}"]) == [Comparison("ours", _evaluation())]
    with pytest.raises(ValueError, match="expected LABEL=DIR"):
        html.load_comparisons([str(directory)])


def _command(*flags):
    command = [sys.executable, "-m", "faketagger.components.evaluator.html_report", *flags]
    return subprocess.run(command, capture_output=True, text=True, timeout=600)


@pytest.mark.slow
def test_the_command_writes_the_page_and_says_in_a_sentence_what_is_wrong(directory):
    out = directory / "report.html"
    markdown = directory / "report.md"
    given = (f"--evaluation={directory}", f"--compare=other={directory}", f"--out={out}", f"--markdown={markdown}")
    done = _command(*given)
    assert done.returncode == 0 and done.stderr == ""
    assert "✓ BLESSED" in out.read_text() and "other: FMRR" in out.read_text()
    others = html.load_comparisons([f"other={directory}"])
    assert markdown.read_text() == format_markdown(_evaluation(), _decision(), others)
    failed = _command(f"--evaluation={directory}/nowhere", f"--out={directory}/other.html")
    assert failed.returncode == 1 and failed.stderr.startswith("failed: ") and "Traceback" not in failed.stderr
    assert not os.path.exists(directory / "other.html")


@pytest.mark.slow
def test_the_notebook_shows_the_same_report(directory, monkeypatch):
    monkeypatch.setenv("FAKETAGGER_EVALUATION", str(directory))
    monkeypatch.setenv("FAKETAGGER_COMPARE", f"other={directory}")
    notebook = nbformat.read(ROOT / "notebooks" / "evaluation.ipynb", as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells)
    nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(ROOT / "notebooks")}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    printed = "".join(output.get("text", "") for output in outputs if output.output_type == "stream")
    assert printed.startswith("BLESSED") and "bad: 3 of 3 messages lost" in printed
    shown = [output["data"] for output in outputs if "data" in output]
    comparisons = [Comparison("other", _evaluation())]
    assert shown[0]["text/markdown"] == format_markdown(_evaluation(), _decision(), comparisons)
    assert "<svg" in shown[1]["text/html"] and "srcdoc=" in shown[2]["text/html"]
