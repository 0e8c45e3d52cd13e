"""Runs tagger training as a TFX step."""

from typing import Any

from tfx import types
from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils
from tfx.utils import path_utils

from faketagger.components.contract import files, manifest
from faketagger.components.simulator import library
from faketagger.components.tagger import export, training
from faketagger.components.tagger.config import TaggerConfig


class Executor(base_executor.BaseExecutor):
    """Inputs: `examples`, `simulators`. Outputs: `model`, `model_run` (TensorBoard's). Properties: as TaggerStep's."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        examples = artifact_utils.get_single_instance(input_dict["examples"])
        simulators = artifact_utils.get_single_instance(input_dict["simulators"])
        model = artifact_utils.get_single_instance(output_dict["model"])
        logs = artifact_utils.get_single_instance(output_dict["model_run"])
        config = TaggerConfig.from_json(exec_properties["config"])
        root = exec_properties.get("checkpoints")
        made_of = (exec_properties["config"], examples.uri, simulators.uri)
        checkpoints = files.checkpoint_directory(root, model.uri, *made_of)

        in_loop = training.white_box(library.load_all(simulators.uri), config)
        trained, last = training.train(examples.uri, in_loop, config, checkpoints, logs.uri)
        names = [simulator.manifest.name for simulator in in_loop]
        record = manifest.TaggerRecord(
            steps=config.steps,
            level=config.level,
            weights=manifest.LossWeights(message=config.message, residual=config.residual.scale),
            black_box=config.black_box,
            simulators=tuple(names),
            last=last,
        )
        export.save(trained.encoder, trained.decoder, config, record, path_utils.serving_model_dir(model.uri))
        files.remove_directory(checkpoints)
        model.set_string_custom_property("white_box", ", ".join(names))
