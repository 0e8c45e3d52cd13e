"""The evaluator as a TFX component."""

from tfx import types
from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.types import component_spec, standard_artifacts, system_executions
from tfx.types import standard_component_specs as specs

from faketagger.components.evaluator import executor
from faketagger.components.evaluator.config import EvaluatorConfig
from faketagger.components.simulator.artifact import GanSimulators


class TagEvaluatorSpec(component_spec.ComponentSpec):
    """What goes into the evaluator and what comes out."""

    PARAMETERS = {executor.CONFIG_KEY: component_spec.ExecutionParameter(type=str)}
    INPUTS = {
        specs.EXAMPLES_KEY: component_spec.ChannelParameter(type=standard_artifacts.Examples),
        specs.MODEL_KEY: component_spec.ChannelParameter(type=standard_artifacts.Model),
        executor.SIMULATORS_KEY: component_spec.ChannelParameter(type=GanSimulators),
        specs.BASELINE_MODEL_KEY: component_spec.ChannelParameter(type=standard_artifacts.Model, optional=True),
    }
    OUTPUTS = {
        specs.EVALUATION_KEY: component_spec.ChannelParameter(type=standard_artifacts.ModelEvaluation),
        specs.BLESSING_KEY: component_spec.ChannelParameter(type=standard_artifacts.ModelBlessing),
    }
    TYPE_ANNOTATION = system_executions.Evaluate


class TagEvaluator(base_beam_component.BaseBeamComponent):
    """Measures a tagger against simulators and blesses it when it passes the gate.

    Outputs: `evaluation` (ModelEvaluation) and `blessing` (ModelBlessing), which the Pusher must be given.
    """

    SPEC_CLASS = TagEvaluatorSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(executor.Executor)

    def __init__(
        self,
        examples: types.BaseChannel,
        model: types.BaseChannel,
        simulators: types.BaseChannel,
        config: EvaluatorConfig,
        baseline_model: types.BaseChannel | None = None,
    ):
        """Wires the evaluator.

        Args:
          examples: Examples; the eval split is measured.
          model: a tagger (Model).
          simulators: GanSimulators, those of the training loop and others.
          config: how to measure and what to demand.
          baseline_model: the newest blessed tagger (Model), if there is one; it must not be better.
        """
        outputs = {name: types.Channel(type=parameter.type) for name, parameter in TagEvaluatorSpec.OUTPUTS.items()}
        inputs = {specs.EXAMPLES_KEY: examples, specs.MODEL_KEY: model, executor.SIMULATORS_KEY: simulators}
        if baseline_model is not None:
            inputs[specs.BASELINE_MODEL_KEY] = baseline_model
        super().__init__(spec=TagEvaluatorSpec(**inputs, **outputs, **{executor.CONFIG_KEY: config.to_json()}))
