"""Copies the newest pushed tagger into a Model artifact, as TFX step."""

import os
from typing import Any

from tfx import types
from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils
from tfx.utils import path_utils

from faketagger.components.contract import files, pushed


class Executor(base_executor.BaseExecutor):
    """Input: `candidate`. Output: `model`, which holds pushed.NONE_YET where nothing else was pushed so far."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        candidate = path_utils.serving_model_path(artifact_utils.get_single_uri(input_dict["candidate"]))
        model = artifact_utils.get_single_instance(output_dict["model"])
        newest = pushed.newest(exec_properties["base_path"])
        # When the pipeline runs again, what was pushed last is this very tagger: it is not held against itself.
        if newest is None or pushed.contents(newest) == pushed.contents(candidate):
            files.write_bytes(os.path.join(model.uri, pushed.NONE_YET), b"")
            return
        files.copy_directory(newest, path_utils.serving_model_dir(model.uri))
        model.set_string_custom_property("pushed_from", newest)
