"""Presets, what `--set` changes in them, and their way to the steps as JSON."""

import os

import pytest
from absl import flags
from absl.testing import flagsaver

from faketagger.components.contract import manifest, payload, pretrained
from faketagger.components.evaluator.config import EvaluatorConfig
from faketagger.components.evaluator.measure import slices
from faketagger.components.evaluator.verdict import gate, record
from faketagger.components.perturbations import catalogue, unseen
from faketagger.components.simulator.config import SimulatorConfig
from faketagger.components.tagger.config import TaggerConfig
from faketagger.components.tagger.schedules import Ramp
from faketagger.pipelines import flags as pipeline_flags
from faketagger.pipelines import overrides, presets

DEMO = presets.demo()


@pytest.mark.parametrize("name", presets.PRESETS)
@pytest.mark.parametrize(
    "section, kind", [("simulator", SimulatorConfig), ("tagger", TaggerConfig), ("evaluator", EvaluatorConfig)]
)
def test_every_presets_sections_make_the_round_trip_through_json(name, section, kind):
    config = getattr(presets.PRESETS[name](), section)
    assert kind.from_json(config.to_json()) == config
    assert kind.from_json(config.to_json()).to_json() == config.to_json()


@pytest.mark.parametrize("name", presets.PRESETS)
def test_every_preset_can_say_of_a_perfectly_read_picture_that_it_is_tagged(name):
    tagger = presets.PRESETS[name]().tagger
    bits, code_bits = payload.code_matrix(tagger.message_bits, tagger.code_length).shape
    assert 2.0 ** (bits - code_bits) <= 1e-6


@pytest.mark.parametrize("name", presets.PRESETS)
def test_every_presets_networks_have_channels_in_whole_groups(name):
    tagger = presets.PRESETS[name]().tagger
    assert tagger.decoder_width % 8 == 0 and tagger.start_psnr <= tagger.min_psnr


@pytest.mark.parametrize("name", presets.PRESETS)
def test_every_preset_has_a_name_that_clusters_accept_and_says_how_to_run_it(name):
    preset = presets.PRESETS[name]
    assert preset.__name__ == name
    assert preset().name.replace("-", "").isalnum() and preset().name.islower() and len(preset().name) <= 63
    assert "`python pipelines/run_local.py" in preset.__doc__


def test_nothing_set_changes_nothing():
    assert overrides.apply(DEMO, []) == DEMO


@pytest.mark.parametrize(
    "setting, path, value",
    [
        ("tagger.steps=8000", "tagger.steps", 8000),
        ("tagger.min_psnr=36", "tagger.min_psnr", 36.0),
        ("tagger.learning_rate=1e-4", "tagger.learning_rate", 1e-4),
        ("tagger.level=late", "tagger.level", "late"),
        ("tagger.critic.scale=0", "tagger.critic.scale", 0.0),
        ("tagger.augmentation.crop=[0.5, 1]", "tagger.augmentation.crop", (0.5, 1.0)),
        ("evaluator.gate.min_fmrr=0.5", "evaluator.gate.min_fmrr", 0.5),
        ('evaluator.gate.fmrr_overrides={"plain": 0.99}', "evaluator.gate.fmrr_overrides", {"plain": 0.99}),
        ('evaluator.gate.ungated=["faceswap", "plain"]', "evaluator.gate.ungated", ("faceswap", "plain")),
        ("simulator.train=[]", "simulator.train", ()),
        ("limit=50", "limit", 50),
        ("limit=null", "limit", None),
        ("images=a=b", "images", "a=b"),
        ("images=", "images", ""),
        ("tagger.vgg_weights=weights.h5", "tagger.vgg_weights", "weights.h5"),
    ],
)
def test_a_setting_changes_its_field_and_no_other(setting, path, value):
    changed = overrides.apply(DEMO, [setting])
    *sections, field = path.split(".")
    inside, original = changed, DEMO
    for section in sections:
        inside, original = getattr(inside, section), getattr(original, section)
    found = getattr(inside, field)
    assert found == value and type(found) is type(value)
    undone = inside.replace(**{field: getattr(original, field)})
    assert undone == original
    for other in set(DEMO.__fields__) - {path.split(".")[0]}:
        assert getattr(changed, other) == getattr(DEMO, other)


def test_the_last_of_two_settings_of_one_field_holds():
    assert overrides.apply(DEMO, ["limit=3", "limit=2"]).limit == 2


@pytest.mark.parametrize(
    "settings",
    [
        ["simulator.image_size=96", "tagger.image_size=96"],
        ["tagger.image_size=96", "simulator.image_size=96"],
        ['tagger.black_box=["faceswap"]', 'evaluator.black_box=["faceswap"]'],
    ],
)
def test_fields_that_must_agree_can_be_changed_together(settings):
    changed = overrides.apply(DEMO, settings)
    assert changed != DEMO and changed.tagger.image_size == changed.simulator.image_size
    assert changed.tagger.black_box == changed.evaluator.black_box


def test_a_preset_is_not_changed_by_what_is_set_on_its_copy():
    before = DEMO.dict()
    overrides.apply(DEMO, ["tagger.critic.scale=5", "limit=3"])
    assert DEMO.dict() == before
    assert DEMO.tagger.critic == presets.demo().tagger.critic and isinstance(DEMO.tagger.critic, Ramp)


@pytest.mark.parametrize(
    "setting, said",
    [
        ("tagger.steps", "expected section.field=value"),
        ("step=1", "step: expected one of the fields name, simulator, "),
        ("tagger.step=1", "tagger.step: expected one of the fields image_size, "),
        ("coder.steps=1", "coder.steps: expected one of the sections simulator, tagger, evaluator, found 'coder'"),
        ("=1", ": expected one of the fields name, "),
        ("tagger.steps.more=1", "tagger.steps.more: expected one of the sections masking, residual, "),
        ("name.more=1", "name.more: expected one of the sections simulator, tagger, evaluator, found 'name'"),
        ("tagger.steps=many", "tagger.steps: expected a whole number at least 1, found 'many'"),
        ("tagger.steps=1.5", "expected a whole number at least 1, found 1.5"),
        ("tagger.steps=true", "expected a whole number at least 1, found True"),
        ("tagger.steps=null", "expected a whole number at least 1, found None"),
        ("tagger.min_psnr=high", "tagger.min_psnr: expected a number over 0, found 'high'"),
        ("tagger.black_box=faceswap", "tagger.black_box: expected a list, found 'faceswap'"),
        ("tagger.level=3", "tagger.level: expected one of raw, early, late, every, found 3"),
        ("limit=few", "limit: expected a whole number at least 2 or null, found 'few'"),
        ("images=[]", "images: expected a text or null, found []"),
        ("tagger=8", "tagger: expected an object, found 8"),
        ('tagger.critic={"scale": "0"}', "tagger.critic.scale: expected a number at least 0, found '0'"),
        ("tagger.perturbations.jpeg.low=0", "tagger.perturbations: expected jpeg's low and high"),
        ("tagger.level=middle", "tagger.level: expected one of raw, early, late, every, found 'middle'"),
        ("tagger.critic.scale=-1", "tagger.critic.scale: expected a number at least 0, found -1"),
        ("evaluator.gate.min_fmrr=2", "evaluator.gate.min_fmrr: expected a number from 0 to 1, found 2"),
        ("tagger.image_size=96", "simulator.image_size: expected the tagger's, 96, found 128"),
        ('tagger.black_box=["faceswap"]', "evaluator.black_box: expected the tagger's, ['faceswap'], found "),
    ],
)
def test_a_setting_that_cannot_be_is_refused_by_its_own_words(setting, said):
    with pytest.raises(ValueError) as caught:
        overrides.apply(DEMO, [setting])
    assert str(caught.value).startswith(f"--set {setting}: ") and said in str(caught.value)


def _configured(**given):
    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()
    with flagsaver.flagsaver(**given):
        return pipeline_flags.configure()


def test_the_demo_takes_shipped_simulators_and_keeps_some_of_them_as_judges():
    assert set(DEMO.simulator.shipped) > set(DEMO.tagger.black_box) and DEMO.simulator.train == ()
    assert _configured() == DEMO


def test_simulators_are_trained_anew_when_asked_for():
    config = _configured(train_simulators=True)
    assert sorted(config.simulator.train) == ["autoencoder", "faceswap", "reenactment", "stargan", "stgan", "stylegan"]
    # The second ones stay as they are: they are to differ from what trains.
    assert set(config.simulator.shipped) == set(DEMO.simulator.shipped) - set(config.simulator.train)
    assert config.tagger.black_box == DEMO.tagger.black_box


# What no tagger reads yet at the network's own size (docs/results.md).
_NOT_READ = (
    "faceswap/to_group_a_whole", "faceswap_2/to_group_b_whole", "stylegan/reconstruct", "stylegan_2/style_mix",
    "perturbation/crop_0.8",
)  # fmt: skip


def _simulator(name, family="perturbation", conditions=("smile", "bald")):
    return manifest.SimulatorManifest(name, family, tuple(conditions), 128, "none", "none")


def _decide(config, simulators, not_read):
    """The gate's decision on a tagger that reads all but some slices, as the evaluator of a pipeline makes it."""
    simulators = [
        _simulator(manifest.PERTURBATION, conditions=catalogue.evaluation_perturbations()),
        _simulator(manifest.UNSEEN, conditions=unseen.perturbations()),
        *simulators,
    ]
    expected = slices.declared({each.name: each for each in simulators}, config)
    assert set(not_read) <= {each.name for each in expected}
    counted, yes, no = {"pictures": 48, "not_finite": 0}, record.Figure(1.0, 0.93, 1.0), record.Figure(0.0, 0.0, 0.07)

    def figures(each):
        read = no if each.name in not_read else yes
        named = {"simulator": each.simulator, "condition": each.condition, "family": each.family}
        rates = {"fmrr": read, "bit_accuracy": read, "tpr": read, "change_psnr": yes, "change_ssim": yes}
        return record.SliceFigures(
            kind=each.kind, black_box=each.black_box, strength_value=each.strength, **named, **rates, **counted
        )

    boxes = {each.black_box for each in expected if each.is_deepfake}
    overall = record.ByBox(*(record.Figure(0.8, 0.78, 0.82) if box in boxes else None for box in (False, True)))
    tagger = record.TaggerFacts(
        message_bits=30, code_bits=127, image_size=128, strength=1.0, false_positive_rate=1e-6, level=None
    )
    psnr = record.Figure(38.0, 37.9, 38.1)
    evaluation = record.Evaluation(
        label="",
        image_size=128,
        tagger=tagger,
        confidence=0.95,
        repeats=1,
        seed=0,
        quality=record.QualityFigures(psnr=psnr, ssim=yes, ms_ssim=yes, lpips=yes, **counted),
        untagged=record.UntaggedFigures(false_positives=0, share=no, **counted),
        overall=overall,
        overall_tpr=overall,
        slices={each.name: figures(each) for each in expected},
    )
    return gate.decide(evaluation, config.gate, expected)


@pytest.mark.parametrize("preset", ["demo", "shipped"])
def test_what_goes_on_from_the_shipped_tagger_is_blessed_without_what_that_one_does_not_read(preset):
    config = presets.PRESETS[preset]()
    shipped = [
        manifest.read(manifest.SimulatorManifest, os.path.join(pretrained.SIMULATORS, name))
        for name in config.simulator.shipped
    ]
    assert _decide(config.evaluator, shipped, _NOT_READ).blessed
    assert not _decide(config.evaluator, shipped, (*_NOT_READ, "plain")).blessed


def test_what_cannot_be_together_is_refused():
    with pytest.raises(ValueError, match="--simulators .* --train_simulators .*: say one of them"):
        _configured(simulators="elsewhere", train_simulators=True)
    config = _configured()
    with pytest.raises(ValueError, match="evaluator.strength: expected at most the tagger's max_strength, 4, found 5"):
        config.replace(evaluator=config.evaluator.replace(strength=5.0))
    with pytest.raises(ValueError, match="strengths: expected the least first, found .1.1, 0.75."):
        config.tagger.replace(strengths=(1.1, 0.75))


def test_with_foreign_simulators_a_tagger_is_blessed_that_reads_all_of_them():
    config = _configured(simulators="elsewhere").evaluator
    foreign = [_simulator("theirs", "attribute_editing"), _simulator("stylegan", "entire_synthesis", ["invert"])]
    assert _decide(config, foreign, ["perturbation/crop_0.8"]).blessed
    for missed in ("plain", "theirs/bald", "stylegan/invert", "perturbation/jpeg_75"):
        failed = [each.name for each in _decide(config, foreign, [missed]).checks if not each.passed]
        assert failed == [f"fmrr {missed}"]


def test_foreign_simulators_are_all_in_the_loop_and_all_gated():
    config = _configured(simulators="elsewhere")
    assert config.foreign_simulators.endswith("/elsewhere")
    assert config.tagger.black_box == config.evaluator.black_box == ()
    assert config.evaluator.gate.gates("anything/at_all") and not config.evaluator.gate.fmrr_overrides
    settings = ['tagger.black_box=["a"]', 'evaluator.black_box=["a"]']
    assert _configured(simulators="elsewhere", set=settings).tagger.black_box == ("a",)
