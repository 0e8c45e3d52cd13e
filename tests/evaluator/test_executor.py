"""The evaluator end to end on stub networks: figures that can be computed by hand, blessing, refusal, bad inputs."""

import dataclasses
import glob
import json
import os
import shutil

import numpy as np
import pyarrow.parquet as parquet
import pytest
import tensorflow as tf

from faketagger.components.contract import features, files, images, manifest, payload, pushed
from faketagger.components.evaluator import evaluate
from faketagger.components.evaluator.config import EvaluatorConfig, Gate
from faketagger.components.evaluator.measure import models, parts, rows, slices
from faketagger.components.evaluator.measure.batch import Measurer, draw
from faketagger.components.evaluator.verdict import record, summary
from faketagger.tests import helpers
from faketagger.tests.stubs import save_mixer, spec

pytestmark = pytest.mark.slow

SIZE = 30
MESSAGE_BITS = 10
# Each message bit three times: systematic, majority decoding, and a score of how many triples are unanimous.
CODE_MATRIX = np.tile(np.eye(MESSAGE_BITS, dtype=np.uint8), 3)
CODE_BITS = CODE_MATRIX.shape[1]
STEP = 8
PICTURES = 12


def _patterns():
    """One chequered block of 6×5 pixels in blue a bit, float32 [n, S, S, 3]; together they cover the picture."""
    rows, columns = np.indices([SIZE, SIZE])
    block = (rows // 5) * 5 + columns // 6
    chequered = np.where((rows + columns) % 2, 1.0, -1.0)
    patterns = np.zeros([CODE_BITS, SIZE, SIZE, 3], np.float32)
    patterns[..., 2] = (block == np.arange(CODE_BITS)[:, None, None]) * chequered
    return patterns


class StubTagger(tf.Module):
    """Adds ±8 levels of blue in blocks.

    `flaw`: `loud` (four times as much), `paranoid` (all is tagged), `nan` (tagged pictures), `nan-logits`, `forgetful`
    (messages whose first bit is 1 are lost); `twin` has none.
    """

    def __init__(self, flaw=None):
        self._step = STEP / 255 * (4 if flaw == "loud" else 1)
        self._flaw = flaw
        self._patterns = tf.Variable(_patterns())

    @tf.function(input_signature=[spec(SIZE, SIZE, 3), spec(CODE_BITS), spec()])
    def encode(self, images, codeword, strength):
        residual = tf.einsum("bn,nhwc->bhwc", 2 * codeword - 1, self._patterns) * strength[:, None, None, None]
        made = tf.clip_by_value(images + self._step * residual, 0.0, 1.0)
        return {"images": made / 0.0 * 0.0 if self._flaw == "nan" else made}

    @tf.function(input_signature=[spec(SIZE, SIZE, 3), spec(CODE_BITS)])
    def decode(self, images, key_mask):
        logits = tf.einsum("bhwc,nhwc->bn", images, self._patterns)
        bits = tf.math.logical_xor(logits > 0, key_mask > 0.5)
        votes = tf.reduce_sum(tf.cast(tf.reshape(bits, [-1, 3, MESSAGE_BITS]), tf.float32), axis=1)
        unanimous = tf.reduce_sum(tf.cast((votes == 0) | (votes == 3), tf.float32), axis=1)
        # P(at least u of k triples of fair bits are unanimous), each with probability 1/4.
        p_value = tf.where(
            unanimous > 0, tf.math.betainc(tf.maximum(unanimous, 1.0), MESSAGE_BITS - unanimous + 1.0, 0.25), 1.0
        )
        tagged = tf.ones_like(p_value, tf.bool) if self._flaw == "paranoid" else p_value <= 1e-4
        message = tf.cast(votes > 1.5, tf.int32)
        message = message * (1 - message[:, :1]) if self._flaw == "forgetful" else message
        logits = logits / 0.0 * 0.0 if self._flaw == "nan-logits" else logits
        return {"message": message, "score": unanimous, "p_value": p_value, "tagged": tagged, "logits": logits}

    @tf.function(input_signature=[spec(dtype=tf.string), spec(CODE_BITS), spec()])
    def tag(self, image, codeword, strength):
        pictures = _decoded(image)
        small = tf.image.resize(pictures, [SIZE, SIZE], method="area")
        added = self.encode(small, codeword, strength)["images"] - small
        made = pictures + tf.repeat(tf.repeat(added, 2, 1), 2, 2)
        levels = tf.cast(tf.round(tf.clip_by_value(made, 0.0, 1.0) * 255), tf.uint8)
        return {"image": tf.map_fn(tf.io.encode_png, levels, fn_output_signature=tf.string)}

    @tf.function(input_signature=[spec(dtype=tf.string), spec(CODE_BITS)])
    def read(self, image, key_mask):
        return self.decode(tf.image.resize(_decoded(image), [SIZE, SIZE], method="area"), key_mask)


def _decoded(files):
    """PNGs of twice the networks' side as float32 [B, 2·S, 2·S, 3]."""
    decoded = tf.map_fn(lambda png: tf.io.decode_png(png, channels=3), files, fn_output_signature=tf.uint8)
    return tf.ensure_shape(tf.cast(decoded, tf.float32) / 255.0, [None, 2 * SIZE, 2 * SIZE, 3])


def _save_tagger(directory, flaw=None, files_too=False):
    module = StubTagger(flaw)
    signatures = {"encode": module.encode, "decode": module.decode}
    signatures.update({"tag": module.tag, "read": module.read} if files_too else {})
    tf.saved_model.save(module, directory, signatures=signatures)
    rows = payload.code_matrix_to_hex(CODE_MATRIX)
    manifest.write(manifest.TaggerManifest(MESSAGE_BITS, CODE_BITS, rows, SIZE, 1.0, 1e-4), directory)


def _picture(index):
    """A sloping picture of whole levels, far enough from black and white for the tag not to be clipped."""
    ramp = np.add.outer(np.arange(SIZE), np.arange(SIZE)) // 2
    return np.uint8(60 + 5 * index + ramp[:, :, None] + np.array([0, 20, 40]))


def _records(count=PICTURES):
    return [helpers.record(_picture(index), f"face-{index}") for index in range(count)]


@pytest.fixture(scope="module")
def stubs(tmp_path_factory):
    """A directory with the Model artifacts `good` and those named after a flaw, `simulators` and `examples`."""
    root = str(tmp_path_factory.mktemp("stubs"))
    for name in ("good", "twin", "forgetful", "loud", "paranoid", "nan", "nan-logits"):
        _save_tagger(os.path.join(root, name, "Format-Serving"), None if name == "good" else name)
    simulators = os.path.join(root, "simulators")
    save_mixer(simulators, "copy", "perturbation", {"none": (1.0, 0.0)}, SIZE)
    conditions = {"half": (0.5, 0.25), "full": (0.0, 0.5)}
    save_mixer(simulators, "grey", "entire_synthesis", conditions, SIZE)
    helpers.write_records(os.path.join(root, "examples"), features.EVAL_SPLIT, _records())
    return root


CONFIG = EvaluatorConfig(
    gate=Gate(min_fmrr=0.7, ungated=("grey/full",), min_psnr=30.0, max_false_positives=0.3, min_pictures=PICTURES),
    batch_size=5,
    repeats=2,
    black_box=("grey",),
    sweeps={"jpeg": (90.0,)},
    after=("noise_0.01",),
)


class Outcome:
    """What one run of the executor left behind."""

    def __init__(self, root, blessing):
        self.blessing = blessing
        self.evaluation_dir = os.path.join(root, "evaluation")
        self.evaluation = files.read_json(os.path.join(self.evaluation_dir, "evaluation.json"), "the evaluation")
        with open(os.path.join(self.evaluation_dir, "table.txt"), encoding="utf-8") as file:
            self.table = file.read()
        rows = glob.glob(os.path.join(self.evaluation_dir, "rows-*.parquet"))
        self.rows = [row for path in rows for row in parquet.read_table(path).to_pylist()]
        checks = files.read_json(os.path.join(blessing.uri, "checks.json"), "the checks")
        self.failed = {check["name"]: check["reason"] for check in checks["checks"] if not check["passed"]}
        self.markers = sorted(set(os.listdir(blessing.uri)) - {"checks.json"})


def _artifacts(stubs, root, model, examples, simulators):
    from tfx.types import standard_artifacts

    from faketagger.components.simulator.artifact import GanSimulators

    def artifact(kind, uri, number):
        made = kind()
        made.uri, made.id = uri, number
        return made

    for name in ("evaluation", "blessing"):
        os.makedirs(os.path.join(root, name), exist_ok=True)
    examples_artifact = artifact(standard_artifacts.Examples, examples or os.path.join(stubs, "examples"), 1)
    examples_artifact.split_names = json.dumps([features.TRAIN_SPLIT, features.EVAL_SPLIT])
    inputs = {
        "examples": [examples_artifact],
        "model": [artifact(standard_artifacts.Model, os.path.join(stubs, model), 7)],
        "simulators": [artifact(GanSimulators, simulators or os.path.join(stubs, "simulators"), 3)],
    }
    outputs = {
        "evaluation": [artifact(standard_artifacts.ModelEvaluation, os.path.join(root, "evaluation"), 4)],
        "blessing": [artifact(standard_artifacts.ModelBlessing, os.path.join(root, "blessing"), 5)],
    }
    return inputs, outputs


def _inputs(stubs, model, config):
    return models.read_inputs(os.path.join(stubs, model, "Format-Serving"), os.path.join(stubs, "simulators"), config)


def _execute(stubs, root, config=CONFIG, model="good", examples=None, simulators=None, newest=None):
    from faketagger.components.evaluator.executor import Executor

    inputs, outputs = _artifacts(stubs, str(root), model, examples, simulators)
    if newest:
        inputs["baseline_model"] = _artifacts(stubs, str(root), newest, examples, simulators)[0]["model"]
    try:
        Executor().Do(inputs, outputs, {"config": config.to_json(), "current_component_id": "TagEvaluator"})
    except BaseException:
        assert os.listdir(outputs["blessing"][0].uri) == []
        assert not outputs["blessing"][0].has_custom_property("blessed")
        raise
    return Outcome(str(root), outputs["blessing"][0])


@pytest.fixture(scope="module")
def blessed(stubs, tmp_path_factory):
    return _execute(stubs, tmp_path_factory.mktemp("blessed"))


def test_a_good_tagger_is_blessed(blessed):
    assert blessed.failed == {} and blessed.markers == ["BLESSED"]
    assert blessed.blessing.get_int_custom_property("blessed") == 1
    assert blessed.blessing.get_int_custom_property("current_model_id") == 7
    assert blessed.blessing.get_string_custom_property("current_model").endswith("/good")
    assert blessed.blessing.get_string_custom_property("component_id") == "TagEvaluator"


def test_where_no_tagger_was_pushed_yet_it_is_held_to_the_bounds_alone(stubs, tmp_path, monkeypatch):
    from faketagger.components.evaluator import executor

    os.makedirs(tmp_path / "none")
    (tmp_path / "none" / pushed.NONE_YET).touch()
    held_against = []

    class JudgedError(Exception):
        pass

    def judge(*arguments):
        held_against.append(arguments[-1])
        raise JudgedError

    monkeypatch.setattr(executor, "evaluate", judge)
    with pytest.raises(JudgedError):
        _execute(stubs, tmp_path, newest=str(tmp_path / "none"))
    assert held_against == [None]


def test_the_figures_are_those_computed_by_hand(blessed):
    slices = blessed.evaluation["slices"]
    names = ["copy/none", "grey/full", "grey/full+noise_0.01", "grey/half", "grey/half+noise_0.01", "jpeg/90", "plain"]
    assert sorted(slices) == names
    exact = {"mean": 1.0, "low": pytest.approx(0.025 ** (1 / PICTURES)), "high": 1.0}
    for name in ("plain", "copy/none", "grey/half", "grey/half+noise_0.01"):
        assert slices[name]["fmrr"] == exact
        assert slices[name]["bit_accuracy"]["mean"] == 1.0
        assert slices[name]["tpr"] == exact
        assert slices[name]["pictures"] == PICTURES and slices[name]["not_finite"] == 0
    # Nothing is left of the tag: every logit is 0, so the codeword's zeros are right by chance.
    assert slices["grey/full"]["fmrr"]["mean"] == 0.0
    assert slices["grey/full"]["bit_accuracy"]["mean"] == pytest.approx(0.5, abs=0.1)
    # ±8 levels in one channel of three.
    expected = 10 * np.log10(255**2 / (STEP**2 / 3))
    assert blessed.evaluation["quality"]["psnr"]["mean"] == pytest.approx(expected, abs=1e-3)
    assert blessed.evaluation["untagged"]["false_positives"] == 0
    assert blessed.evaluation["untagged"]["share"]["high"] == pytest.approx(1 - 0.025 ** (1 / PICTURES))


def test_change_is_what_the_simulator_does_to_the_original(blessed):
    slices = blessed.evaluation["slices"]
    grey = np.mean([10 * np.log10(255**2 / np.mean((_picture(index) - 128.0) ** 2)) for index in range(PICTURES)])
    assert slices["grey/full"]["change_psnr"]["mean"] == pytest.approx(grey, abs=1e-3)
    assert slices["copy/none"]["change_psnr"]["mean"] == 100.0
    assert slices["copy/none"]["change_ssim"]["mean"] == pytest.approx(1.0)
    assert slices["plain"]["change_psnr"] is None
    assert (slices["grey/half"]["family"], slices["grey/half"]["black_box"]) == ("entire_synthesis", True)
    assert (slices["copy/none"]["family"], slices["copy/none"]["black_box"]) == ("perturbation", False)


def test_there_is_one_row_a_picture_repeat_and_slice(blessed):
    keys = {(row["image_id"], row["repeat"], row["slice"]) for row in blessed.rows}
    assert len(keys) == len(blessed.rows) == PICTURES * 2 * 8
    row = next(row for row in blessed.rows if row["slice"] == "untagged")
    assert [row[name] for name in ("message_ok", "bit_accuracy", "psnr", "change_psnr")] == [None] * 4
    assert row["p_value"] > 1e-4 and row["tagged"] is False


def test_the_table_names_every_slice_and_the_verdict(blessed):
    lines = blessed.table.splitlines()
    assert [line.split()[:4] for line in lines[2:6]] == [
        ["plain", "-", "-", "-"],
        ["copy", "none", "perturbation", "white"],
        ["grey", "full", "entire_synthesis", "black"],
        ["grey", "half", "entire_synthesis", "black"],
    ]
    assert "PSNR 34.84" in blessed.table and lines[-1] == "BLESSED"


def test_nothing_half_written_is_left(blessed):
    names = [name for name in os.listdir(blessed.evaluation_dir) if not name.startswith("rows-")]
    assert sorted(names) == ["checks.json", "evaluation.json", "report.html", "table.md", "table.txt"]
    # Three batches, each in a part of its own; parts without pictures leave no file.
    assert len(rows.paths(blessed.evaluation_dir)) == 3


def test_a_second_run_with_another_batch_size_gives_the_same_figures(stubs, tmp_path, blessed):
    again = _execute(stubs, tmp_path, CONFIG.replace(batch_size=7))
    assert again.evaluation == blessed.evaluation and again.table == blessed.table


def test_a_tag_lost_in_one_simulator_is_not_blessed(stubs, tmp_path):
    gate = CONFIG.gate.replace(ungated=())
    outcome = _execute(stubs, tmp_path, EvaluatorConfig(gate, 16))
    assert list(outcome.failed) == ["fmrr grey/full"] and outcome.markers == ["NOT_BLESSED"]
    assert outcome.blessing.get_int_custom_property("blessed") == 0
    assert "NOT BLESSED\n  - fmrr grey/full: lower end 0 " in outcome.table


def test_a_tagger_as_good_as_the_newest_blessed_one_is_blessed(stubs, tmp_path, blessed):
    outcome = _execute(stubs, tmp_path, model="twin", newest="good")
    assert outcome.failed == {}
    compared = outcome.evaluation["newest_blessed"]
    assert compared["slices"]["grey/half"] == {"worse": 0, "better": 0, "p_value": 1.0}
    assert compared["overall"] == {"worse": 0, "better": 0, "p_value": 1.0}
    assert compared["psnr"] == blessed.evaluation["quality"]["psnr"]
    assert os.path.exists(os.path.join(outcome.evaluation_dir, "newest_blessed", "evaluation.json"))


def test_a_tagger_worse_than_the_newest_blessed_one_is_not_blessed_though_it_keeps_every_bound(stubs, tmp_path):
    gate = CONFIG.gate.replace(min_fmrr=0.0)
    outcome = _execute(stubs, tmp_path, CONFIG.replace(gate=gate), model="forgetful", newest="good")
    # 9 of the 12 pictures get a message whose first bit is 1: 2^-9, where four slices and all together share 0.05.
    slices_worse = {"not worse plain", "not worse copy/none", "not worse grey/half"}
    assert set(outcome.failed) == {*slices_worse, "not worse overall"}
    reason = "worse than the newest blessed on 9 pictures, better on 0: p 0.002, bound 0.01"
    assert outcome.failed["not worse plain"] == outcome.failed["not worse overall"] == reason
    assert outcome.markers == ["NOT_BLESSED"]


def test_a_tagger_is_not_compared_with_itself(stubs, tmp_path):
    outcome = _execute(stubs, tmp_path, newest="good")
    assert outcome.failed == {} and outcome.evaluation["newest_blessed"] is None


@pytest.mark.parametrize("model, failed", [("loud", "psnr"), ("paranoid", "false positives")])
def test_a_flawed_tagger_is_not_blessed(stubs, tmp_path, model, failed):
    outcome = _execute(stubs, tmp_path, model=model)
    assert list(outcome.failed) == [failed] and outcome.markers == ["NOT_BLESSED"]


def test_a_tagger_that_makes_nan_is_not_blessed(stubs, tmp_path):
    outcome = _execute(stubs, tmp_path, model="nan")
    assert outcome.evaluation["quality"]["psnr"] == {"mean": None, "low": None, "high": None}
    assert outcome.evaluation["slices"]["plain"]["fmrr"]["mean"] == 0.0
    assert {"fmrr plain", "fmrr copy/none", "fmrr grey/half", "other slices", "psnr"} == set(outcome.failed)
    assert "grey/half+noise_0.01, grey/full, grey/full+noise_0.01, jpeg/90" in outcome.failed["other slices"]
    assert outcome.markers == ["NOT_BLESSED"]


def test_logits_that_are_nan_count_as_nothing_read(stubs, tmp_path):
    outcome = _execute(stubs, tmp_path, model="nan-logits")
    plain = outcome.evaluation["slices"]["plain"]
    assert plain["fmrr"]["mean"] == 0.0 and plain["bit_accuracy"]["mean"] is None
    assert plain["not_finite"] == PICTURES * CONFIG.repeats
    # Untagged pictures were not read as tagged, but neither were they read.
    assert "results were not finite" in outcome.failed["false positives"]


def test_a_limit_takes_that_many_pictures_and_always_the_same(stubs, tmp_path):
    config = EvaluatorConfig(CONFIG.gate, batch_size=3, limit=4)
    first, second = (_execute(stubs, tmp_path / name, config) for name in ("first", "second"))
    assert len({row["image_id"] for row in first.rows}) == 4
    assert first.evaluation == second.evaluation
    assert "4 pictures" in first.failed["psnr"]


def test_an_empty_eval_split_is_not_blessed(stubs, tmp_path):
    helpers.write_records(str(tmp_path / "examples"), features.EVAL_SPLIT, [])
    outcome = _execute(stubs, tmp_path, examples=str(tmp_path / "examples"))
    reasons = {name: reason for name, reason in outcome.failed.items() if name != "other slices"}
    assert set(reasons.values()) == {"was not measured"} and outcome.markers == ["NOT_BLESSED"]
    assert outcome.failed["other slices"].startswith("missing")


def test_a_missing_eval_split_stops_the_step(stubs, tmp_path):
    with pytest.raises(ValueError, match="no Examples in its split 'eval'"):
        _execute(stubs, tmp_path, examples=str(tmp_path / "nothing"))


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[: len(data) // 2],
        lambda data: data[:-8],  # Every record is there, but nothing says so.
        lambda data: data[:5],
        lambda data: b"",
        lambda data: data[:100] + bytes([data[100] ^ 255]) + data[101:],
    ],
    ids=["half", "no-trailer", "header", "empty", "flipped-byte"],
)
def test_a_damaged_examples_file_is_named(tmp_path, damage):
    path = helpers.write_records(str(tmp_path / "examples"), features.EVAL_SPLIT, _records())
    assert parts.whole_file(path) == path
    with open(path, "rb") as file:
        data = file.read()
    with open(path, "wb") as file:
        file.write(damage(data))
    with pytest.raises(ValueError, match="data_tfrecord.*damaged or cut short.*run example_gen again"):
        parts.whole_file(path)


def test_truncated_examples_stop_the_step(stubs, tmp_path):
    path = helpers.write_records(str(tmp_path / "examples"), features.EVAL_SPLIT, _records())
    os.truncate(path, os.path.getsize(path) - 8)
    with pytest.raises(ValueError, match="damaged or cut short"):
        _execute(stubs, tmp_path, examples=str(tmp_path / "examples"))


def test_pictures_that_are_no_squares_stop_the_step_with_their_name(stubs, tmp_path):
    png = images.encode_png(np.zeros([SIZE + 2, SIZE, 3], np.uint8))
    wrong = features.make_example(png, "too-high", "stub", features.attributes_from({}), SIZE + 2, SIZE)
    helpers.write_records(str(tmp_path / "examples"), features.EVAL_SPLIT, [wrong.SerializeToString()])
    with pytest.raises(ValueError, match="'too-high' is no square PNG"):
        _execute(stubs, tmp_path, examples=str(tmp_path / "examples"))


def test_two_pictures_of_one_id_stop_the_step(stubs, tmp_path):
    records = _records(2)
    helpers.write_records(str(tmp_path / "examples"), features.EVAL_SPLIT, [*records, records[1]])
    with pytest.raises(ValueError, match="two eval pictures have the id 'face-1'"):
        _execute(stubs, tmp_path, examples=str(tmp_path / "examples"))


def test_a_record_that_is_no_example_stops_the_step(stubs, tmp_path):
    helpers.write_records(str(tmp_path / "examples"), features.EVAL_SPLIT, [b"\xff\xff\xff"])
    with pytest.raises(ValueError, match="run example_gen again"):
        _execute(stubs, tmp_path, examples=str(tmp_path / "examples"))


def test_inputs_that_do_not_fit_together_are_refused_before_any_work(stubs, tmp_path):
    model, simulators = os.path.join(stubs, "good", "Format-Serving"), os.path.join(stubs, "simulators")
    with pytest.raises(ValueError, match="black_box names gray; .* has copy, grey"):
        models.read_inputs(model, simulators, EvaluatorConfig(black_box=("gray",)))
    with pytest.raises(ValueError, match="no simulators"):
        models.read_inputs(model, str(tmp_path), EvaluatorConfig())
    with pytest.raises(ValueError, match="tagger.json: the manifest is missing"):
        models.read_inputs(str(tmp_path), simulators, EvaluatorConfig())
    for name, size in (("plain", SIZE), ("larger", 2 * SIZE)):
        (tmp_path / name).mkdir()
        described = manifest.SimulatorManifest(name, "perturbation", ["none"], size, "none", "none")
        manifest.write(described, str(tmp_path / name))
    with pytest.raises(ValueError, match="several sizes .larger: 60, plain: 30."):
        models.read_inputs(model, str(tmp_path), EvaluatorConfig())
    shutil.rmtree(tmp_path / "larger")
    with pytest.raises(ValueError, match="'plain': this is the name of a slice: rename"):
        models.read_inputs(model, str(tmp_path), EvaluatorConfig())


def test_a_simulator_that_was_trained_through_is_not_taken_for_black_box(stubs, tmp_path):
    inputs = _inputs(stubs, "good", CONFIG)
    record = manifest.TaggerRecord(steps=1, level="early", simulators=("grey",))
    trained = inputs.tagger.replace(training=record)
    config = CONFIG.replace(black_box=("grey",))
    with pytest.raises(ValueError, match="black_box names grey, through which the tagger was trained"):
        evaluate.evaluate(None, "", dataclasses.replace(inputs, tagger=trained), config, str(tmp_path))


def test_a_record_of_training_says_which_deepfakes_are_black_box(stubs):
    tagger, simulators = _inputs(stubs, "good", CONFIG).tagger, os.path.join(stubs, "simulators")
    for trained_through, black_box in ((("grey",), ()), (("other",), ("grey",)), ((), ("grey",))):
        record = manifest.TaggerRecord(steps=1, level="early", simulators=trained_through)
        recorded = tagger.replace(training=record)
        assert models.not_trained_through(recorded, simulators) == black_box
    assert tagger.training is None and models.not_trained_through(tagger, simulators) == ()


def test_an_evaluation_says_how_its_tagger_was_trained(stubs):
    inputs = _inputs(stubs, "good", CONFIG)
    weights = manifest.LossWeights(message=10.0, residual=0.1)
    record = manifest.TaggerRecord(steps=1, level="late", weights=weights)
    trained = dataclasses.replace(inputs, tagger=inputs.tagger.replace(training=record))
    facts = summary.describe(trained).tagger
    assert (facts.level, facts.weights) == ("late", weights)
    unrecorded = summary.describe(inputs).tagger
    assert (unrecorded.level, unrecorded.weights) == (None, None)


def test_an_evaluation_that_dies_leaves_nothing_of_an_earlier_one(stubs, tmp_path):
    _execute(stubs, tmp_path, model="twin", newest="good")
    directory = str(tmp_path / "evaluation")

    def die():
        raise OSError("no space left on device")

    with pytest.raises(OSError, match="no space left"):
        evaluate.evaluate(die, os.path.join(stubs, "examples"), _inputs(stubs, "good", CONFIG), CONFIG, directory)
    assert os.listdir(directory) == []


def test_missing_lpips_weights_are_found_before_any_work(stubs):
    config = CONFIG.replace(lpips_vgg="absent.pth", lpips_linear="absent-too.pth")
    with pytest.raises(ValueError, match="absent.pth: no such file; .* fetch torchvision's vgg16"):
        _inputs(stubs, "good", config)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"after": ("jpg_75",)}, "no perturbation 'jpg_75'"),
        ({"sweeps": {"noise": (0.1, 7.0)}}, "strengths go from 0 to 1"),
        ({"sweeps": {"grey": (0.1,)}}, "simulator 'grey'"),
    ],
)
def test_slices_that_cannot_be_made_are_refused_before_any_work(stubs, changes, message):
    with pytest.raises(ValueError, match=message):
        _inputs(stubs, "good", CONFIG.replace(**changes))


def test_a_tagger_without_a_decoder_is_refused_by_name(stubs, tmp_path):
    module = StubTagger()
    tf.saved_model.save(module, str(tmp_path), signatures={"encode": module.encode})
    shutil.copy(os.path.join(stubs, "good", "Format-Serving", manifest.TaggerManifest.FILE), tmp_path)
    inputs = models.read_inputs(str(tmp_path), os.path.join(stubs, "simulators"), EvaluatorConfig())
    with pytest.raises(ValueError, match="expected a signature 'decode'"):
        models.Tagger(inputs)


def test_a_tagger_of_another_message_length_than_its_manifest_says_is_refused(stubs, tmp_path):
    directory = shutil.copytree(os.path.join(stubs, "good", "Format-Serving"), tmp_path / "model")
    rows = payload.code_matrix_to_hex(CODE_MATRIX[1:])
    manifest.write(manifest.TaggerManifest(MESSAGE_BITS - 1, CODE_BITS, rows, SIZE), str(directory))
    inputs = models.read_inputs(str(directory), os.path.join(stubs, "simulators"), CONFIG)
    pictures = np.stack([_picture(0), _picture(1)])
    with pytest.raises(ValueError, match=r"expected message of shape \(2, 9\), found \(2, 10\)"):
        list(Measurer(inputs, CONFIG).measure(["a", "b"], pictures))


def test_what_is_drawn_depends_on_seed_picture_and_repeat_alone():
    ids = [f"face-{index}" for index in range(200)]
    drawn = draw(0, ids, 0, CODE_MATRIX)
    one = draw(0, ids[5:6], 0, CODE_MATRIX)
    assert (one.messages[0] == drawn.messages[5]).all() and (one.masks[0] == drawn.masks[5]).all()
    for other in (draw(1, ids, 0, CODE_MATRIX), draw(0, ids, 1, CODE_MATRIX)):
        assert (other.messages != drawn.messages).any(axis=1).mean() > 0.9
        assert (other.masks != drawn.masks).any(axis=1).all()
    # Fair bits: 200 of them a column, so 0.3 and 0.7 are more than five standard deviations away.
    assert (abs(drawn.messages.mean(axis=0) - 0.5) < 0.2).all() and (abs(drawn.masks.mean(axis=0) - 0.5) < 0.2).all()
    expected = payload.encode_messages(drawn.messages, CODE_MATRIX) ^ drawn.masks.astype(np.uint8)
    assert (drawn.codewords == expected).all() and drawn.codewords.dtype == np.float32


PLAIN = slices.Slice("plain", "plain")
FACTS = record.TaggerFacts(10, 30, SIZE, strength=1.0, false_positive_rate=1e-4, level=None)
EVALUATED = record.Evaluated(label="stub", image_size=SIZE, tagger=FACTS)


def _summarise(directory, described, repeats, rows_found):
    """The summary of rows."""
    with rows.RowFile(rows.path_of(str(directory), "0")) as file:
        file.write(rows_found)
    return summary.summarise(str(directory), EvaluatorConfig(repeats=repeats), described, EVALUATED)


def _row(described, image_id, repeat=0, **figures):
    return rows.Row(image_id, repeat, described.name, described.kind, True, **figures)


def test_tries_with_one_picture_are_averaged_before_intervals(tmp_path):
    tries = [
        _row(PLAIN, f"{index:02}", repeat, message_ok=index < 9, p_value=1e-7)
        for index in range(10)
        for repeat in range(3)
    ]
    plain = _summarise(tmp_path, [PLAIN], 3, tries[::-1]).slices["plain"]
    # Clopper–Pearson of 9 in 10 pictures, not of 27 in 30 tries.
    assert plain.fmrr.mean == 0.9
    assert (plain.fmrr.low, plain.fmrr.high) == pytest.approx((0.5550, 0.9975), abs=1e-4)
    assert plain.pictures == 10 and plain.tpr.mean == 1.0
    with pytest.raises(ValueError, match="not 3 of each picture"):
        _summarise(tmp_path, [PLAIN], 3, tries[:-1])


def test_an_untagged_picture_counts_once_however_often_it_is_read_as_tagged(tmp_path):
    tries = [
        _row(slices.ORIGINALS, str(picture), repeat, tagged=picture == 0 and repeat > 0)
        for picture in range(4)
        for repeat in range(3)
    ]
    untagged = _summarise(tmp_path, [PLAIN], 3, tries).untagged
    assert untagged.false_positives == 1 and untagged.share.mean == 0.25


def test_a_method_without_p_values_has_no_true_positive_rate(tmp_path):
    tries = [_row(PLAIN, str(picture), message_ok=True) for picture in range(4)]
    plain = _summarise(tmp_path, [PLAIN], 1, tries).slices["plain"]
    assert plain.fmrr.mean == 1.0 and plain.tpr == record.Figure(mean=None, low=None, high=None)


def test_the_record_is_read_as_it_was_written(tmp_path):
    made = _summarise(tmp_path, [PLAIN], 1, [_row(PLAIN, str(picture), message_ok=True) for picture in range(4)])
    assert record.Evaluation.read(str(tmp_path / "evaluation.json"), "the evaluation") == made


def test_overall_is_the_mean_over_conditions_of_deepfakes(blessed):
    # grey/half 1, grey/full 0; the copying simulator is a perturbation.
    assert blessed.evaluation["overall"]["black"]["mean"] == 0.5
    assert blessed.evaluation["overall"]["white"] is None


def test_the_overall_interval_is_the_bootstrap_over_pictures_and_what_these_may_have_missed(tmp_path):
    """Of 40 pictures every second one is read after all four conditions, every other one after three."""
    described = [slices.Slice(f"swap/{name}", "condition", "swap", name, "identity_swap", False) for name in "abcd"]
    right = [(each, at, at % 2 == 0 or each.condition != "a") for each in described for at in range(40)]
    tries = [_row(each, f"{at:02}", message_ok=read, p_value=1.0 - read) for each, at, read in right]
    found = _summarise(tmp_path, described, 1, tries)
    overall = found.overall.white
    # The mean of 40 values of 1 and 0.75 has a standard error of 0.125 / sqrt(40) = 0.02.
    assert overall.mean == 0.875
    seen = 0.025 ** (1 / 40)  # So much of all pictures, at least, is like some that were seen.
    assert overall.low == pytest.approx(seen * (0.875 - 1.96 * 0.02), abs=0.01)
    assert overall.high == pytest.approx(1 - seen * (0.125 - 1.96 * 0.02), abs=0.01)
    assert found.overall_tpr.white == overall and found.overall.black is None


def test_a_perturbation_after_a_simulator_works_on_its_output(blessed):
    slices_found = blessed.evaluation["slices"]
    first, then = (slices_found[name]["change_psnr"]["mean"] for name in ("grey/half", "grey/half+noise_0.01"))
    # Both errors add up: independent noise of 0.01 has 40 dB.
    assert then == pytest.approx(-10 * np.log10(10 ** (-first / 10) + 10**-4), abs=0.3)
    assert (slices_found["jpeg/90"]["kind"], slices_found["jpeg/90"]["strength_value"]) == ("sweep", 90.0)


def test_pictures_of_another_size_than_the_networks_go_through_tag_and_read(stubs, tmp_path):
    """The stub's `tag` draws at 30 pixels, enlarges what it added, and `read` shrinks again."""
    _save_tagger(str(tmp_path / "model"), files_too=True)
    simulators = str(tmp_path / "simulators")
    save_mixer(simulators, "copy", "perturbation", {"none": (1.0, 0.0)}, 2 * SIZE)
    inputs = models.read_inputs(str(tmp_path / "model"), simulators, EvaluatorConfig(sweeps={}, after=()))
    assert inputs.image_size == 2 * SIZE
    pictures = np.stack([np.kron(_picture(index), np.ones([2, 2, 1], np.uint8)) for index in range(3)])
    found = list(Measurer(inputs, EvaluatorConfig(sweeps={}, after=())).measure(["a", "b", "c"], pictures))
    assert [row.message_ok for row in found if row.slice != "untagged"] == [True] * 6


def test_measuring_needs_no_tfx():
    """Beam workers import these modules; with TFX they would take a minute to start."""
    import subprocess
    import sys

    code = (
        "import sys; from faketagger.components.evaluator.measure import parts; "
        "from faketagger.components.evaluator.verdict import gate, summary; "
        "from faketagger.components.evaluator.report import text; "
        "print('tfx' in sys.modules)"
    )
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_the_component_takes_its_channels_and_holds_its_config():
    from tfx.types import channel, standard_artifacts

    from faketagger.components.evaluator.component import TagEvaluator
    from faketagger.components.simulator.artifact import GanSimulators

    examples = channel.Channel(type=standard_artifacts.Examples)
    model = channel.Channel(type=standard_artifacts.Model)
    made = TagEvaluator(examples, model, channel.Channel(type=GanSimulators), CONFIG)
    assert EvaluatorConfig.from_json(made.exec_properties["config"]) == CONFIG
    assert {name: out.type_name for name, out in made.outputs.items()} == {
        "evaluation": "ModelEvaluation",
        "blessing": "ModelBlessing",
    }
    with pytest.raises(TypeError):
        TagEvaluator(examples, model, model, CONFIG)
