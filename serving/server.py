"""The embedded server: what TensorFlow Serving offers over gRPC, for machines that have only Python.

    faketagger serve --model_base_path=DIR

It serves tensorflow.serving's PredictionService (Predict, GetModelMetadata) and ModelService, and grpc.health.v1, with
TensorFlow Serving's behaviour, error codes and messages, so that one client works with both; README.md says where it
differs.
"""

import asyncio
import importlib
import os
import sys
import threading
from collections.abc import Callable, Coroutine
from typing import Any

from faketagger.components.contract import startup

startup.quiet_logs()  # Here, as TensorFlow and gRPC read it when they are loaded.

import grpc
from absl import logging
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    predict_pb2,
    status_pb2,
)
from tensorflow_serving.config import model_server_config_pb2

from faketagger.serving import limits
from faketagger.serving.first_message import FirstMessage
from faketagger.serving.model_manager import PLATFORM, ModelManager
from faketagger.serving.servable import MAX_MESSAGE_BYTES, ServingError, invalid_argument
from faketagger.serving.workers import Workers

DEFAULT_MODEL_NAME = "faketagger"

_MAX_ERROR_CHARACTERS = 1024
_SIGNATURE_DEF = "signature_def"
# TensorFlow Serving's own names, without the package; the empty one stands for the whole server.
_HEALTH_SERVICES = ("", "ModelService", "PredictionService")
# Calls that run or wait. Each holds its message; those of the largest size fill the bytes sooner.
_MOST_CALLS, _MOST_MESSAGES = 64, 4
_RETRY_AFTER = ("grpc-retry-pushback-ms", "250")  # gRPC's own name (proposal A6); what has it may be tried again.
_OPTIONS = [
    # gRPC would let two servers share a port, and clients reach one or the other.
    ("grpc.so_reuseport", 0),
    # Of one connection; half-open ones, idle ones and those whose client is gone are closed.
    ("grpc.max_concurrent_streams", 100),
    ("grpc.server_handshake_timeout_ms", 10_000),
    ("grpc.max_connection_idle_ms", 300_000),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    # Pictures are compressed; a compressed message could unpack to a thousand times its size before it is measured.
    ("grpc.compression_enabled_algorithms_bitset", 1),
]


class Server:
    """A running server; made by start_server.

    Attributes:
      port: the port it listens on.
      manager: the models it serves.
    """

    def __init__(self, manager: ModelManager, most_message_bytes: int, first_message_seconds: float):
        self.manager = manager
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="serving", daemon=True)
        self._health = health.aio.HealthServicer()
        # TensorFlow uses all cores for one picture's networks, but one for its decoding.
        cores = os.cpu_count() or 1
        self._predicting = Workers("predict", cores, _MOST_CALLS, _MOST_MESSAGES * most_message_bytes)
        self._asking = Workers("ask", 2, _MOST_CALLS, _MOST_MESSAGES * most_message_bytes)
        self._reloading = Workers("reload", 1, 4, most_message_bytes)
        self._first_message_seconds = first_message_seconds

    def start(
        self, where: str, credentials: grpc.ServerCredentials | None, options: list[tuple[str, int]], load: Callable
    ) -> None:
        """Listens, calls `load`, then serves; OSError as start_server."""
        self._thread.start()
        try:
            self.port = self._wait(self._listen(where, credentials, options))
            load()
            self._wait(self._server.start())
        except BaseException:
            self._close()
            raise

    def stop(self, grace_seconds: float = 5.0) -> None:
        """Refuses new calls, and says so in its health; gives those under way `grace_seconds`; unloads the models."""
        if not self._thread.is_alive():
            return
        self._wait(self._health.enter_graceful_shutdown())
        self._wait(self._server.stop(grace_seconds))
        for workers in (self._predicting, self._asking, self._reloading):
            workers.stop()
        self.manager.stop()
        self._close()

    def tell_health(self) -> None:
        """Says whether the models can be called; from any thread."""
        ready = self.manager.ready()
        serving = health_pb2.HealthCheckResponse.SERVING if ready else health_pb2.HealthCheckResponse.NOT_SERVING
        for name in _HEALTH_SERVICES:
            asyncio.run_coroutine_threadsafe(self._health.set(name, serving), self._loop)

    async def _listen(self, where: str, credentials: grpc.ServerCredentials | None, options: list) -> int:
        first = FirstMessage(self._first_message_seconds)
        self._server = grpc.aio.server(interceptors=[first], options=options)
        self._server.add_generic_rpc_handlers(self._handlers())
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        return _bind(self._server, where, credentials)

    def _handlers(self) -> tuple[grpc.GenericRpcHandler, ...]:
        calls = _Calls(self.manager)
        predicting, asking, reloading = self._predicting, self._asking, self._reloading
        services = {
            "PredictionService": {
                "Predict": _method(predicting, predict_pb2.PredictRequest, calls.predict),
                "GetModelMetadata": _method(asking, get_model_metadata_pb2.GetModelMetadataRequest, calls.metadata),
                **{name: _unimplemented(name) for name in ("Classify", "Regress", "MultiInference")},
            },
            "ModelService": {
                "GetModelStatus": _method(asking, get_model_status_pb2.GetModelStatusRequest, calls.status),
                "HandleReloadConfigRequest": _method(reloading, model_management_pb2.ReloadConfigRequest, calls.reload),
            },
        }
        return tuple(
            grpc.method_handlers_generic_handler(f"tensorflow.serving.{service}", methods)
            for service, methods in services.items()
        )

    def _wait(self, coroutine: Coroutine) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def _close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()


def start_server(
    model_base_path: str,
    port: int = 0,
    *,
    model_name: str = DEFAULT_MODEL_NAME,
    host: str = "localhost",
    credentials: grpc.ServerCredentials | None = None,
    max_message_bytes: int = MAX_MESSAGE_BYTES,
    max_pixels: int = limits.MAX_PIXELS,
    poll_seconds: float = 1.0,
    first_message_seconds: float = 20.0,
) -> Server:
    """Loads the newest version under `model_base_path` and serves it, and each newer one that appears there.

    Args:
      model_base_path: the directory of directories named by version number, as TFX's Pusher fills it.
      port: 0 for any free one.
      model_name: the name that clients ask for.
      host: the address to listen on; 0.0.0.0 for all.
      credentials: grpc.ssl_server_credentials(…), or None for plain text.
      max_message_bytes: larger requests and responses are refused.
      max_pixels: calls whose pictures have more together are refused.
      poll_seconds: how often to look for a new version.
      first_message_seconds: calls whose message is not there by then are ended.

    Raises:
      OSError: the address is in use or not of this machine.
    """
    manager = ModelManager(poll_seconds, lambda _: server.tell_health(), max_pixels)
    server = Server(manager, max_message_bytes, first_message_seconds)
    options = [
        *_OPTIONS,
        ("grpc.max_receive_message_length", max_message_bytes),
        ("grpc.max_send_message_length", max_message_bytes),
    ]
    config = model_server_config_pb2.ModelConfigList()
    config.config.add(name=model_name, base_path=absolute(model_base_path), model_platform=PLATFORM)
    server.start(address(host, port), credentials, options, lambda: manager.start(config))
    return server


def _bind(server: grpc.aio.Server, where: str, credentials: grpc.ServerCredentials | None) -> int:
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


def _method(workers: Workers, kind: type, answer: Callable) -> grpc.RpcMethodHandler:
    """A method that takes a message of a kind; parsing and answering are the workers'."""

    def work(message: bytes) -> bytes:
        try:
            request = kind.FromString(message)
        except Exception as error:
            raise invalid_argument(f"Malformed message: it is no {kind.DESCRIPTOR.name}") from error
        return answer(request).SerializeToString()

    async def handle(message: bytes, context: grpc.aio.ServicerContext) -> bytes:
        try:
            return await workers.run(work, message)
        except ServingError as error:
            await _refuse(context, error)
        except Exception:  # What it says may hold more than a stranger should know.
            logging.exception("a call failed")
            await context.abort(grpc.StatusCode.INTERNAL, "An error of the server; its log says more")

    return grpc.unary_unary_rpc_method_handler(handle)


async def _refuse(context: grpc.aio.ServicerContext, error: ServingError) -> None:
    message = error.message
    if len(message) > _MAX_ERROR_CHARACTERS:
        message = message[:_MAX_ERROR_CHARACTERS] + "...TRUNCATED"
    await context.abort(error.code, message, (_RETRY_AFTER,) if error.passing else ())


def _unimplemented(name: str) -> grpc.RpcMethodHandler:
    async def handle(message: bytes, context: grpc.aio.ServicerContext) -> None:
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, f"{name} is not implemented: a tagger is called by Predict")

    return grpc.unary_unary_rpc_method_handler(handle)


def _check_model_spec(request) -> None:
    if not request.HasField("model_spec"):
        raise invalid_argument("Missing ModelSpec")


class _Calls:
    """What the methods answer; they raise ServingErrors."""

    def __init__(self, manager: ModelManager):
        self._manager = manager

    def predict(self, request: predict_pb2.PredictRequest) -> predict_pb2.PredictResponse:
        _check_model_spec(request)
        version, servable = self._manager.find(request.model_spec)
        response = servable.predict(request)
        response.model_spec.name = request.model_spec.name
        response.model_spec.version.value = version
        return response

    def metadata(
        self, request: get_model_metadata_pb2.GetModelMetadataRequest
    ) -> get_model_metadata_pb2.GetModelMetadataResponse:
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

    def status(
        self, request: get_model_status_pb2.GetModelStatusRequest
    ) -> get_model_status_pb2.GetModelStatusResponse:
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

    def reload(self, request: model_management_pb2.ReloadConfigRequest) -> model_management_pb2.ReloadConfigResponse:
        if request.config.WhichOneof("config") != "model_config_list":
            raise invalid_argument(
                "ServerModelConfig type not supported by HandleReloadConfigRequest. "
                "Only ModelConfigList is currently supported"
            )
        self._manager.reload(request.config.model_config_list)
        return model_management_pb2.ReloadConfigResponse(status=status_pb2.StatusProto())


if __name__ == "__main__":
    importlib.import_module("faketagger.serving.commands.serve").main(sys.argv)  # Which imports this module.
