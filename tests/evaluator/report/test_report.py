"""The report: a page that needs nothing else, curves, the same in Markdown; the command and the notebook."""

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
from faketagger.components.evaluator.report import gallery, html, plots
from faketagger.components.evaluator.report.tables import contents
from faketagger.components.evaluator.report.tables.comparisons import Comparison
from faketagger.components.evaluator.report.text import format_markdown
from faketagger.components.evaluator.verdict.record import Check, Decision
from faketagger.tests.evaluator.report import made
from faketagger.tests.helpers import ROOT


def _decision(failed=0, passed=1):
    checks = [Check(f"fmrr bad/{index}", 0.1, 0.9, False, f"reason {index}") for index in range(failed)]
    checks += [Check(f"fmrr good/{index}", 0.95, 0.9, True, "holds") for index in range(passed)]
    return Decision(not failed, checks)


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
    comparisons = [made.baseline(), Comparison("short", made.evaluation(0.95, message_bits=10))]
    pictures = [_picture(rank=rank, wrong_bits=wrong) for rank, wrong in (("best", 0), ("median", 0), ("worst", 7))]
    return html.make_page(made.evaluation(), _decision(failed=8), comparisons, pictures, "Drawn faces.")


def test_the_verdict_stands_before_every_figure_and_says_why(full_page):
    text = _Page(full_page).text
    assert (
        text.index("NOT BLESSED") < text.index("reason 0") < text.index("they do not compare") < text.index("Overall")
    )
    assert "1 of 9 checks were passed" in text
    assert all(f"reason {index}" in text for index in range(8))


def test_an_evaluation_that_no_gate_saw_is_neither_blessed_nor_refused():
    text = _Page(html.make_page(made.evaluation(), None)).text
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
    evaluation = made.evaluation(changes={"label": label})
    page = html.make_page(evaluation, _decision(), [made.baseline(label=label)], [_picture()])
    assert not _Page(page).of("script")
    assert "a/face&lt;1&gt;.jpg" in page and "$a$" in page


def test_a_table_without_data_says_so_instead_of_vanishing():
    nothing = dict.fromkeys(set(made.evaluation().slices) - {"plain"})
    evaluation = made.evaluation(changes={"overall": {"white": None, "black": None}}, slices=nothing)
    text = _Page(html.make_page(evaluation, None)).text
    found = {table.anchor: table for table in contents.all_tables(evaluation)}
    for anchor, said in (
        ("tables-2-3", "No evaluation at 128×128 or 256×256 or 512×512"),
        ("table-4", "No evaluation of the level raw, nor of late"),
        ("figure-3", "No evaluation of another message length"),
        ("weights", "No evaluation of other weights"),
        ("black-box", "No deepfake simulator was black-box"),
        ("strengths", "No perturbation was measured"),
        ("figure-4", "No simulator's output was perturbed"),
    ):
        assert said in " ".join(found[anchor].paragraphs) and said in text
    for anchor in ("black-box", "strengths", "figure-4"):
        assert not found[anchor].rows
    for anchor in ("tables-2-3", "section-4-3", "table-4", "figure-3", "weights"):
        rows = found[anchor].rows
        assert rows and all("not measured" in [cell.text for cell in row] for row in rows)


def test_a_chart_shows_every_method_from_weak_to_strong():
    (chart,) = plots.sweeps(made.evaluation(0.9), [made.baseline(0.5)])
    assert chart.title == "jpeg"
    assert "this tagger: 0.90 at 10, 0.90 at 30, 0.90 at 95" in chart.description
    assert "DWT-DCT: 0.50 at 10" in chart.description
    assert ">DWT-DCT<" in chart.svg and ">quality<" in chart.svg


def test_a_method_keeps_its_look_where_another_has_no_curve():
    (chart,) = plots.sweeps(made.evaluation(0.9), [made.baseline(0.5), made.baseline(0.4, "LSB")])
    other = made.baseline(0.5, slices=dict.fromkeys(("jpeg/10", "jpeg/30", "jpeg/95")))
    (without,) = plots.sweeps(made.evaluation(0.9), [other, made.baseline(0.4, "LSB")])
    first, second = (colour.lower() for colour in ("#D55E00", "#009E73"))
    assert first in chart.svg.lower() and second in chart.svg.lower()
    assert first not in without.svg.lower() and second in without.svg.lower()


def test_a_figure_that_is_not_known_leaves_its_point_out():
    evaluation = made.evaluation(slices={"jpeg/30": {"fmrr": made.UNKNOWN}})
    (chart,) = plots.sweeps(evaluation)
    assert "0.90 at 10, 0.90 at 95" in chart.description


def _at(psnr, fmrr):
    quality = {**made.evaluation().quality.dict(), "psnr": made.figure(psnr, 0.1, 100.0)}
    swap = made.slice("condition", "faceswap/to_group_a", "identity_swap", True, fmrr)
    return made.evaluation(fmrr, {"quality": quality}, {"faceswap/to_group_a": swap})


def test_the_quality_chart_goes_over_psnr_by_family_and_shows_the_bits_that_swaps_spoil(monkeypatch):
    drawn, draw = [], plots._draw
    monkeypatch.setattr(
        plots, "_draw", lambda axes, curve, *style, **rest: drawn.append(curve) or draw(axes, curve, *style, **rest)
    )
    (chart,) = plots.qualities([_at(40.0, 0.5), _at(36.0, 0.9)])
    assert "attribute_editing, white-box: 0.90 at 36, 0.50 at 40" in chart.description
    assert "attribute_editing, black-box: 0.90 at 36, 0.50 at 40" in chart.description
    # 1 − bit accuracy.
    assert (
        "Bit errors over PSNR, after swaps. identity_swap, pasted back, black-box: 0.10 at 36, 0.10 at 40"
        in chart.description
    )
    assert all(figure.low < figure.mean < figure.high for curve in drawn for _, figure in curve.points)
    assert "perturbation" not in chart.description
    assert "SepMark" in chart.svg and "papers: 0.89" in chart.svg


def test_swaps_of_the_whole_picture_are_a_curve_of_their_own_and_not_in_the_bits_that_swaps_spoil():
    whole = made.slice("condition", "faceswap/to_group_a_whole", "identity_swap", True, 0.1)
    (chart,) = plots.qualities(
        [_at(40.0, 0.5).replace(slices={**_at(40.0, 0.5).slices, "faceswap/to_group_a_whole": whole})]
    )
    of_families, of_bits = chart.description.split("after swaps.")
    assert "identity_swap, pasted back, black-box: 0.50 at 40" in of_families
    assert "identity_swap, whole picture, black-box: 0.10 at 40" in of_families and "whole" not in of_bits


def test_the_same_evaluation_makes_the_same_page():
    assert html.make_page(made.evaluation(), _decision()) == html.make_page(made.evaluation(), _decision())


def test_the_markdown_has_the_verdict_first_and_the_same_tables():
    comparisons = [made.baseline(label="a|b")]
    text = format_markdown(made.evaluation(), _decision(failed=1), comparisons)
    lines = text.splitlines()
    assert lines[:3] == ["**NOT BLESSED**", "", "- fmrr bad/0: reason 0"]
    assert "| stgan/happy | black | 20.0 [19.5, 20.5] | 0.900 [0.880, 0.920] | 0.900 [0.880, 0.920] | " in text
    assert "| 0.500 [0.480, 0.520] (▲ +0.400 better) | attribute_editing |" in text
    headings = [line[4:] for line in lines if line.startswith("### ")]
    assert headings == [table.title for table in contents.all_tables(made.evaluation(), comparisons)]
    blocks = [block.splitlines() for block in text.split("\n\n") if block.startswith("|")]
    assert len(blocks) == len(headings)
    for block in blocks:
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in block}) == 1


def test_a_gallery_that_would_be_too_large_is_shown_smaller_or_refused(monkeypatch):
    pictures = [_picture(side=128)]
    large = html.make_page(made.evaluation(), None, (), pictures)
    monkeypatch.setattr(html, "_GALLERY_BYTES", 60_000)
    small = html.make_page(made.evaluation(), None, (), pictures)
    assert len(small) < len(large) - 10_000
    monkeypatch.setattr(html, "_GALLERY_BYTES", 1_000)
    with pytest.raises(ValueError, match="too many"):
        html.make_page(made.evaluation(), None, (), pictures)


def test_a_page_over_the_bound_is_refused(monkeypatch):
    monkeypatch.setattr(html, "MAX_BYTES", 10_000)
    with pytest.raises(ValueError, match="over 10,000"):
        html.make_page(made.evaluation(), None)


@pytest.fixture
def directory(tmp_path):
    """An evaluation's directory: figures, checks and rows."""
    made.evaluation().write(str(tmp_path / "evaluation.json"))
    _decision().write(str(tmp_path / "checks.json"))
    with rows.RowFile(rows.path_of(str(tmp_path), "0")) as file:
        for name, found in made.evaluation().slices.items():
            same = {"repeat": 0, "slice": name, "kind": found.kind, "finite": True}
            file.write(rows.Row(image_id, message_ok=image_id == "good", **same) for image_id in ("good", "bad"))
    return tmp_path


def test_a_broken_or_old_evaluation_is_named(directory):
    assert html.load(str(directory)).decision == _decision()
    (directory / "checks.json").write_text('{"blessed": true}')
    with pytest.raises(ValueError, match="checks.json: checks: expected a list, found nothing"):
        html.load(str(directory))
    old = json.loads(made.evaluation().to_json())
    del old["overall"]
    (directory / "evaluation.json").write_text(json.dumps(old))
    with pytest.raises(ValueError, match="evaluation.json: overall: expected an object, found nothing"):
        html.load(str(directory))
    foreign = json.loads(made.evaluation().to_json())
    foreign["slices"]["plain"]["fmrr"]["low"] = "0.9"
    (directory / "evaluation.json").write_text(json.dumps(foreign))
    with pytest.raises(
        ValueError, match="evaluation.json: slices.plain.fmrr.low: expected a number or null, found '0.9'"
    ):
        html.load(str(directory))
    with pytest.raises(ValueError, match="the evaluation is missing"):
        html.load(str(directory / "nowhere"))


def test_a_comparison_without_a_label_is_refused(directory):
    assert html.load_comparisons([f"ours={directory}"]) == [Comparison("ours", made.evaluation())]
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
    assert markdown.read_text() == format_markdown(made.evaluation(), _decision(), others)
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
    comparisons = [Comparison("other", made.evaluation())]
    assert shown[0]["text/markdown"] == format_markdown(made.evaluation(), _decision(), comparisons)
    assert "<svg" in shown[1]["text/html"] and "srcdoc=" in shown[2]["text/html"]
