"""Runs simulator training, or takes in foreign simulators, as a TFX step."""

from typing import Any

import tensorflow as tf
from tfx import types
from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils

from faketagger.components.contract import files
from faketagger.components.simulator import training
from faketagger.components.simulator.config import SimulatorConfig


class Executor(base_executor.BaseExecutor):
    """Inputs: `examples`. Outputs: `simulators`. Properties: as SimulatorStep's arguments."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        examples = artifact_utils.get_single_instance(input_dict["examples"])
        made = artifact_utils.get_single_instance(output_dict["simulators"])
        config = SimulatorConfig.from_json(exec_properties["config"])
        root = exec_properties.get("checkpoints")
        checkpoints = files.checkpoint_directory(root, made.uri, exec_properties["config"], examples.uri)
        tf.io.gfile.makedirs(made.uri)
        manifests = training.make_all(examples.uri, made.uri, config, checkpoints, exec_properties.get("foreign"))
        files.remove_directory(checkpoints)
        made.set_string_custom_property("names", ", ".join(each.name for each in manifests))
