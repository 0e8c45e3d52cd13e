"""A changed setting, however deep, is another tagger to TFX's cache and to the checkpoints; what a manifest records."""

import os
from types import SimpleNamespace

import pytest
from ml_metadata.proto import metadata_store_pb2
from tfx import types
from tfx.orchestration import metadata
from tfx.orchestration.portable import cache_utils
from tfx.proto.orchestration import pipeline_pb2
from tfx.types import channel, standard_artifacts

from faketagger.components.contract import manifest, pretrained
from faketagger.components.simulator.artifact import GanSimulators
from faketagger.components.tagger import executor
from faketagger.components.tagger.component import TaggerStep
from faketagger.components.tagger.config import Augmentation, Drawn, FirstStage, HardDrawing, Optimising, TaggerConfig
from faketagger.components.tagger.schedules import Ramp

CONFIG = TaggerConfig()
CHANGED = {
    "a perturbation's range": {"perturbations": {**CONFIG.perturbations, "jpeg": Drawn(31.0, 95.0, share=6.0)}},
    "a perturbation's share": {"perturbations": {**CONFIG.perturbations, "jpeg": Drawn(30.0, 95.0, share=5.0)}},
    "a perturbation less": {"perturbations": {"jpeg": CONFIG.perturbations["jpeg"]}},
    "perturbed deepfakes": {"perturbed_simulated": 0.6},
    "augmentation": {"augmentation": Augmentation(crop=(0.75, 1.0))},
    "the first stage": {"first_stage": FirstStage(smoothing=0.97)},
    "hard draws": {"hard_drawing": HardDrawing(floor=0.04)},
    "optimisers": {"optimising": Optimising(critic_rate=0.25)},
}


def _properties(config):
    examples, simulators = channel.Channel(type=standard_artifacts.Examples), channel.Channel(type=GanSimulators)
    return TaggerStep(examples, simulators, config, checkpoints="kept").exec_properties


def _cache_key(properties):
    """What TFX looks for among earlier executions before it runs the step."""
    memory = metadata_store_pb2.ConnectionConfig(fake_database=metadata_store_pb2.FakeDatabaseConfig())
    with metadata.Metadata(memory) as handle:
        node, info = pipeline_pb2.PipelineNode(), pipeline_pb2.PipelineInfo(id="faketagger")
        return cache_utils.get_cache_context(handle, node, info, parameters=properties).name


def _earlier(directory, **recorded):
    """Makes the manifest of an exported tagger; the config of a training that goes on from it."""
    described = manifest.TaggerManifest(message_bits=1, code_bits=1, code_matrix=("80",), image_size=16)
    manifest.write(described.replace(training=manifest.TaggerRecord(**recorded) if recorded else None), str(directory))
    return CONFIG.replace(start_from=str(directory), steps=150)


class _Reached(Exception):
    """Ends a step where its training would begin."""


def _checkpoints(config, tmp_path, monkeypatch):
    def train(examples_uri, simulators, config, checkpoints, logs, strategy):
        raise _Reached(checkpoints)

    monkeypatch.setattr(executor.training, "train", train)
    with pytest.raises(_Reached) as reached:
        _execute(config, tmp_path, monkeypatch)
    return str(reached.value)


def _execute(config, tmp_path, monkeypatch):
    monkeypatch.setattr(executor.library, "load_all", lambda directory: [])

    def artifact(kind: type[types.Artifact], name):
        made = kind()
        made.uri = str(tmp_path / name)
        return [made]

    inputs = {"examples": artifact(standard_artifacts.Examples, "1"), "simulators": artifact(GanSimulators, "2")}
    outputs = {
        "model": artifact(standard_artifacts.Model, "3"),
        "model_run": artifact(standard_artifacts.ModelRun, "4"),
    }
    executor.Executor().Do(inputs, outputs, _properties(config))


def test_the_same_settings_are_found_again(tmp_path, monkeypatch):
    again = TaggerConfig.from_json(CONFIG.to_json())
    assert _properties(again) == _properties(CONFIG)
    assert _cache_key(_properties(again)) == _cache_key(_properties(CONFIG))
    kept = [_checkpoints(each, tmp_path, monkeypatch) for each in (again, CONFIG)]
    assert kept[0] == kept[1] and os.path.dirname(kept[0]) == "kept"


@pytest.mark.parametrize("what", CHANGED)
def test_a_changed_setting_runs_the_step_again_from_its_beginning(tmp_path, monkeypatch, what):
    changed = CONFIG.replace(**CHANGED[what])
    assert _properties(changed)["config"] != _properties(CONFIG)["config"]
    assert _cache_key(_properties(changed)) != _cache_key(_properties(CONFIG))
    assert _checkpoints(changed, tmp_path, monkeypatch) != _checkpoints(CONFIG, tmp_path, monkeypatch)


def test_a_changed_tagger_is_gone_on_from_anew(tmp_path, monkeypatch):
    config = _earlier(tmp_path / "earlier")
    key, kept = _cache_key(_properties(config)), _checkpoints(config, tmp_path, monkeypatch)
    assert (_cache_key(_properties(config)), _checkpoints(config, tmp_path, monkeypatch)) == (key, kept)
    (tmp_path / "earlier" / "variables").write_bytes(b"trained anew")
    assert _cache_key(_properties(config)) != key
    assert _checkpoints(config, tmp_path, monkeypatch) != kept


def test_the_shipped_tagger_is_found_again_whenever_it_was_checked_out(tmp_path, monkeypatch):
    monkeypatch.setattr(pretrained, "_ROOT", str(tmp_path))
    config = _earlier(tmp_path / "tagger")
    key = _cache_key(_properties(config))
    os.utime(tmp_path / "tagger" / manifest.TaggerManifest.FILE, ns=(1, 1))
    assert _cache_key(_properties(config)) == key
    _earlier(tmp_path / "tagger", steps=900, level="early")
    assert _cache_key(_properties(config)) != key


def _recorded(config, tmp_path, monkeypatch):
    trained, saved = SimpleNamespace(encoder=None, decoder=None), []
    monkeypatch.setattr(executor.training, "train", lambda *given: (trained, {"psnr": 30.5}))
    monkeypatch.setattr(
        executor.export, "save", lambda encoder, decoder, config, record, directory: saved.append(record)
    )
    _execute(config, tmp_path, monkeypatch)
    return saved[0]


def test_the_manifest_records_what_a_tagger_was_trained_through_before_it_was_gone_on_from(tmp_path, monkeypatch):
    in_loop = [SimpleNamespace(manifest=SimpleNamespace(name=name)) for name in ("stgan", "faceswap")]
    monkeypatch.setattr(executor.training, "white_box", lambda simulators, config: in_loop)
    known = _earlier(tmp_path / "earlier", steps=900, level="early", simulators=("stylegan", "faceswap"))
    record = _recorded(known, tmp_path, monkeypatch)
    assert record.simulators == ("stylegan", "faceswap", "stgan")
    assert record.steps == 900 + 200  # Of 150 steps the last hundred is completed.
    record = _recorded(_earlier(tmp_path / "unknown"), tmp_path, monkeypatch)
    assert (record.simulators, record.steps) == (("stgan", "faceswap"), 200)


def test_the_manifest_records_what_the_evaluation_tells_taggers_apart_by(tmp_path, monkeypatch):
    record = _recorded(CONFIG.replace(level="late", message=10.0, residual=Ramp(scale=0.1)), tmp_path, monkeypatch)
    assert (record.level, record.weights.message, record.weights.residual) == ("late", 10.0, 0.1)
