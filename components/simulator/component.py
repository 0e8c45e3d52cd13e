"""The simulator step: Examples ▸ a directory of simulators."""

import os

from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import channel, component_spec, standard_artifacts

from faketagger.components.contract import files, pretrained
from faketagger.components.simulator.artifact import GanSimulators
from faketagger.components.simulator.config import SimulatorConfig
from faketagger.components.simulator.executor import Executor


class SimulatorSpec(component_spec.ComponentSpec):
    """What goes into SimulatorStep and what comes out."""

    PARAMETERS = {
        "config": component_spec.ExecutionParameter(type=str),
        "checkpoints": component_spec.ExecutionParameter(type=str, optional=True),
        "foreign": component_spec.ExecutionParameter(type=str, optional=True),
        "taken_fingerprint": component_spec.ExecutionParameter(type=str, optional=True),
    }
    INPUTS = {"examples": component_spec.ChannelParameter(type=standard_artifacts.Examples)}
    OUTPUTS = {"simulators": component_spec.ChannelParameter(type=GanSimulators)}


class SimulatorStep(base_component.BaseComponent):
    """Trains the simulators asked for on the train split, or takes in foreign ones; `perturbation` is always one.

    Args:
      examples: channel of Examples.
      config: what to train and what to take from the repository.
      checkpoints: a directory that outlives a run, so that a killed training goes on where it stopped.
      foreign: a directory of simulators to use instead of training any.
    """

    SPEC_CLASS = SimulatorSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(
        self,
        examples: channel.BaseChannel,
        config: SimulatorConfig,
        checkpoints: str | None = None,
        foreign: str | None = None,
    ):
        taken = [foreign] if foreign else [os.path.join(pretrained.SIMULATORS, name) for name in config.shipped]
        spec = SimulatorSpec(
            examples=examples,
            config=config.to_json(),
            checkpoints=checkpoints,
            foreign=foreign,
            # Part of the cache key: a changed directory is taken in anew.
            taken_fingerprint=files.fingerprint(*map(pretrained.fingerprint, taken)) if taken else None,
            simulators=channel.Channel(type=GanSimulators),
        )
        super().__init__(spec=spec)
