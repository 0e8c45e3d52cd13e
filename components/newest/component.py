"""The look-up as a TFX component."""

from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import channel, component_spec, standard_artifacts

from faketagger.components.newest.executor import Executor


class NewestPushedSpec(component_spec.ComponentSpec):
    """What goes into NewestPushed and what comes out."""

    PARAMETERS = {"base_path": component_spec.ExecutionParameter(type=str)}
    INPUTS = {"candidate": component_spec.ChannelParameter(type=standard_artifacts.Model)}
    OUTPUTS = {"model": component_spec.ChannelParameter(type=standard_artifacts.Model)}


class NewestPushed(base_component.BaseComponent):
    """Looks up the newest tagger that was pushed, and so blessed. Its answer changes: it must not be cached.

    Args:
      candidate: channel of Model: the tagger that is to be held against it.
      base_path: where blessed taggers are pushed to.
    """

    SPEC_CLASS = NewestPushedSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(self, candidate: channel.BaseChannel, base_path: str):
        model = channel.Channel(type=standard_artifacts.Model)
        super().__init__(spec=NewestPushedSpec(candidate=candidate, base_path=base_path, model=model))
