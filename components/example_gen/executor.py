"""The TFX side of preprocess.py: options in, an Examples artifact out."""

import os
from typing import Any

from google.protobuf import wrappers_pb2
from tfx import types
from tfx.components.util import examples_utils
from tfx.dsl.components.base import base_beam_executor
from tfx.proto import example_gen_pb2
from tfx.types import artifact_utils, standard_component_specs
from tfx.utils import proto_utils

from faketagger.components.contract import features
from faketagger.components.example_gen import preprocess, sources
from faketagger.components.example_gen.options import Options

_SPLITS = [features.TRAIN_SPLIT, features.EVAL_SPLIT]


class Executor(base_beam_executor.BaseBeamExecutor):
    """Runs the Beam pipeline, checks what it made and describes it in the artifact's custom properties.

    TFX's BaseExampleGenExecutor is not its base: that one's writing steps would make every Beam worker import TFX, and
    shuffle all pictures through memory on the local runner.
    """

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        self._log_startup(input_dict, output_dict, exec_properties)
        options = unpack(exec_properties[standard_component_specs.CUSTOM_CONFIG_KEY])
        artifact = artifact_utils.get_single_instance(output_dict[standard_component_specs.EXAMPLES_KEY])
        source = _source(options, artifact.uri)
        with self._make_beam_pipeline() as pipeline:
            preprocess.write_examples(
                pipeline, source, artifact.uri, options.image_size, options.eval_percent, options.align
            )
        counts = preprocess.read_counts(artifact.uri)
        preprocess.check_counts(artifact.uri, counts, options.max_rejected)
        _describe(artifact, options, counts)


def pack(options: Options) -> example_gen_pb2.CustomConfig:
    """Options as the proto that TFX's specification of an ExampleGen has a place for."""
    config = example_gen_pb2.CustomConfig()
    config.custom_config.Pack(wrappers_pb2.StringValue(value=options.to_json()))
    return config


def unpack(custom_config: str) -> Options:
    """The reverse of pack, from the JSON in which the proto reaches the executor."""
    config, text = example_gen_pb2.CustomConfig(), wrappers_pb2.StringValue()
    proto_utils.json_to_proto(custom_config, config)
    config.custom_config.Unpack(text)
    return Options.from_json(text.value)


def _source(options: Options, examples_uri: str):
    if options.images is not None:
        return sources.ReadFolder(options.images, options.limit)
    # Beside the step's outputs, not in one run's: the next run finds the data set prepared.
    step_folder = os.path.dirname(os.path.dirname(examples_uri.rstrip("/")))
    data_dir = options.data_dir or os.path.join(step_folder, "tfds")
    builder = sources.prepare_tfds(options.dataset, options.image_size, data_dir, options.manual_dir)
    return sources.ReadTfds(builder, options.dataset, options.limit)


def _describe(artifact: types.Artifact, options: Options, counts: dict[str, int]) -> None:
    artifact.split_names = artifact_utils.encode_split_names(_SPLITS)
    examples_utils.set_payload_format(artifact, example_gen_pb2.FORMAT_TF_EXAMPLE)
    examples_utils.set_file_format(artifact, "tfrecords_gzip")
    for outcome, count in counts.items():
        artifact.set_int_custom_property(outcome, count)
    artifact.set_int_custom_property("image_size", options.image_size)
    artifact.set_string_custom_property("attributes", ",".join(features.ATTRIBUTE_NAMES))
