"""What the server answers to each call, whichever way it came: messages in, messages out, ServingErrors."""

from collections.abc import Callable, Mapping

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    model_pb2,
    predict_pb2,
    status_pb2,
)

from faketagger.serving.model_manager import ModelManager
from faketagger.serving.rest.metrics import Metrics
from faketagger.serving.servable import ServingError, invalid_argument

SIGNATURE_DEF = "signature_def"


class Calls:
    """What the methods answer; they raise ServingErrors.

    Attributes:
      metrics: of the calls.
    """

    def __init__(self, manager: ModelManager):
        self._manager = manager
        self.metrics = Metrics(manager.is_configured)

    def predict(self, request: predict_pb2.PredictRequest) -> predict_pb2.PredictResponse:
        with self.metrics.request(request.model_spec.name, "Predict", "GRPC"):
            _check_model_spec(request)
            version, servable = self._manager.find(request.model_spec)
            with self.metrics.runtime(request.model_spec.name):
                response = servable.predict(request)
            response.model_spec.name = request.model_spec.name
            response.model_spec.version.value = version
            return response

    def predict_arrays(
        self,
        spec: model_pb2.ModelSpec,
        signature: str,
        inputs: Callable[[Mapping[str, tf.DType]], dict[str, np.ndarray]],
    ) -> dict[str, tf.Tensor]:
        """The outputs of a signature; `inputs` makes what goes in, given the types that the signature takes."""
        _, servable = self._manager.find(spec)
        given = inputs(servable.input_types(signature))
        with self.metrics.runtime(spec.name):
            return servable.call(signature, given)

    def metadata(
        self, request: get_model_metadata_pb2.GetModelMetadataRequest
    ) -> get_model_metadata_pb2.GetModelMetadataResponse:
        _check_model_spec(request)
        if not request.metadata_field:
            raise invalid_argument("GetModelMetadataRequest must specify at least one metadata_field")
        for field in request.metadata_field:
            if field != SIGNATURE_DEF:
                raise invalid_argument(f"Metadata field {field} is not supported")
        version, servable = self._manager.find(request.model_spec)
        signatures = get_model_metadata_pb2.SignatureDefMap(signature_def=servable.signature_defs)
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        response.model_spec.name = request.model_spec.name
        response.model_spec.version.value = version
        response.metadata[SIGNATURE_DEF].Pack(signatures)
        return response

    def status(
        self, request: get_model_status_pb2.GetModelStatusRequest
    ) -> get_model_status_pb2.GetModelStatusResponse:
        _check_model_spec(request)
        name = request.model_spec.name
        statuses = self._manager.statuses(name)
        if request.model_spec.version_label:
            version, _ = self._manager.find(request.model_spec)
            statuses = {version: statuses[version]}
        elif request.model_spec.HasField("version"):
            version = request.model_spec.version.value
            if version not in statuses:
                message = f"Could not find version {version} of model {name}"
                raise ServingError(grpc.StatusCode.NOT_FOUND, message)
            statuses = {version: statuses[version]}
        if not statuses:
            message = f"Could not find any versions of model {name}"
            raise ServingError(grpc.StatusCode.NOT_FOUND, message)
        return get_model_status_pb2.GetModelStatusResponse(model_version_status=statuses.values())

    def reload(self, request: model_management_pb2.ReloadConfigRequest) -> model_management_pb2.ReloadConfigResponse:
        if request.config.WhichOneof("config") != "model_config_list":
            raise invalid_argument(
                "ServerModelConfig type not supported by HandleReloadConfigRequest. "
                "Only ModelConfigList is currently supported"
            )
        self._manager.reload(request.config.model_config_list)
        return model_management_pb2.ReloadConfigResponse(status=status_pb2.StatusProto())


def _check_model_spec(request) -> None:
    if not request.HasField("model_spec"):
        raise invalid_argument("Missing ModelSpec")
