"""What a run's metadata say to people."""

import pytest
from ml_metadata import metadata_store
from ml_metadata.proto import metadata_store_pb2

from faketagger.components.evaluator.evaluate import TABLE_FILE
from faketagger.pipelines import results

DONE, CACHED, FAILED = (getattr(metadata_store_pb2.Execution, state) for state in ("COMPLETE", "CACHED", "FAILED"))


class Metadata:
    """A store in memory, filled as TFX fills it."""

    def __init__(self):
        config = metadata_store_pb2.ConnectionConfig()
        config.fake_database.SetInParent()
        self.store = metadata_store.MetadataStore(config)

    def _context(self, type_name, name):
        type_id = self.store.put_context_type(metadata_store_pb2.ContextType(name=type_name))
        (context_id,) = self.store.put_contexts([metadata_store_pb2.Context(type_id=type_id, name=name)])
        return context_id

    def run(self, pipeline, name, executions):
        """One run: (type, state, {output: (uri, custom properties)}) for each execution."""
        try:
            pipeline_id = self.store.get_context_by_type_and_name("pipeline", pipeline).id
        except AttributeError:
            pipeline_id = self._context("pipeline", pipeline)
        run_id = self._context("pipeline_run", name)
        parents = [metadata_store_pb2.ParentContext(child_id=run_id, parent_id=pipeline_id)]
        self.store.put_parent_contexts(parents)
        for type_name, state, outputs in executions:
            self._execution([pipeline_id, run_id], type_name, state, outputs)

    def _execution(self, context_ids, type_name, state, outputs):
        type_id = self.store.put_execution_type(metadata_store_pb2.ExecutionType(name=type_name))
        execution = metadata_store_pb2.Execution(type_id=type_id, last_known_state=state)
        artifact_type = self.store.put_artifact_type(metadata_store_pb2.ArtifactType(name="Thing"))
        pairs = []
        for output, (uri, properties) in outputs.items():
            artifact = metadata_store_pb2.Artifact(type_id=artifact_type, uri=uri)
            for name, value in properties.items():
                field = "int_value" if isinstance(value, int) else "string_value"
                setattr(artifact.custom_properties[name], field, value)
            event = metadata_store_pb2.Event(type=metadata_store_pb2.Event.OUTPUT)
            event.path.steps.add(key=output)
            pairs.append((artifact, event))
        contexts = self.store.get_contexts_by_id(context_ids)
        self.store.put_execution(execution, pairs, contexts)


def _executions(uri, blessed=1, pushed=1, destination="", state=DONE):
    return [
        ("faketagger.components.tagger.component.TaggerStep", state, {"model": (f"{uri}/model", {})}),
        (
            "faketagger.components.evaluator.component.TagEvaluator",
            state,
            {"blessing": (f"{uri}/blessing", {"blessed": blessed}), "evaluation": (f"{uri}/evaluation", {})},
        ),
        (
            "tfx.components.pusher.component.Pusher",
            state,
            {"pushed_model": (f"{uri}/pushed", {"pushed": pushed, "pushed_destination": destination})},
        ),
    ]


@pytest.fixture
def metadata():
    return Metadata()


def test_the_newest_run_of_the_pipeline_is_reported_with_its_steps_and_outputs(metadata):
    metadata.run("demo", "first", _executions("first"))
    metadata.run("other", "elsewhere", _executions("elsewhere"))
    looked_up = ("tfx.dsl.components.common.resolver.Resolver", DONE, {"model": ("first/model", {})})
    metadata.run("demo", "second", [looked_up, *_executions("second", state=CACHED)])
    result = results.newest_run(metadata.store, "demo")
    assert result.steps == {"TaggerStep": "cached", "TagEvaluator": "cached", "Pusher": "cached"}
    assert result.outputs["TaggerStep.model"].uri == "second/model"
    assert set(result.outputs) == {
        "TaggerStep.model", "TagEvaluator.blessing", "TagEvaluator.evaluation", "Pusher.pushed_model",
    }  # fmt: skip


def test_a_step_that_failed_says_so_and_nothing_is_blessed_or_pushed(metadata):
    metadata.run("demo", "run", [("faketagger.components.tagger.component.TaggerStep", FAILED, {})])
    result = results.newest_run(metadata.store, "demo")
    assert result.steps == {"TaggerStep": "failed"}
    assert not result.blessed and result.pushed_to == ""


def test_of_a_step_that_was_tried_twice_the_later_counts(metadata):
    step = "faketagger.components.tagger.component.TaggerStep"
    metadata.run("demo", "run", [(step, FAILED, {}), (step, DONE, {"model": ("again", {})})])
    result = results.newest_run(metadata.store, "demo")
    assert result.steps == {"TaggerStep": "done"} and result.outputs["TaggerStep.model"].uri == "again"


@pytest.mark.parametrize("blessed", [0, 1])
def test_the_evaluators_word_is_what_blesses(metadata, blessed):
    metadata.run("demo", "run", _executions("run", blessed=blessed))
    assert results.newest_run(metadata.store, "demo").blessed is bool(blessed)


def test_what_was_pushed_is_named_and_what_was_not_is_not(metadata):
    metadata.run("demo", "one", _executions("one", pushed=1, destination="/models/7"))
    assert results.newest_run(metadata.store, "demo").pushed_to == "/models/7"
    metadata.run("demo2", "two", _executions("two", pushed=0, destination="/models/8"))
    assert results.newest_run(metadata.store, "demo2").pushed_to == ""


def test_a_pushed_version_that_was_removed_is_put_back_from_the_artifact_store(metadata, tmp_path):
    (tmp_path / "run" / "pushed" / "variables").mkdir(parents=True)
    for name in ("saved_model.pb", "tagger.json", "variables/data"):
        (tmp_path / "run" / "pushed" / name).write_text(name)
    version = tmp_path / "serving" / "7"
    metadata.run("demo", "run", _executions(str(tmp_path / "run"), destination=str(version)))
    result = results.newest_run(metadata.store, "demo")
    result.restore_pushed()
    assert (version / "variables" / "data").read_text() == "variables/data"
    (version / "tagger.json").write_text("changed since")
    result.restore_pushed()
    assert (version / "tagger.json").read_text() == "changed since"


def test_nothing_is_put_back_where_nothing_was_pushed(metadata, tmp_path):
    metadata.run("demo", "run", _executions(str(tmp_path), pushed=0, destination=str(tmp_path / "7")))
    results.newest_run(metadata.store, "demo").restore_pushed()
    assert not (tmp_path / "7").exists()


def test_the_table_is_the_evaluators(metadata, tmp_path):
    (tmp_path / "evaluation").mkdir()
    (tmp_path / "evaluation" / TABLE_FILE).write_text("FMRR ≥ 0.9", encoding="utf-8")
    metadata.run("demo", "run", _executions(str(tmp_path)))
    assert results.newest_run(metadata.store, "demo").table == "FMRR ≥ 0.9"


def test_a_pipeline_without_a_run_is_named(metadata):
    metadata.run("demo", "run", [])
    with pytest.raises(ValueError, match="no run of 'paper'"):
        results.newest_run(metadata.store, "paper")
