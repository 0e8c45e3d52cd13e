"""The gate refuses whatever was not shown; the report says why; the config refuses what makes no sense."""

import copy

import pytest

from faketagger.components.evaluator import config
from faketagger.components.evaluator.measure.slices import Slice
from faketagger.components.evaluator.report.text import format_markdown, format_table
from faketagger.components.evaluator.verdict import gate


def _declared(name, kind="condition"):
    return Slice(name, kind, *name.split("/"), "identity_swap", False)


DEMANDS = config.Gate()
EXPECTED = [Slice("plain", "plain"), *map(_declared, ("swap/anna", "swap/boris", "stgan/smile"))]
NAMES = [each.name for each in EXPECTED]


def _figure(mean, low, high):
    return {"mean": mean, "low": low, "high": high}


def _slice(simulator, condition, family, black_box):
    return {
        "simulator": simulator,
        "condition": condition,
        "family": family,
        "black_box": black_box,
        "pictures": 200,
        "not_finite": 0,
        "fmrr": _figure(0.98, 0.95, 0.99),
        "bit_accuracy": _figure(0.97, 0.96, 0.98),
        "tpr": _figure(1.0, 0.98, 1.0),
        "kind": "condition" if simulator else "plain",
        "strength": {"psnr": _figure(21.53, 21.0, 22.0), "ssim": _figure(0.8, 0.7, 0.9)} if simulator else None,
    }


@pytest.fixture
def evaluation():
    return {
        "confidence": 0.95,
        "repeats": 2,
        "seed": 0,
        "tagger": {},
        "quality": {
            "pictures": 200,
            "not_finite": 0,
            "psnr": _figure(38.25, 38.0, 38.5),
            "ssim": _figure(0.98, 0.97, 0.99),
        },
        "untagged": {"pictures": 200, "not_finite": 0, "false_positives": 0, "share": _figure(0.0, 0.0, 0.0183)},
        "slices": {
            "plain": _slice(None, None, None, None),
            "swap/anna": _slice("swap", "anna", "identity_swap", False),
            "swap/boris": _slice("swap", "boris", "identity_swap", False),
            "stgan/smile": _slice("stgan", "smile", "attribute_editing", True),
        },
    }


def _failed(evaluation, demands=DEMANDS, expected=EXPECTED, compared=False):
    """The names and reasons of failed checks; checks on the way that the verdict agrees with them."""
    decision = gate.decide(evaluation, demands, expected, compared)
    failed = {check.name: check.reason for check in decision.checks if not check.passed}
    assert decision.blessed == (not failed)
    return failed


def test_a_tagger_that_reaches_every_bound_is_blessed(evaluation):
    assert _failed(evaluation) == {}


def test_a_figure_just_at_its_bound_passes(evaluation):
    demands = config.Gate(min_fmrr=0.95, min_psnr=38.0, min_ssim=0.97, max_false_positives=0.0183, min_pictures=200)
    assert _failed(evaluation, demands) == {}


def test_one_slice_with_a_low_fmrr_is_enough_to_refuse(evaluation):
    evaluation["slices"]["swap/boris"]["fmrr"] = _figure(0.5, 0.43, 0.57)
    failed = _failed(evaluation)
    assert list(failed) == ["fmrr swap/boris"]
    assert "0.43" in failed["fmrr swap/boris"] and "more pictures" not in failed["fmrr swap/boris"]


def test_the_lower_end_counts_not_the_mean(evaluation):
    evaluation["slices"]["plain"]["fmrr"] = _figure(0.95, 0.89, 0.98)
    assert "more pictures would narrow" in _failed(evaluation)["fmrr plain"]


def test_low_quality_is_refused(evaluation):
    evaluation["quality"]["psnr"] = _figure(30.5, 29.9, 31.0)
    assert list(_failed(evaluation)) == ["psnr"]
    assert list(_failed(evaluation, config.Gate(min_psnr=29.0, min_ssim=0.975))) == ["ssim"]


def test_reading_untagged_pictures_as_tagged_is_refused(evaluation):
    evaluation["untagged"].update(false_positives=10, share=_figure(0.05, 0.024, 0.09))
    assert list(_failed(evaluation)) == ["false positives"]


@pytest.mark.parametrize("value", [None, float("nan"), float("inf"), "0.99", True])
@pytest.mark.parametrize(
    "path, name",
    [
        (("slices", "swap/anna", "fmrr", "low"), "fmrr swap/anna"),
        (("slices", "swap/anna", "fmrr", "mean"), "fmrr swap/anna"),
        (("slices", "swap/anna", "pictures"), "fmrr swap/anna"),
        (("quality", "psnr", "low"), "psnr"),
        (("untagged", "share", "high"), "false positives"),
    ],
)
def test_what_is_no_number_is_refused(evaluation, path, name, value):
    *parents, last = path
    entry = evaluation
    for key in parents:
        entry = entry[key]
    entry[last] = value
    assert list(_failed(evaluation)) == [name]


@pytest.mark.parametrize("entry, name", [("quality", "psnr"), ("untagged", "false positives")])
def test_what_was_not_measured_is_refused(evaluation, entry, name):
    for missing in ({}, None):
        assert _failed({**evaluation, entry: missing}) == {name: "was not measured"}
    del evaluation[entry]
    assert _failed(evaluation) == {name: "was not measured"}


def test_a_missing_slice_is_refused(evaluation):
    del evaluation["slices"]["stgan/smile"]
    assert _failed(evaluation) == {"fmrr stgan/smile": "was not measured"}


def test_an_empty_evaluation_is_refused():
    assert set(_failed({})) == {*(f"fmrr {name}" for name in NAMES), "psnr", "false positives"}


def test_too_few_pictures_are_refused(evaluation):
    evaluation["slices"]["swap/anna"]["pictures"] = 99
    assert list(_failed(evaluation)) == ["fmrr swap/anna"]
    assert "99 pictures" in _failed(evaluation)["fmrr swap/anna"]


@pytest.mark.parametrize("entry", ["quality", "untagged"])
def test_results_that_were_not_finite_are_refused(evaluation, entry):
    evaluation[entry]["not_finite"] = 1
    assert [reason for reason in _failed(evaluation).values()] == ["1 results were not finite numbers"]


def test_an_ungated_slice_may_fail_and_a_simulators_name_stands_for_its_conditions(evaluation):
    for name in ("swap/anna", "swap/boris", "stgan/smile"):
        evaluation["slices"][name]["fmrr"] = _figure(0.1, 0.05, 0.15)
    assert set(_failed(evaluation)) == {"fmrr swap/anna", "fmrr swap/boris", "fmrr stgan/smile"}
    assert set(_failed(evaluation, config.Gate(ungated=("swap",)))) == {"fmrr stgan/smile"}
    assert _failed(evaluation, config.Gate(ungated=("swap", "stgan/smile"))) == {}


def test_an_override_changes_the_bound_of_its_slice_alone(evaluation):
    demands = config.Gate(fmrr_overrides={"swap": 0.96, "swap/anna": 0.94})
    assert list(_failed(evaluation, demands)) == ["fmrr swap/boris"]


def test_sweeps_and_what_comes_after_simulators_are_held_to_a_bound_only_by_their_own_name(evaluation):
    names = ("jpeg/30", "swap/anna+jpeg_75")
    expected = [*EXPECTED, _declared(names[0], "sweep"), _declared(names[1], "after")]
    for name in names:
        evaluation["slices"][name] = {**_slice("a", "b", "c", False), "fmrr": _figure(0.1, 0.05, 0.15)}
    assert _failed(evaluation, expected=expected) == {}
    assert _failed(evaluation, config.Gate(fmrr_overrides={"swap": 0.9}), expected=expected) == {}
    for name in names:
        assert list(_failed(evaluation, config.Gate(fmrr_overrides={name: 0.3}), expected=expected)) == [f"fmrr {name}"]
    # The perturbation of a sweep stands for none of its strengths: such a bound is refused, not ignored.
    failed = _failed(evaluation, config.Gate(fmrr_overrides={"jpeg": 0.05}), expected=expected)
    assert "neither a slice nor a simulator" in failed["fmrr jpeg"]


def test_a_slice_without_a_bound_must_have_been_measured_all_the_same(evaluation):
    expected = [*EXPECTED, _declared("jpeg/30", "sweep")]
    reason = "missing, of fewer than 100 pictures, or not finite numbers: jpeg/30"
    assert _failed(evaluation, expected=expected) == {"other slices": reason}
    unreadable = {**_slice("a", "b", "c", False), "fmrr": _figure(0.0, 0.0, 0.02)}
    for wrong in ({"not_finite": 1}, {"pictures": 99}, {"fmrr": _figure(None, None, None)}):
        evaluation["slices"]["jpeg/30"] = {**unreadable, **wrong}
        assert _failed(evaluation, expected=expected) == {"other slices": reason}
    evaluation["slices"]["jpeg/30"] = unreadable
    assert _failed(evaluation, expected=expected) == {}


def test_the_overall_fmrr_has_bounds_by_box(evaluation):
    demands = config.Gate(min_overall={"black": 0.89})
    evaluation["overall"] = {"white": None, "black": _figure(0.95, 0.9, 0.99)}
    assert _failed(evaluation, demands) == {}
    evaluation["overall"]["black"] = _figure(0.93, 0.88, 0.97)
    assert list(_failed(evaluation, demands)) == ["overall fmrr black-box"]
    for missing in ({"black": None}, {}):
        evaluation["overall"] = missing
        assert _failed(evaluation, demands) == {"overall fmrr black-box": "the figure is missing or no number"}


def _newest(**p_values):
    compared = {name: {"worse": 0, "better": 0, "p_value": 1.0} for name in NAMES}
    for name, p_value in p_values.items():
        compared[name.replace("_", "/")] = {"worse": 9, "better": 1, "p_value": p_value}
    overall = {"worse": 20, "better": 20, "p_value": 0.56}
    return {"psnr": _figure(39.0, 38.9, 39.1), "slices": compared, "overall": overall}


def test_worse_than_the_newest_blessed_is_refused_where_chance_does_not_explain_it(evaluation):
    # Four slices and all together share 0.05.
    evaluation["newest_blessed"] = _newest(swap_anna=0.0101)
    assert _failed(evaluation, compared=True) == {}
    evaluation["newest_blessed"] = _newest(swap_anna=0.0099)
    failed = _failed(evaluation, compared=True)
    reason = "worse than the newest blessed on 9 pictures, better on 1: p 0.0099, bound 0.01"
    assert failed == {"not worse swap/anna": reason}
    assert _failed(evaluation, config.Gate(significance=0.0), compared=True) == {}


def test_a_loss_spread_over_all_slices_is_refused(evaluation):
    evaluation["newest_blessed"] = _newest()
    evaluation["newest_blessed"]["overall"] = {"worse": 60, "better": 20, "p_value": 4e-6}
    failed = _failed(evaluation, compared=True)
    assert failed == {
        "not worse overall": "worse than the newest blessed on 60 pictures, better on 20: p 4e-06, bound 0.01"
    }


def test_that_nothing_was_there_to_compare_with_is_recorded(evaluation):
    checks = {check.name: check for check in gate.decide(evaluation, config.Gate(), EXPECTED).checks}
    assert (
        checks["not worse"].passed and checks["not worse"].reason == "not compared: no newest blessed tagger was given"
    )


def test_a_comparison_that_is_missing_is_refused(evaluation):
    assert len(_failed(evaluation, compared=True)) == len(NAMES) + 2
    evaluation["newest_blessed"] = _newest()
    del evaluation["newest_blessed"]["slices"]["plain"]
    assert _failed(evaluation, compared=True) == {"not worse plain": "was not compared"}
    evaluation["newest_blessed"] = _newest(plain=float("nan"))
    assert list(_failed(evaluation, compared=True)) == ["not worse plain"]
    evaluation["newest_blessed"] = {**_newest(), "overall": None}
    assert _failed(evaluation, compared=True) == {"not worse overall": "was not compared"}


def test_a_psnr_far_below_the_newest_blessed_is_refused(evaluation):
    evaluation["newest_blessed"] = _newest()
    assert _failed(evaluation, config.Gate(max_psnr_drop=0.75), compared=True) == {}
    failed = _failed(evaluation, config.Gate(max_psnr_drop=0.7), compared=True)
    assert failed == {"not worse psnr": "38.25 dB, the newest blessed 39.00 dB; a drop of 0.7 dB is allowed"}


def test_an_override_for_a_slice_that_does_not_exist_is_refused(evaluation):
    failed = _failed(evaluation, config.Gate(fmrr_overrides={"stgan/simle": 0.5}))
    assert "neither a slice nor a simulator" in failed["fmrr stgan/simle"]


def test_a_gate_without_gated_slices_is_refused(evaluation):
    assert list(_failed(evaluation, config.Gate(ungated=("plain", "swap", "stgan")))) == ["gated slices"]
    assert list(_failed({**evaluation, "slices": {}}, expected=[])) == ["gated slices"]


def test_a_slice_measured_beyond_the_expected_ones_is_gated_too(evaluation):
    evaluation["slices"]["stgan/smile"]["fmrr"] = _figure(0.1, 0.05, 0.15)
    assert list(_failed(evaluation, expected=EXPECTED[:1])) == ["fmrr stgan/smile"]


def test_the_table_lines_up_and_says_why_a_tagger_was_refused(evaluation):
    evaluation["slices"]["stgan/smile"]["fmrr"] = _figure(0.5, 0.43, 0.57)
    evaluation["slices"]["stgan/smile"]["strength"]["psnr"] = _figure(None, None, None)
    text = format_table(evaluation, gate.decide(evaluation, config.Gate(), EXPECTED))
    assert text == (
        "simulator  condition  family             box    strength dB  FMRR [95% CI]         bit accuracy\n"
        "---------  ---------  -----------------  -----  -----------  --------------------  ------------\n"
        "plain      -          -                  -                -  0.980 [0.950, 0.990]         0.970\n"
        "swap       anna       identity_swap      white         21.5  0.980 [0.950, 0.990]         0.970\n"
        "swap       boris      identity_swap      white         21.5  0.980 [0.950, 0.990]         0.970\n"
        "stgan      smile      attribute_editing  black         none  0.500 [0.430, 0.570]         0.970\n"
        "\n"
        "PSNR 38.25 [38.00, 38.50] dB, SSIM 0.9800 [0.9700, 0.9900] (95% CI)\n"
        "200 pictures, each tagged 2 times\n"
        "read as tagged: 0 of 200 untagged pictures, share 0.0000 [0.0000, 0.0183] (95% CI)\n"
        "\n"
        "NOT BLESSED\n"
        "  - fmrr stgan/smile: lower end 0.43 of the interval, mean 0.5, does not keep the bound 0.9\n"
    )


def test_the_markdown_form_has_the_verdict_first_and_the_same_figures(evaluation):
    lines = format_markdown(evaluation, gate.decide(evaluation, config.Gate(), EXPECTED)).splitlines()
    assert lines[0] == "**BLESSED**"
    (row,) = [line for line in lines if line.startswith("| swap/anna | white |")]
    assert "21.5" in row and "0.980 [0.950, 0.990]" in row


def test_the_table_of_an_evaluation_without_pictures_says_so(evaluation):
    empty = {**evaluation, "slices": {}, "quality": {}, "untagged": {}}
    text = format_table(empty, gate.decide(empty, config.Gate(), EXPECTED))
    assert "no picture was measured" in text and "NOT BLESSED" in text


def test_false_positives_of_a_method_that_cannot_say_are_not_printed(evaluation):
    decision = gate.decide(evaluation, config.Gate(), EXPECTED)
    assert "read as tagged" in format_table(evaluation, decision)
    evaluation["untagged"].update(false_positives=None, share=_figure(None, None, None))
    assert "read as tagged" not in format_table(evaluation, decision)


def test_config_comes_back_from_json_as_it_was():
    demands = config.Gate(0.8, {"swap": 0.7}, ("stgan",), {"black": 0.9}, 33.0, 0.9, 0.1, 0.01, 0.5, 20)
    values = config.EvaluatorConfig(demands, 4, 7, 100, 0.9, 3, ("stgan",), {"jpeg": (10.0,)}, ("blur_1",), "a", "b")
    assert config.EvaluatorConfig.from_json(values.to_json()) == values
    assert config.EvaluatorConfig.from_json("{}") == config.EvaluatorConfig()


@pytest.mark.parametrize(
    "text, message",
    [
        ("{", "not JSON"),
        ("[]", "must be an object"),
        ('{"batchsize": 3}', "no fields batchsize"),
        ('{"gate": {"min_fmr": 0.5}}', "no fields min_fmr"),
        ('{"gate": {"min_fmrr": 1.5}}', "min_fmrr"),
        ('{"gate": {"min_fmrr": NaN}}', "min_fmrr"),
        ('{"gate": {"min_psnr": null}}', "min_psnr"),
        ('{"gate": {"ungated": "plain"}}', "list of names"),
        ('{"gate": {"ungated": ["untagged"]}}', "max_false_positives"),
        ('{"gate": {"fmrr_overrides": {"plain": -1}}}', "plain"),
        ('{"gate": {"min_pictures": 0}}', "min_pictures"),
        ('{"gate": {"min_overall": {"grey": 0.5}}}', "min_overall has no grey"),
        ('{"gate": {"significance": 2}}', "significance"),
        ('{"gate": {"max_psnr_drop": -1}}', "max_psnr_drop"),
        ('{"after": "jpeg_75"}', "list of names"),
        ('{"sweeps": ["jpeg"]}', "sweeps"),
        ('{"sweeps": {"jpeg": 50}}', "list of strengths, got 50"),
        ('{"sweeps": {"jpeg": ["50"]}}', "list of strengths"),
        ('{"sweeps": {"noise": [0.1, 0.10000001]}}', "names noise_0.1 twice"),
        ('{"after": ["jpeg_75", "jpeg_75"]}', "after names jpeg_75 twice"),
        ('{"lpips_vgg": "vgg.npz"}', "go together"),
        ('{"batch_size": true}', "batch_size"),
        ('{"limit": 0}', "limit"),
        ('{"confidence": 1}', "confidence"),
        ('{"repeats": 1.5}', "repeats"),
    ],
)
def test_a_config_that_makes_no_sense_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        config.EvaluatorConfig.from_json(text)


def test_flags_that_were_given_go_before_a_config_and_others_leave_it():
    text = config.EvaluatorConfig(repeats=4, black_box=("stgan",)).to_json()
    assert config.EvaluatorConfig.from_flags(text, repeats=None, black_box=None) == config.EvaluatorConfig.from_json(
        text
    )
    given = config.EvaluatorConfig.from_flags(text, repeats=2, black_box=["swap"])
    assert (given.repeats, given.black_box) == (2, ("swap",))
    assert config.EvaluatorConfig.from_flags(None, repeats=3).repeats == 3


def test_deciding_changes_nothing_in_the_evaluation(evaluation):
    before = copy.deepcopy(evaluation)
    gate.decide(evaluation, config.Gate(), EXPECTED)
    assert evaluation == before
