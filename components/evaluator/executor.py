"""The evaluator's TFX executor: runs the measurement on Beam, then the gate, then writes what both found."""

import os
from typing import Any

from tfx import types
from tfx.components.evaluator import constants
from tfx.components.evaluator import executor as tfx_evaluator
from tfx.types import artifact_utils
from tfx.types import standard_component_specs as specs
from tfx.utils import path_utils

from faketagger.components.contract import files, pushed
from faketagger.components.evaluator.config import EvaluatorConfig
from faketagger.components.evaluator.evaluate import evaluate
from faketagger.components.evaluator.measure import models
from faketagger.components.evaluator.verdict.record import CHECKS_FILE, Decision

CONFIG_KEY = "config"
SIMULATORS_KEY = "simulators"


class Executor(tfx_evaluator.Executor):
    """Measures a tagger and blesses it, or not.

    A subclass of TFX's own evaluator, because Vertex's runner translates the blessed model's id for those alone.
    """

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Writes what evaluate does; and as blessing BLESSED or NOT_BLESSED and checks.json.

        Args:
          input_dict: `examples` (the eval split is read), `model` (a tagger), `simulators` (GanSimulators), and
            `baseline_model`, the newest blessed tagger, where there is one yet.
          output_dict: `evaluation`, `blessing`.
          exec_properties: `config`: EvaluatorConfig as JSON.

        Raises:
          ValueError: an input is missing or does not fit; then nothing is blessed.
        """
        self._log_startup(input_dict, output_dict, exec_properties)
        config = EvaluatorConfig.from_json(exec_properties[CONFIG_KEY])
        model = artifact_utils.get_single_instance(input_dict[specs.MODEL_KEY])
        simulators_dir = artifact_utils.get_single_uri(input_dict[SIMULATORS_KEY])
        inputs = models.read_inputs(path_utils.serving_model_path(model.uri), simulators_dir, config)
        # A tagger is not compared with itself, which is the newest blessed one when the pipeline runs again.
        others = [
            each.uri
            for each in input_dict.get(specs.BASELINE_MODEL_KEY) or []
            if each.uri != model.uri and not files.exists(os.path.join(each.uri, pushed.NONE_YET))
        ]
        newest = (
            models.read_inputs(path_utils.serving_model_path(others[0]), simulators_dir, config) if others else None
        )
        examples_uri = artifact_utils.get_single_uri(input_dict[specs.EXAMPLES_KEY])
        evaluation_dir = artifact_utils.get_single_uri(output_dict[specs.EVALUATION_KEY])
        _, decision = evaluate(self._make_beam_pipeline, examples_uri, inputs, config, evaluation_dir, newest)
        _bless(artifact_utils.get_single_instance(output_dict[specs.BLESSING_KEY]), model, decision, exec_properties)


def _bless(
    blessing: types.Artifact, model: types.Artifact, decision: Decision, exec_properties: dict[str, Any]
) -> None:
    """Says on the blessing, as TFX's own evaluator does, which model was judged and how."""
    decision.write(os.path.join(blessing.uri, CHECKS_FILE))
    marker = constants.BLESSED_FILE_NAME if decision.blessed else constants.NOT_BLESSED_FILE_NAME
    files.write_bytes(os.path.join(blessing.uri, marker), b"")
    blessing.set_string_custom_property(constants.ARTIFACT_PROPERTY_CURRENT_MODEL_URI_KEY, model.uri)
    blessing.set_int_custom_property(constants.ARTIFACT_PROPERTY_CURRENT_MODEL_ID_KEY, model.id)
    if "current_component_id" in exec_properties:
        blessing.set_string_custom_property("component_id", exec_properties["current_component_id"])
    blessing.set_int_custom_property(
        constants.ARTIFACT_PROPERTY_BLESSED_KEY,
        constants.BLESSED_VALUE if decision.blessed else constants.NOT_BLESSED_VALUE,
    )
