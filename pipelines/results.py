"""What a finished run left in the metadata store, for people."""

import dataclasses
import os

from ml_metadata import metadata_store
from ml_metadata.proto import metadata_store_pb2

from faketagger.components.contract import files
from faketagger.components.evaluator.evaluate import TABLE_FILE

_LOOKUP = "Resolver"  # Looks something up in the store, and is no work that was done or reused.


@dataclasses.dataclass(frozen=True)
class RunResult:
    """Attributes:
    steps: by step, "cached", "done" or another state of its execution.
    outputs: by "step.output", the artifact.
    """

    steps: dict[str, str]
    outputs: dict[str, metadata_store_pb2.Artifact]

    @property
    def blessed(self) -> bool:
        """Whether the evaluator blessed the tagger; False where it said nothing."""
        blessing = self.outputs.get("TagEvaluator.blessing")
        return blessing is not None and blessing.custom_properties["blessed"].int_value == 1

    @property
    def pushed_to(self) -> str:
        """The pushed version's directory; empty when nothing was pushed."""
        pushed = self.outputs.get("Pusher.pushed_model")
        if pushed is None or not pushed.custom_properties["pushed"].int_value:
            return ""
        return pushed.custom_properties["pushed_destination"].string_value

    def restore_pushed(self) -> None:
        """Puts the pushed version back from the artifact store, if it was removed since: the Pusher may be cached."""
        if self.pushed_to and not os.path.exists(os.path.join(self.pushed_to, "saved_model.pb")):
            files.copy_directory(self.outputs["Pusher.pushed_model"].uri, self.pushed_to)

    @property
    def table(self) -> str:
        """The evaluator's table."""
        evaluation = self.outputs["TagEvaluator.evaluation"]
        with open(os.path.join(evaluation.uri, TABLE_FILE), encoding="utf-8") as file:
            return file.read()


def newest_run(store: metadata_store.MetadataStore, pipeline_name: str) -> RunResult:
    """The newest run of a pipeline; ValueError when there is none."""
    executions = _executions_of_newest_run(store, pipeline_name)
    states = {metadata_store_pb2.Execution.CACHED: "cached", metadata_store_pb2.Execution.COMPLETE: "done"}
    steps, outputs = {}, {}
    for execution in sorted(executions, key=lambda execution: execution.id):
        step = execution.type.rpartition(".")[2]
        if step == _LOOKUP:
            continue
        state = metadata_store_pb2.Execution.State.Name(execution.last_known_state).lower()
        steps[step] = states.get(execution.last_known_state, state)
        events = [
            event
            for event in store.get_events_by_execution_ids([execution.id])
            if event.type == metadata_store_pb2.Event.OUTPUT
        ]
        artifacts = {artifact.id: artifact for artifact in store.get_artifacts_by_id([e.artifact_id for e in events])}
        for event in events:
            outputs[f"{step}.{event.path.steps[0].key}"] = artifacts[event.artifact_id]
    return RunResult(steps, outputs)


def _executions_of_newest_run(
    store: metadata_store.MetadataStore, pipeline_name: str
) -> list[metadata_store_pb2.Execution]:
    pipelines = store.get_context_by_type_and_name("pipeline", pipeline_name)
    runs = store.get_children_contexts_by_context(pipelines.id) if pipelines else []
    runs = [run for run in runs if run.type == "pipeline_run"]
    if not runs:
        raise ValueError(f"the metadata store has no run of '{pipeline_name}'")
    return store.get_executions_by_context(max(runs, key=lambda run: run.create_time_since_epoch).id)
