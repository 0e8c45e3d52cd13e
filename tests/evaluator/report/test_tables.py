"""Tables: figures beside the papers' and other methods', marked honestly."""

import pytest

from faketagger.components.evaluator.report import papers
from faketagger.components.evaluator.report.tables import cells, contents
from faketagger.components.evaluator.report.tables.comparisons import Comparison, group
from faketagger.components.evaluator.verdict.record import Figure
from faketagger.tests.evaluator.report import made

_FMRR = "FMRR [95% CI]"


def _tables(evaluation, others=()):
    return {table.anchor: table for table in contents.all_tables(evaluation, others)}


def _row(table, *first):
    row = next(row for row in table.rows if tuple(cell.text for cell in row[: len(first)]) == first)
    return dict(zip(table.columns, row))


def _edit(name, fmrr, black_box=False, family="attribute_editing", kind="condition"):
    return {name: made.slice(kind, name, family, black_box, fmrr)}


def _as_papers(fmrr=0.9, slices=None, size=256, **tagger):
    """An evaluation at whose side the papers' figures are: of late embedding, at 256×256."""
    return made.evaluation(fmrr, {"image_size": size}, slices, **{"level": "late", **tagger})


def test_a_difference_counts_only_where_the_intervals_do_not_meet():
    ours = made.figure(0.9, 0.05)
    better = cells.difference(ours, made.figure(0.5, 0.05))
    assert (better.mark, better.tone) == ("▲ +0.400 better", cells.BETTER)
    worse = cells.difference(made.figure(0.5, 0.05), ours)
    assert (worse.mark, worse.tone) == ("▼ −0.400 worse", cells.WORSE)
    same = cells.difference(ours, made.figure(0.81, 0.05))
    assert (same.mark, same.tone) == ("≈ +0.090 no clear difference", cells.SAME)
    assert cells.difference(ours, made.UNKNOWN).mark == ""


def test_the_papers_averages_are_those_of_their_sizes():
    for edit, average in papers.FMRR_OVER_SIZES.items():
        found = [papers.FMRR_BY_SIZE[size][edit] for size in papers.SIZES]
        assert sum(found) / len(found) == pytest.approx(average, abs=0.0006)


def test_the_papers_late_level_is_their_table_at_its_size():
    of_size = papers.FMRR_BY_SIZE[papers.LEVELS_SIZE]
    assert all(of_size[edit] == fmrr for edit, fmrr in papers.FMRR_BY_LEVEL[papers.LEVEL].items())


def test_an_edit_stands_beside_the_papers_figure_of_its_size_and_is_marked_there_alone():
    small = Comparison("small", _as_papers(0.95, size=128))
    other = Comparison("tiny", _as_papers(0.7, size=64))
    row = _row(_tables(_as_papers(0.9), [small, other])["tables-2-3"], "stargan/happy")
    assert [row[f"papers, {each}"].text for each in ("128×128", "256×256", "512×512", "average")] == [
        "0.842",
        "0.849",
        "0.853",
        "0.848",
    ]
    assert row["256×256: FMRR"] == ("0.900", "[0.880, 0.920]", "▲ +0.051 better than the papers", "better")
    assert row["128×128, small: FMRR"].mark == "▲ +0.108 better than the papers"
    assert row["64×64, tiny: FMRR"][:3] == ("0.700", "[0.680, 0.720]", "")


def test_a_second_simulator_of_a_generator_stands_beside_the_same_figures():
    slices = {**_edit("stgan/bald", 0.9), **_edit("stgan_2/bald", 0.8), **_edit("stgan_2/young", 0.8)}
    table = _tables(_as_papers(slices=slices))["tables-2-3"]
    first, second = _row(table, "stgan/bald"), _row(table, "stgan_2/bald")
    assert first["papers, 256×256"] == second["papers, 256×256"] == ("0.920", "", "", "")
    assert first["256×256: FMRR"].mark == "≈ −0.020 no clear difference from the papers"
    assert second["256×256: FMRR"].mark == "▼ −0.120 worse than the papers"
    assert "stgan_2/young" not in [row[0].text for row in table.rows]


@pytest.mark.parametrize("tagger", [{"message_bits": 10}, {"level": "early"}, {"level": None}])
def test_a_tagger_of_another_message_length_or_level_is_not_held_against_the_papers_edits(tagger):
    found = _tables(_as_papers(**tagger))
    assert _row(found["tables-2-3"], "stargan/happy")["256×256: FMRR"].mark == ""
    assert all(cell.mark == "" for row in found["table-5"].rows for cell in row)


def test_a_black_box_simulator_is_not_held_against_a_white_box_figure():
    table = _tables(_as_papers(slices=_edit("stgan/bald", 0.5, black_box=True)))["tables-2-3"]
    row = _row(table, "stgan/bald")
    assert (row["box"].text, row["papers, 256×256"].text) == ("black", "0.920")
    assert row["256×256: FMRR"][:3] == ("0.500", "[0.480, 0.520]", "")


def test_the_papers_edits_that_were_not_measured_are_there_and_said_to_be_so():
    row = _row(_tables(_as_papers())["tables-2-3"], "stargan/angry")
    assert (row["papers, 256×256"].text, row["256×256: FMRR"].text) == ("0.846", "not measured")


def test_a_reconstruction_stands_beside_the_papers_and_is_marked_at_no_other_size():
    slices = _edit("stylegan/reconstruct", 0.5, family="entire_synthesis")
    row = _row(_tables(_as_papers(slices=slices))["section-4-3"], "stylegan/reconstruct")
    assert row["papers, 1024×1024"].text == "0.951" and row["256×256: FMRR"][::2] == ("0.500", "")
    row = _row(_tables(_as_papers(slices=slices, size=1024))["section-4-3"], "stylegan/reconstruct")
    assert row["1024×1024: FMRR"].mark == "▼ −0.451 worse than the papers"


def test_a_level_stands_beside_the_papers_figure_of_it():
    slices = _edit("stgan/bald", 0.95)
    others = [
        Comparison("early", _as_papers(0.9, _edit("stgan/bald", 0.5), level="early")),
        Comparison("ours", _as_papers(0.9, _edit("stgan/bald", 0.7), level="every")),
    ]
    row = _row(_tables(_as_papers(slices=slices), others)["table-4"], "stgan/bald")
    assert [row[f"papers, {level}"].text for level in papers.LEVELS] == ["0.880", "0.891", "0.920"]
    assert row["late: FMRR"].mark == "▲ +0.030 better than the papers"
    assert row["early: FMRR"].mark == "▼ −0.391 worse than the papers"
    assert row["every, ours: FMRR"][::2] == ("0.700", "") and "papers, every" not in row
    at_another_size = _row(_tables(_as_papers(slices=slices, size=128))["table-4"], "stgan/bald")
    assert at_another_size["late: FMRR"].mark == ""


def test_quality_stands_beside_the_papers_by_generator():
    table = _tables(_as_papers(), [made.baseline(image_size=256)])["table-5"]
    psnr, ssim = _row(table, "PSNR, dB"), _row(table, "SSIM")
    assert psnr["papers, StyleGAN"] == ("29.89", "", "▲ +1.11 better", "better")
    assert [ssim[f"papers, {name}"].text for name in ("STGAN", "StarGAN", "StyleGAN")] == ["0.901", "0.862", "0.927"]
    assert ssim["this tagger"][:2] == ("0.950", "[0.930, 0.970]") and psnr["DWT-DCT"].text == "31.00"
    assert _row(table, "visibility, ΔE₀₀, lower is better")["papers, STGAN"].text == "not reported here"


def test_a_black_box_simulator_stands_beside_the_black_box_mean():
    table = _tables(made.evaluation(0.9))["black-box"]
    row = _row(table, "stgan")
    assert row["papers, 30 bits"].text == "0.8895 on average"
    assert row["this tagger: FMRR"].mark == "≈ +0.011 no clear difference from the papers"
    assert [row[0].text for row in table.rows] == ["stgan"]
    short = _row(_tables(made.evaluation(0.9, message_bits=10))["black-box"], "stgan")
    assert short["this tagger: FMRR"].mark == ""


def test_the_black_box_mean_is_not_held_against_another_message_length():
    rows = _tables(made.evaluation(0.5))["overall"].rows
    assert rows[1][2][::2] == ("0.8895", "▼ −0.389 worse")
    rows = _tables(made.evaluation(0.5, message_bits=10))["overall"].rows
    assert rows[1][2][::2] == ("0.8895 at 30 bits", "")


def test_what_the_papers_do_not_say_is_called_not_reported():
    found = _tables(made.evaluation())
    assert _row(found["overall"], "MS-SSIM")["papers"].text == "not reported here"
    assert "not reported here" in " ".join(found["strengths"].paragraphs)


def test_the_mean_over_conditions_has_their_mean_interval():
    evaluation = made.evaluation(slices={"stargan/young": {"fmrr": Figure(mean=0.5, low=0.3, high=0.6)}})
    row = _row(_tables(evaluation)["tables-2-3"], "stargan, mean")
    assert row["64×64: FMRR"][:2] == ("0.700", "[0.590, 0.760]")


def test_comparisons_are_told_apart_by_what_they_differ_in():
    seen, unseen = {"message": 10.0, "residual": 0.1}, {"message": 1.0, "residual": 0.5}
    early = made.evaluation(weights=seen)
    named = {
        "method": made.baseline().evaluation,
        "uncoded": made.evaluation(code_bits=30, weights=seen),
        "large": made.evaluation(changes={"image_size": 128}),
        "late": made.evaluation(level="late", weights=seen),
        "short": made.evaluation(message_bits=10, weights=seen),
        "both": made.evaluation(level="late", message_bits=10, weights=seen),
        "unseen": made.evaluation(weights=unseen),
        "unseen, late": made.evaluation(level="late", weights=unseen),
    }
    groups = group(early, [Comparison(*each) for each in named.items()])
    assert [[each.label for each in found] for found in groups] == [
        ["method", "uncoded", "both", "unseen, late"],
        ["large"],
        ["late"],
        ["short"],
        ["unseen"],
    ]


def test_lengths_stand_beside_what_the_papers_say_of_them():
    slices = {**_edit("stgan/bald", 0.99), **_edit("stgan_2/bald", 0.9, black_box=True)}
    others = [Comparison(f"{bits}", _as_papers(0.3, slices, message_bits=bits)) for bits in (20, 50)]
    table = _tables(_as_papers(slices=slices), others)["figure-3"]
    of_bald = [_row(table, f"{bits}, 121", "stgan/bald") for bits in (20, 30, 50)]
    said = ["over 0.95", "0.920, enough for a platform", "below 0.70"]
    assert [row["papers"].text for row in of_bald] == said
    assert [row[_FMRR].mark for row in of_bald] == ["", "▲ +0.070 better than the papers", ""]
    second = _row(table, "30, 121", "stgan_2/bald")
    assert second["papers"].text == said[1] and second[_FMRR].mark == ""
    assert _row(table, "50, 121", "mean over deepfakes", "white")[_FMRR].text == "0.300"
    assert _row(table, "35")["papers"].text == "enough for a platform"
    assert _row(table, "35")[_FMRR].text == "not measured"


def test_a_deepfake_that_was_compressed_stands_beside_the_papers_words_unmarked():
    names = ("stgan_2/bald+jpeg_75", "stgan_2/bald+resize_0.5")
    slices = {name: made.slice("after", name, "attribute_editing", False, 0.7) for name in names}
    table = _tables(_as_papers(slices=slices))["figure-4"]
    compressed = _row(table, names[0])
    assert compressed["papers"].text == "over 0.80 at compression 80" and compressed[_FMRR][::2] == ("0.700", "")
    assert _row(table, names[1])["papers"].text == "not reported here"
    assert _row(table, "stargan/happy+jpeg_75")["papers"].text == "–"


def test_weights_stand_beside_the_unofficial_implementations_words():
    swap = _edit("faceswap/anna", 0.5, family="identity_swap")
    swap["faceswap/anna"]["bit_accuracy"] = made.figure(0.86)
    seen = made.evaluation(0.9, slices=swap, weights={"message": 10.0, "residual": 0.1})
    unseen = Comparison("unseen", made.evaluation(0.6, slices=swap, weights={"message": 1.0, "residual": 0.5}))
    table = _tables(seen, [unseen])["weights"]
    row = _row(table, "10, 0.1", "white")
    assert row["unofficial implementation"].text == "reads better, is easily seen"
    assert (row["bit accuracy, plain"].text, row["bit accuracy, swapped"].text) == ("0.900", "0.860")
    assert row["PSNR dB"].text == "31.00"
    assert _row(table, "1, 0.5", "white")[_FMRR].text == "0.600"
    alone = _tables(made.evaluation(weights={"message": 2.0, "residual": 0.1}))["weights"]
    assert _row(alone, "2, 0.1")["unofficial implementation"].text == "not reported here"
    assert _row(alone, "1, 0.5")[_FMRR].text == "not measured"


def test_another_method_stands_beside_only_what_both_were_measured_on():
    other = made.baseline(0.5, slices={"stargan/young": None})
    table = _tables(made.evaluation(0.9), [other])["conditions"]
    assert _row(table, "stargan/happy")["DWT-DCT: FMRR"][:3] == ("0.500", "[0.480, 0.520]", "▲ +0.400 better")
    assert _row(table, "stargan/young")["DWT-DCT: FMRR"].text == "not measured"


def test_another_method_at_another_picture_size_is_named_so_and_not_marked():
    table = _tables(made.evaluation(), [made.baseline(image_size=256)])["conditions"]
    cell = _row(table, "plain")["DWT-DCT, at 256×256: FMRR"]
    assert cell.text == "0.500" and cell.mark == ""


@pytest.mark.parametrize(
    "psnr, said", [(33.0, "▲ above their range"), (28.0, "≈ within their range"), (20.0, "▼ below their range")]
)
def test_psnr_is_held_against_the_papers_range(psnr, said):
    quality = made.evaluation().quality.replace(psnr=made.figure(psnr, 0.1, 100.0))
    evaluation = made.evaluation(changes={"quality": quality})
    cell = _row(_tables(evaluation)["overall"], "PSNR, dB")["papers"]
    assert (cell.text, cell.mark) == ("26.32 to 29.89", said)


def test_every_fmrr_has_change_box_and_interval_beside_it():
    for table in _tables(made.evaluation(), [made.baseline()]).values():
        if table.anchor in ("overall", "table-5"):
            continue
        assert "box" in table.columns, table.anchor
        for row in table.rows:
            found = dict(zip(table.columns, row))
            measured = [cell for name, cell in found.items() if "FMRR" in name and cell.text != "not measured"]
            changes = [cell for name, cell in found.items() if "change dB" in name]
            assert changes and (row[0].text == "plain" or not measured or all(cell.interval for cell in changes))
            assert all(cell.interval for cell in measured)
    overall = _tables(made.evaluation())["overall"]
    assert "white-box" in overall.rows[0][0].text and "change 20.0 dB" in overall.rows[0][0].text


def test_strengths_are_in_the_order_of_their_numbers():
    names = [row[0].text for row in _tables(made.evaluation())["strengths"].rows]
    assert names == ["jpeg/10", "jpeg/30", "jpeg/95"]
