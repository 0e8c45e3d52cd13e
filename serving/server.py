"""The embedded server: what TensorFlow Serving offers over gRPC, for machines that have only Python.

    faketagger serve --model_base_path=DIR

It serves tensorflow.serving's PredictionService (Predict, GetModelMetadata) and ModelService, and grpc.health.v1, with
TensorFlow Serving's behaviour, error codes and messages, so that one client works with both; README.md says where it
differs.
"""

import concurrent.futures
import contextlib
import importlib
import os
import sys

from faketagger.components.contract import startup

startup.quiet_logs()  # Here, as TensorFlow and gRPC read it when they are loaded.

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    prediction_service_pb2_grpc,
    status_pb2,
)
from tensorflow_serving.config import model_server_config_pb2

from faketagger.serving.model_manager import PLATFORM, ModelManager
from faketagger.serving.servable import MAX_MESSAGE_BYTES, ServingError, invalid_argument

DEFAULT_MODEL_NAME = "faketagger"

_MAX_ERROR_CHARACTERS = 1024
_MAX_CONCURRENT_CALLS = 64  # More are refused at once: each may hold a message of the largest size in memory.
_SIGNATURE_DEF = "signature_def"
# TensorFlow Serving's own names, without the package; the empty one stands for the whole server.
_HEALTH_SERVICES = ("", "ModelService", "PredictionService")


class Server:
    """A running server; made by start_server.

    Attributes:
      port: the port it listens on.
      manager: the models it serves.
    """

    def __init__(self, server: grpc.Server, manager: ModelManager, service_health: health.HealthServicer, port: int):
        self._server = server
        self._health = service_health
        self.manager = manager
        self.port = port

    def stop(self, grace_seconds: float = 5.0) -> None:
        """Refuses new calls, and says so in its health; gives those under way `grace_seconds`; unloads the models."""
        self._health.enter_graceful_shutdown()
        self._server.stop(grace_seconds).wait()
        self.manager.stop()


def start_server(
    model_base_path: str,
    port: int = 0,
    *,
    model_name: str = DEFAULT_MODEL_NAME,
    host: str = "localhost",
    credentials: grpc.ServerCredentials | None = None,
    max_message_bytes: int = MAX_MESSAGE_BYTES,
    poll_seconds: float = 1.0,
) -> Server:
    """Loads the newest version under `model_base_path` and serves it, and each newer one that appears there.

    Args:
      model_base_path: the directory of directories named by version number, as TFX's Pusher fills it.
      port: 0 for any free one.
      model_name: the name that clients ask for.
      host: the address to listen on; 0.0.0.0 for all.
      credentials: grpc.ssl_server_credentials(…), or None for plain text.
      max_message_bytes: larger requests and responses are refused.
      poll_seconds: how often to look for a new version.

    Raises:
      OSError: the address is in use or not of this machine.
    """
    service_health = health.HealthServicer()
    manager = ModelManager(poll_seconds, lambda manager: _set_health(service_health, manager.ready()))
    # gRPC would let two servers share a port, and clients reach one or the other.
    options = [
        ("grpc.so_reuseport", 0),
        ("grpc.max_receive_message_length", max_message_bytes),
        ("grpc.max_send_message_length", max_message_bytes),
    ]
    threads = concurrent.futures.ThreadPoolExecutor(2 * (os.cpu_count() or 1) + 2, thread_name_prefix="serving")
    server = grpc.server(threads, options=options, maximum_concurrent_rpcs=_MAX_CONCURRENT_CALLS)
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(_PredictionService(manager), server)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(_ModelService(manager), server)
    health_pb2_grpc.add_HealthServicer_to_server(service_health, server)
    bound_port = _bind(server, host, port, credentials)
    config = model_server_config_pb2.ModelConfigList()
    config.config.add(name=model_name, base_path=absolute(model_base_path), model_platform=PLATFORM)
    manager.start(config)
    server.start()
    return Server(server, manager, service_health, bound_port)


def _bind(server: grpc.Server, host: str, port: int, credentials: grpc.ServerCredentials | None) -> int:
    where = address(host, port)
    try:
        if credentials is None:
            return server.add_insecure_port(where)
        return server.add_secure_port(where, credentials)
    except RuntimeError as error:
        raise OSError(f"cannot listen on {where}: in use, not allowed, or no address of this machine") from error


def address(host: str, port: int) -> str:
    """host:port, as URLs have it."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def absolute(path: str) -> str:
    """A path that does not depend on the working directory; remote ones stay as they are."""
    return path if "://" in path else os.path.abspath(path)


def _set_health(service_health: health.HealthServicer, ready: bool) -> None:
    serving = health_pb2.HealthCheckResponse.SERVING if ready else health_pb2.HealthCheckResponse.NOT_SERVING
    for name in _HEALTH_SERVICES:
        service_health.set(name, serving)


@contextlib.contextmanager
def _refusing(context: grpc.ServicerContext):
    """Ends the call with the code and message of a ServingError raised inside."""
    try:
        yield
    except ServingError as error:
        message = error.message
        if len(message) > _MAX_ERROR_CHARACTERS:
            message = message[:_MAX_ERROR_CHARACTERS] + "...TRUNCATED"
        context.abort(error.code, message)


def _check_model_spec(request) -> None:
    if not request.HasField("model_spec"):
        raise invalid_argument("Missing ModelSpec")


class _PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    def __init__(self, manager: ModelManager):
        self._manager = manager

    def Predict(self, request, context):
        with _refusing(context):
            _check_model_spec(request)
            version, servable = self._manager.find(request.model_spec)
            response = servable.predict(request)
            response.model_spec.name = request.model_spec.name
            response.model_spec.version.value = version
            return response

    def GetModelMetadata(self, request, context):
        with _refusing(context):
            _check_model_spec(request)
            if not request.metadata_field:
                raise invalid_argument("GetModelMetadataRequest must specify at least one metadata_field")
            for field in request.metadata_field:
                if field != _SIGNATURE_DEF:
                    raise invalid_argument(f"Metadata field {field} is not supported")
            version, servable = self._manager.find(request.model_spec)
            signatures = get_model_metadata_pb2.SignatureDefMap(signature_def=servable.signature_defs)
            response = get_model_metadata_pb2.GetModelMetadataResponse()
            response.model_spec.name = request.model_spec.name
            response.model_spec.version.value = version
            response.metadata[_SIGNATURE_DEF].Pack(signatures)
            return response

    def Classify(self, request, context):
        _refuse_unimplemented(context, "Classify")

    def Regress(self, request, context):
        _refuse_unimplemented(context, "Regress")

    def MultiInference(self, request, context):
        _refuse_unimplemented(context, "MultiInference")


def _refuse_unimplemented(context: grpc.ServicerContext, method: str) -> None:
    context.abort(grpc.StatusCode.UNIMPLEMENTED, f"{method} is not implemented: a tagger is called by Predict")


class _ModelService(model_service_pb2_grpc.ModelServiceServicer):
    def __init__(self, manager: ModelManager):
        self._manager = manager

    def GetModelStatus(self, request, context):
        with _refusing(context):
            _check_model_spec(request)
            name = request.model_spec.name
            statuses = self._manager.statuses(name)
            if request.model_spec.HasField("version"):
                version = request.model_spec.version.value
                if version not in statuses:
                    message = f"Could not find version {version} of model {name}"
                    raise ServingError(grpc.StatusCode.NOT_FOUND, message)
                statuses = {version: statuses[version]}
            if not statuses:
                message = f"Could not find any versions of model {name}"
                raise ServingError(grpc.StatusCode.NOT_FOUND, message)
            return get_model_status_pb2.GetModelStatusResponse(model_version_status=statuses.values())

    def HandleReloadConfigRequest(self, request, context):
        with _refusing(context):
            if request.config.WhichOneof("config") != "model_config_list":
                raise invalid_argument(
                    "ServerModelConfig type not supported by HandleReloadConfigRequest. "
                    "Only ModelConfigList is currently supported"
                )
            self._manager.reload(request.config.model_config_list)
            return model_management_pb2.ReloadConfigResponse(status=status_pb2.StatusProto())


if __name__ == "__main__":
    importlib.import_module("faketagger.serving.commands.serve").main(sys.argv)  # Which imports this module.
