"""The gallery: which pictures stand for a slice, and that what is shown is what was measured; on stub networks."""

import numpy as np
import pytest

from faketagger.components.contract import features
from faketagger.components.evaluator.config import EvaluatorConfig
from faketagger.components.evaluator.measure import models, rows, slices
from faketagger.components.evaluator.measure.batch import Measurer
from faketagger.components.evaluator.measure.slices import Slice
from faketagger.components.evaluator.report import gallery
from faketagger.components.evaluator.verdict import summary
from faketagger.components.evaluator.verdict.record import Evaluation
from faketagger.tests import helpers
from faketagger.tests.stubs import CODE_BITS, SIZE, save_mixer, save_row_tagger

PICTURES = 5
CONFIG = EvaluatorConfig(repeats=2, black_box=("grey",), sweeps={"brightness": (-0.3, 0.1)}, after=("brightness_0.1",))


def _picture(index):
    ramp = np.add.outer(np.arange(SIZE), np.arange(SIZE))
    return np.uint8(20 + 30 * index + ramp[:, :, None] + np.array([0, 10, 20]))


def _write_examples(uri, first, count):
    records = [helpers.record(_picture(index), f"face-{index}") for index in range(first, first + count)]
    helpers.write_records(uri, features.EVAL_SPLIT, records)


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """A directory with `tagger`, `mute`, `simulators`, `examples`, `others`, and `evaluation` of the first two."""
    root = tmp_path_factory.mktemp("given")
    save_row_tagger(str(root / "tagger"))
    save_row_tagger(str(root / "mute"), mute=True)
    conditions = {"half": (0.5, 0.25), "erased": (0.0, 0.0)}
    save_mixer(str(root / "simulators"), "grey", "entire_synthesis", conditions)
    _write_examples(str(root / "examples"), 0, PICTURES)
    _write_examples(str(root / "others"), PICTURES, 3)
    inputs = models.read_inputs(str(root / "tagger"), str(root / "simulators"), CONFIG)
    evaluation = str(root / "evaluation")
    with rows.RowFile(rows.path_of(evaluation, "0")) as file:
        originals = np.stack([_picture(index) for index in range(PICTURES)])
        file.write(Measurer(inputs, CONFIG).measure([f"face-{index}" for index in range(PICTURES)], originals))
    summary.summarise(evaluation, CONFIG, inputs.slices, summary.describe(inputs))
    return root


@pytest.fixture(scope="module")
def evaluation(given):
    return Evaluation.read(str(given / "evaluation" / "evaluation.json"), "the evaluation")


@pytest.fixture(scope="module")
def maker(given, evaluation):
    return gallery.Maker(evaluation, str(given / "tagger"), str(given / "simulators"))


@pytest.fixture(scope="module")
def pictures(given, maker):
    return maker.of_evaluation(str(given / "evaluation"), str(given / "examples"))


def _write_rows(directory, found):
    """Rows of the slice `plain`: (image id, message right, bit accuracy)."""
    with rows.RowFile(rows.path_of(directory, "0")) as file:
        for image_id, right, accuracy in found:
            file.write([rows.Row(image_id, 0, "plain", "plain", True, message_ok=right, bit_accuracy=accuracy)])


def _chosen(directory):
    return {each.rank: each.image_id for each in gallery.choose(directory, [Slice("plain", "plain")])}


def test_pictures_are_ordered_by_whole_message_and_then_by_bit_accuracy(tmp_path):
    found = [("a", True, 0.8), ("b", False, 0.99), ("c", True, 0.9), ("d", False, 0.5), ("e", True, 0.7)]
    _write_rows(str(tmp_path), found)
    assert _chosen(str(tmp_path)) == {"best": "c", "median": "e", "worst": "d"}


def test_what_was_not_finite_is_the_worst_and_ties_fall_by_name(tmp_path):
    _write_rows(str(tmp_path), [("b", False, 0.4), ("nan", False, float("nan")), ("c", False, 0.4), ("a", False, 0.4)])
    assert _chosen(str(tmp_path)) == {"best": "a", "median": "c", "worst": "nan"}


def test_a_single_picture_stands_for_all_three(tmp_path):
    _write_rows(str(tmp_path), [("a", True, 1.0)])
    assert _chosen(str(tmp_path)) == {"best": "a", "median": "a", "worst": "a"}


def test_an_evaluation_whose_rows_are_gone_is_named(tmp_path):
    with pytest.raises(ValueError, match=f"{tmp_path}: no rows of the slice plain"):
        _chosen(str(tmp_path))


def test_slices_come_back_as_they_were_declared(given, evaluation):
    inputs = models.read_inputs(str(given / "tagger"), str(given / "simulators"), CONFIG)
    found = gallery.slices_of(evaluation)
    assert sorted(found, key=lambda each: each.name) == sorted(inputs.slices, key=lambda each: each.name)
    names = [each.name for each in found]
    assert names[0] == "plain" and names[-2:] == ["brightness/-0.3", "brightness/0.1"]
    for each in found:
        if each.kind == slices.AFTER:
            assert names[names.index(each.name) - 1] == each.name.split("+")[0]


def test_every_slice_has_its_three_pictures_as_they_were_measured(given, evaluation, pictures):
    assert [picture.rank for picture in pictures] == list(gallery.RANKS) * len(evaluation.slices)
    for picture in pictures:
        found = rows.read(str(given / "evaluation"), picture.slice, ["message_ok", "bit_accuracy", "p_value"])
        (index,) = np.flatnonzero((found["image_id"] == picture.image_id) & (found["repeat"] == picture.repeat))
        assert (picture.wrong_bits == 0) == found["message_ok"][index]
        assert picture.bit_accuracy == found["bit_accuracy"][index]
        assert picture.p_value == found["p_value"][index]
    by_slice = {picture.slice: picture for picture in pictures if picture.rank == "worst"}
    assert by_slice["plain"].wrong_bits == 0 and by_slice["grey/erased"].wrong_bits > 0


def test_the_shown_pictures_are_the_tagged_one_and_what_was_made_of_it(pictures):
    for picture in pictures:
        original = _picture(int(picture.image_id.split("-")[1]))
        np.testing.assert_array_equal(picture.original, original)
        np.testing.assert_array_equal(picture.tagged[1:], original[1:])
        assert set(np.unique(picture.tagged[0, :CODE_BITS])) <= {0, 255}
        difference = picture.tagged.astype(float) - original
        np.testing.assert_array_equal(picture.residual, np.clip(128 + 10 * difference, 0, 255))
        assert picture.psnr == pytest.approx(20 * np.log10(255) - 10 * np.log10(np.mean(difference**2)), abs=1e-3)
    best = {picture.slice: picture for picture in pictures if picture.rank == "best"}
    np.testing.assert_array_equal(best["plain"].manipulated, best["plain"].tagged)
    np.testing.assert_array_equal(best["grey/erased"].manipulated, np.zeros([SIZE, SIZE, 3]))
    # Perturbed after the simulator: from its black, not from the tagged picture.
    lightened = best["grey/erased+brightness_0.1"].manipulated
    np.testing.assert_allclose(lightened, round(0.1 * 255), atol=1)
    darkened = best["brightness/-0.3"]
    np.testing.assert_allclose(darkened.manipulated, np.maximum(darkened.tagged - 0.3 * 255, 0), atol=1)


def test_large_pictures_are_shown_no_larger_than_the_bound():
    assert gallery._shown(np.zeros([300, 300, 3], np.uint8)).shape == (gallery.MAX_SIDE, gallery.MAX_SIDE, 3)


def test_other_pictures_are_measured_and_chosen_among_themselves(given, maker, pictures):
    found = maker.of_others(str(given / "others"))
    assert [(each.slice, each.rank) for each in found] == [(each.slice, each.rank) for each in pictures]
    assert {each.image_id for each in found} <= {f"face-{index}" for index in range(PICTURES, PICTURES + 3)}
    assert all(each.wrong_bits == 0 for each in found if each.slice == "plain")


def test_an_empty_eval_split_is_named(given, maker, monkeypatch):
    monkeypatch.setattr(gallery, "_pictures", lambda *_: {})
    with pytest.raises(ValueError, match="others: no pictures in the split eval"):
        maker.of_others(str(given / "others"))


def test_another_tagger_than_the_evaluated_one_is_found_out(given, evaluation):
    maker = gallery.Maker(evaluation, str(given / "mute"), str(given / "simulators"))
    with pytest.raises(ValueError, match="read otherwise than the evaluation says"):
        maker.of_evaluation(str(given / "evaluation"), str(given / "examples"))


def test_pictures_are_tagged_with_the_evaluations_strength(given, evaluation, monkeypatch):
    asked = []
    monkeypatch.setattr(gallery, "Measurer", lambda inputs, config: asked.append(inputs.tagger.strength))
    louder = evaluation.replace(tagger=evaluation.tagger.replace(strength=1.5))
    gallery.Maker(louder, str(given / "tagger"), str(given / "simulators"))
    assert asked == [1.5]


def test_pictures_that_are_missing_are_named(given, maker):
    with pytest.raises(ValueError, match=f"{given / 'others'}: lacks .* of the evaluated pictures, 'face-"):
        maker.of_evaluation(str(given / "evaluation"), str(given / "others"))


@pytest.mark.parametrize(
    "change, message",
    [
        ({"image_size": 64}, "made for 32 pixels; the evaluation is of 64"),
        ({"message_bits": 30}, "message_bits 10; .* was 30"),
        ({"slice": "swap/anna"}, "no simulator 'swap'"),
        ({"slice": "grey/green"}, "'grey' has no condition 'green'"),
    ],
)
def test_a_tagger_or_simulators_that_cannot_be_the_evaluated_ones_are_refused(given, evaluation, change, message):
    found, tagger, size = dict(evaluation.slices), evaluation.tagger, change.get("image_size", evaluation.image_size)
    if "slice" in change:
        simulator, condition = change["slice"].split("/")
        found[change["slice"]] = found["grey/half"].replace(simulator=simulator, condition=condition)
    tagger = tagger.replace(message_bits=change.get("message_bits", tagger.message_bits))
    changed = evaluation.replace(slices=found, tagger=tagger, image_size=size)
    with pytest.raises(ValueError, match=message):
        gallery.Maker(changed, str(given / "tagger"), str(given / "simulators"))
