"""The tagger step: Examples and simulators ▸ the tagger's SavedModel."""

from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import channel, component_spec, standard_artifacts

from faketagger.components.contract import pretrained
from faketagger.components.simulator.artifact import GanSimulators
from faketagger.components.tagger import start
from faketagger.components.tagger.config import TaggerConfig
from faketagger.components.tagger.executor import Executor


class TaggerSpec(component_spec.ComponentSpec):
    """What goes into TaggerStep and what comes out."""

    PARAMETERS = {
        "config": component_spec.ExecutionParameter(type=str),
        "checkpoints": component_spec.ExecutionParameter(type=str, optional=True),
        "start_fingerprint": component_spec.ExecutionParameter(type=str, optional=True),
        "vertex_job": component_spec.ExecutionParameter(type=str, optional=True),
    }
    INPUTS = {
        "examples": component_spec.ChannelParameter(type=standard_artifacts.Examples),
        "simulators": component_spec.ChannelParameter(type=GanSimulators),
    }
    OUTPUTS = {
        "model": component_spec.ChannelParameter(type=standard_artifacts.Model),
        "model_run": component_spec.ChannelParameter(type=standard_artifacts.ModelRun),
    }


class TaggerStep(base_component.BaseComponent):
    """Trains encoder and decoder through the simulators and exports them as one SavedModel.

    Args:
      examples: channel of Examples.
      simulators: channel of GanSimulators.
      config: the settings.
      checkpoints: a directory that outlives a run, so that a killed training goes on where it stopped.
      vertex_job: JSON of the Vertex AI CustomJob whose machines train together: `project`, `region` and `job_spec`; by
        default the step trains where it runs.
    """

    SPEC_CLASS = TaggerSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(
        self,
        examples: channel.BaseChannel,
        simulators: channel.BaseChannel,
        config: TaggerConfig,
        checkpoints: str | None = None,
        vertex_job: str | None = None,
    ):
        started_from = start.directory_of(config)
        spec = TaggerSpec(
            examples=examples,
            simulators=simulators,
            config=config.to_json(),
            checkpoints=checkpoints,
            vertex_job=vertex_job,
            # Part of the cache key: a changed tagger is gone on from anew.
            start_fingerprint=pretrained.fingerprint(started_from) if started_from else None,
            model=channel.Channel(type=standard_artifacts.Model),
            model_run=channel.Channel(type=standard_artifacts.ModelRun),
        )
        super().__init__(spec=spec)
