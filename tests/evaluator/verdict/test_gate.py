"""The gate refuses whatever was not shown; the report says why; the config refuses what makes no sense."""

import pytest

from faketagger.components.evaluator import config
from faketagger.components.evaluator.measure.slices import Slice
from faketagger.components.evaluator.report.text import format_markdown, format_table
from faketagger.components.evaluator.verdict import gate
from faketagger.components.evaluator.verdict.record import Evaluation


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
        "strength_value": None,
        "change_psnr": _figure(21.53, 21.0, 22.0) if simulator else None,
        "change_ssim": _figure(0.8, 0.7, 0.9) if simulator else None,
    }


@pytest.fixture
def evaluation():
    """The values of an evaluation's record."""
    tagger = {"message_bits": 10, "code_bits": 30, "image_size": 32, "strength": 1.0}
    return {
        "label": "10 bits in 30",
        "image_size": 32,
        "tagger": {**tagger, "false_positive_rate": 1e-6, "level": None},
        "confidence": 0.95,
        "repeats": 2,
        "seed": 0,
        "quality": {
            "pictures": 200,
            "not_finite": 0,
            "psnr": _figure(38.25, 38.0, 38.5),
            "ssim": _figure(0.98, 0.97, 0.99),
            "ms_ssim": _figure(0.98, 0.97, 0.99),
            "lpips": _figure(None, None, None),
        },
        "overall": {"white": None, "black": None},
        "overall_tpr": {"white": None, "black": None},
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
    decision = gate.decide(Evaluation.from_values(evaluation), demands, expected, compared)
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


@pytest.mark.parametrize(
    "path, name",
    [
        (("slices", "swap/anna", "fmrr", "low"), "fmrr swap/anna"),
        (("slices", "swap/anna", "fmrr", "mean"), "fmrr swap/anna"),
        (("quality", "psnr", "low"), "psnr"),
        (("untagged", "share", "high"), "false positives"),
    ],
)
def test_a_figure_that_is_not_known_is_refused(evaluation, path, name):
    _put(evaluation, path, None)
    assert _failed(evaluation) == {name: "the figure is missing or no number"}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "0.99", True])
@pytest.mark.parametrize(
    "path",
    [("slices", "swap/anna", "fmrr", "low"), ("slices", "swap/anna", "pictures"), ("untagged", "share", "high")],
)
def test_what_is_no_number_gets_into_no_record_and_so_not_to_the_gate(evaluation, path, value):
    _put(evaluation, path, value)
    with pytest.raises(ValueError, match=f"{path[-1]}: expected a (whole )?number.*, found {value!r}"):
        Evaluation.from_values(evaluation)


def _put(values, path, value):
    *parents, last = path
    for key in parents:
        values = values[key]
    values[last] = value


@pytest.mark.parametrize("entry, name", [("quality", "psnr"), ("untagged", "false positives")])
def test_what_was_not_measured_is_refused(evaluation, entry, name):
    evaluation[entry] = None
    assert _failed(evaluation) == {name: "was not measured"}


def test_a_missing_slice_is_refused(evaluation):
    del evaluation["slices"]["stgan/smile"]
    assert _failed(evaluation) == {"fmrr stgan/smile": "was not measured"}


def test_an_empty_evaluation_is_refused(evaluation):
    evaluation.update(slices={}, quality=None, untagged=None)
    assert set(_failed(evaluation)) == {*(f"fmrr {name}" for name in NAMES), "psnr", "false positives"}


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
    held = config.Gate(ungated=("swap", "stgan/smile"), fmrr_overrides={"swap/anna": 0.99})
    assert set(_failed(evaluation, held)) == {"fmrr swap/anna"}


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
    evaluation["overall"]["black"] = _figure(0.95, 0.9, 0.99)
    assert _failed(evaluation, demands) == {}
    evaluation["overall"]["black"] = _figure(0.93, 0.88, 0.97)
    assert list(_failed(evaluation, demands)) == ["overall fmrr black-box"]
    evaluation["overall"]["black"] = None
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
    decision = gate.decide(Evaluation.from_values(evaluation), config.Gate(), EXPECTED)
    checks = {check.name: check for check in decision.checks}
    assert (
        checks["not worse"].passed and checks["not worse"].reason == "not compared: no newest blessed tagger was given"
    )


def test_a_comparison_that_is_missing_is_refused(evaluation):
    assert len(_failed(evaluation, compared=True)) == len(NAMES) + 2
    evaluation["newest_blessed"] = _newest()
    del evaluation["newest_blessed"]["slices"]["plain"]
    assert _failed(evaluation, compared=True) == {"not worse plain": "was not compared"}
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


def _printed(format_it, evaluation):
    written = Evaluation.from_values(evaluation)
    return format_it(written, gate.decide(written, config.Gate(), EXPECTED))


def test_the_table_lines_up_and_says_why_a_tagger_was_refused(evaluation):
    evaluation["slices"]["stgan/smile"]["fmrr"] = _figure(0.5, 0.43, 0.57)
    evaluation["slices"]["stgan/smile"]["change_psnr"] = _figure(None, None, None)
    text = _printed(format_table, evaluation)
    assert text == (
        "simulator  condition  family             box    change dB  FMRR [95% CI]         bit accuracy\n"
        "---------  ---------  -----------------  -----  ---------  --------------------  ------------\n"
        "plain      -          -                  -              -  0.980 [0.950, 0.990]         0.970\n"
        "swap       anna       identity_swap      white       21.5  0.980 [0.950, 0.990]         0.970\n"
        "swap       boris      identity_swap      white       21.5  0.980 [0.950, 0.990]         0.970\n"
        "stgan      smile      attribute_editing  black       none  0.500 [0.430, 0.570]         0.970\n"
        "\n"
        "PSNR 38.25 [38.00, 38.50] dB, SSIM 0.9800 [0.9700, 0.9900] (95% CI)\n"
        "200 pictures, each tagged 2 times\n"
        "read as tagged: 0 of 200 untagged pictures, share 0.0000 [0.0000, 0.0183] (95% CI)\n"
        "\n"
        "NOT BLESSED\n"
        "  - fmrr stgan/smile: lower end 0.43 of the interval, mean 0.5, does not keep the bound 0.9\n"
    )


def test_the_markdown_form_has_the_verdict_first_and_the_same_figures(evaluation):
    lines = _printed(format_markdown, evaluation).splitlines()
    assert lines[0] == "**BLESSED**"
    (row,) = [line for line in lines if line.startswith("| swap/anna | white |")]
    assert "21.5" in row and "0.980 [0.950, 0.990]" in row


def test_the_table_of_an_evaluation_without_pictures_says_so(evaluation):
    text = _printed(format_table, {**evaluation, "slices": {}, "quality": None, "untagged": None})
    assert "no picture was measured" in text and "NOT BLESSED" in text


def test_false_positives_of_a_method_that_cannot_say_are_not_printed(evaluation):
    assert "read as tagged" in _printed(format_table, evaluation)
    evaluation["untagged"].update(false_positives=None, share=_figure(None, None, None))
    assert "read as tagged" not in _printed(format_table, evaluation)


def test_config_comes_back_from_json_as_it_was():
    demands = config.Gate(0.8, {"swap": 0.7}, ("stgan",), {"black": 0.9}, 33.0, 0.9, 2.0, 0.1, 0.01, 0.5, 20)
    sweeps, after = {"jpeg": (10.0,)}, ("blur_1",)
    values = config.EvaluatorConfig(demands, 4, 7, 100, 0.9, 3, 0.5, ("stgan",), sweeps, after, "a", "b")
    assert config.EvaluatorConfig.from_json(values.to_json()) == values
    assert config.EvaluatorConfig.from_json("{}") == config.EvaluatorConfig()


@pytest.mark.parametrize(
    "text, message",
    [
        ("{", "expected JSON"),
        ("[]", "expected an object, found"),
        ('{"batchsize": 3}', "batchsize: expected one of the fields gate, batch_size"),
        ('{"gate": {"min_fmr": 0.5}}', "gate.min_fmr: expected one of the fields min_fmrr"),
        ('{"gate": {"min_fmrr": 1.5}}', "gate.min_fmrr: expected a number from 0 to 1, found 1.5"),
        ('{"gate": {"min_fmrr": NaN}}', "expected JSON, found NaN"),
        ('{"gate": {"min_psnr": null}}', "min_psnr"),
        ('{"gate": {"ungated": "plain"}}', "gate.ungated: expected a list, found 'plain'"),
        ('{"gate": {"ungated": ["untagged"]}}', "max_false_positives"),
        (
            '{"gate": {"fmrr_overrides": {"plain": -1}}}',
            "fmrr_overrides.plain: expected a number from 0 to 1, found -1",
        ),
        ('{"gate": {"min_pictures": 0}}', "min_pictures"),
        ('{"gate": {"min_overall": {"grey": 0.5}}}', "gate.min_overall: expected one of white, black, found 'grey'"),
        ('{"gate": {"significance": 2}}', "significance"),
        ('{"gate": {"max_psnr_drop": -1}}', "max_psnr_drop"),
        ('{"after": "jpeg_75"}', "after: expected a list, found 'jpeg_75'"),
        ('{"sweeps": ["jpeg"]}', "sweeps"),
        ('{"sweeps": {"jpeg": 50}}', "sweeps.jpeg: expected a list, found 50"),
        ('{"sweeps": {"jpeg": ["50"]}}', r"sweeps.jpeg\[0\]: expected a number .*, found '50'"),
        ('{"sweeps": {"noise": [0.1, 0.10000001]}}', "sweeps: expected each once .noise_0.1 stands there twice."),
        ('{"after": ["jpeg_75", "jpeg_75"]}', "after: expected each once .jpeg_75 stands there twice."),
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
