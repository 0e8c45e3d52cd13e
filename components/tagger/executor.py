"""Runs tagger training as a TFX step."""

import json
from typing import Any

from tfx import types
from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils
from tfx.utils import name_utils, path_utils

from faketagger.components.contract import files, manifest
from faketagger.components.layers import distribution
from faketagger.components.simulator import library
from faketagger.components.tagger import export, start, training
from faketagger.components.tagger.config import TaggerConfig

_JOB = "vertex_job"


class Executor(base_executor.BaseExecutor):
    """Inputs: `examples`, `simulators`. Outputs: `model`, `model_run` (TensorBoard's). Properties: as TaggerStep's."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        if exec_properties.get(_JOB):
            _train_in_job(input_dict, output_dict, exec_properties)
            return
        strategy = distribution.choose()  # Before anything is computed.
        examples = artifact_utils.get_single_instance(input_dict["examples"])
        simulators = artifact_utils.get_single_instance(input_dict["simulators"])
        model = artifact_utils.get_single_instance(output_dict["model"])
        logs = artifact_utils.get_single_instance(output_dict["model_run"])
        config = TaggerConfig.from_json(exec_properties["config"])
        root = exec_properties.get("checkpoints")
        started_from = exec_properties.get("start_fingerprint") or ""
        made_of = (exec_properties["config"], examples.uri, simulators.uri, started_from)
        checkpoints = files.checkpoint_directory(root, model.uri, *made_of)
        before = start.record_before(config)

        with strategy.scope():
            in_loop = training.white_box(library.load_all(simulators.uri), config)
        trained, last = training.train(examples.uri, in_loop, config, checkpoints, logs.uri, strategy)
        if not distribution.is_chief():
            return
        record = training.record_of(config, in_loop, last, before)
        export.save(trained.encoder, trained.decoder, config, record, path_utils.serving_model_dir(model.uri))
        files.remove_directory(checkpoints)
        model.set_string_custom_property("white_box", ", ".join(record.simulators))


def _train_in_job(
    input_dict: dict[str, list[types.Artifact]],
    output_dict: dict[str, list[types.Artifact]],
    exec_properties: dict[str, Any],
) -> None:
    """Has the machines of a Vertex AI CustomJob run this executor, and waits for its end.

    Vertex tells each of them by TF_CONFIG which of them it is.

    Raises:
      RuntimeError: the job failed.
    """
    # It brings Google Cloud's clients along.
    from tfx.extensions.google_cloud_ai_platform import runner

    job = json.loads(exec_properties[_JOB])
    of_each = {name: value for name, value in exec_properties.items() if name != _JOB}
    told = {"project": job["project"], "display_name": "faketagger-training", "job_spec": job["job_spec"]}
    path = name_utils.get_full_name(Executor)
    runner.start_cloud_training(
        input_dict, output_dict, of_each, path, told, None, enable_vertex=True, vertex_region=job["region"]
    )
    model = artifact_utils.get_single_instance(output_dict["model"])
    made = manifest.read(manifest.TaggerManifest, path_utils.serving_model_path(model.uri))
    if made.training:
        model.set_string_custom_property("white_box", ", ".join(made.training.simulators))
