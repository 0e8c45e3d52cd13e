"""The embedded server: what TensorFlow Serving offers, for machines that have only Python.

    faketagger serve --model_base_path=DIR

It serves tensorflow.serving's PredictionService (Predict, GetModelMetadata) and ModelService, grpc.health.v1, and where
it is asked to the REST API and metrics (rest/), with TensorFlow Serving's behaviour, error codes and messages, so that
one client works with both; docs/serving.md says where it differs.
"""

import asyncio
import dataclasses
import importlib
import os
import socket
import sys
import threading
from collections.abc import Callable, Coroutine
from typing import Any

from faketagger.components.contract import files, startup

startup.quiet_logs()  # Here, as TensorFlow and gRPC read it when they are loaded.

import grpc
from absl import logging
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    predict_pb2,
)
from tensorflow_serving.config import model_server_config_pb2

from faketagger.serving import limits
from faketagger.serving.calls import Calls
from faketagger.serving.first_message import FirstMessage
from faketagger.serving.model_manager import PLATFORM, ModelManager
from faketagger.serving.rest import app as rest_app
from faketagger.serving.servable import MAX_MESSAGE_BYTES, ServingError, invalid_argument
from faketagger.serving.web import listener
from faketagger.serving.workers import Workers

DEFAULT_MODEL_NAME = "faketagger"

_MAX_ERROR_CHARACTERS = 1024
# TensorFlow Serving's own names, without the package; the empty one stands for the whole server.
_HEALTH_SERVICES = ("", "ModelService", "PredictionService")
# Calls that run or wait, and what their messages may have together.
_MOST_CALLS, _MOST_BYTES = 64, 256 * 2**20
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


@dataclasses.dataclass(frozen=True)
class Rest:
    """How to serve the REST API.

    Attributes:
      port: 0 for any free one.
      answer_seconds: calls that take longer are given up.
      metrics_path: where the metrics are; empty for nowhere.
      key_file, certificate_file: PEM files for TLS; None for plain text.
      client_ca_file: PEM file; where there is one, clients must show a certificate that it signed.
    """

    port: int = 0
    answer_seconds: float = 30.0
    metrics_path: str = ""
    key_file: str | None = None
    certificate_file: str | None = None
    client_ca_file: str | None = None


class Server:
    """A running server; made by start_server.

    Attributes:
      port: the port it listens on.
      rest_port: the port that REST calls go to; 0 where there is none.
      manager: the models it serves.
    """

    def __init__(self, manager: ModelManager, most_message_bytes: int, first_message_seconds: float):
        self.manager = manager
        self.port = self.rest_port = 0
        self._calls = Calls(manager)
        self._most_message_bytes = most_message_bytes
        self._rest: Any = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="serving", daemon=True)
        self._health = health.aio.HealthServicer()
        # TensorFlow uses all cores for one picture's networks, but one for its decoding.
        cores = os.cpu_count() or 1
        self._predicting = Workers("predict", cores, _MOST_CALLS, _MOST_BYTES)
        self._asking = Workers("ask", 2, _MOST_CALLS, _MOST_BYTES)
        self._reloading = Workers("reload", 1, 4, _MOST_BYTES)
        self._first_message_seconds = first_message_seconds

    def start(
        self,
        host: str,
        port: int,
        credentials: grpc.ServerCredentials | None,
        rest: Rest | None,
        load: Callable[[], None],
    ) -> None:
        """Listens, calls `load`, then serves; raises as start_server."""
        self._thread.start()
        sockets: list[socket.socket] = []
        try:
            self.port = self._wait(self._listen(address(host, port), credentials))
            if rest:
                sockets.append(_bound(host, rest.port))
            load()
            self._wait(self._server.start())
            if rest:
                self.rest_port = sockets[0].getsockname()[1]
                self._start_rest(rest, sockets)
        except BaseException:
            for listening in sockets:
                listening.close()
            self._close()
            raise

    def _start_rest(self, rest: Rest, sockets: list) -> None:
        bounds = rest_app.Limits(self._most_message_bytes, self._first_message_seconds, rest.answer_seconds)
        app = rest_app.make_app(self._calls, self._predicting, self._asking, bounds, rest.metrics_path)
        self._rest = listener.make_server(app, rest.key_file, rest.certificate_file, rest.client_ca_file)
        self._rest_ends = asyncio.run_coroutine_threadsafe(self._rest.serve(sockets), self._loop)

    def stop(self, grace_seconds: float = 5.0) -> None:
        """Refuses new calls, and says so in its health; gives those under way `grace_seconds`; unloads the models."""
        if not self._thread.is_alive():
            return
        self._wait(self._health.enter_graceful_shutdown())
        if self._rest:
            self._rest.config.timeout_graceful_shutdown = max(grace_seconds, 1.0)  # At 0 it complains.
            self._rest.should_exit = True
        self._wait(self._server.stop(grace_seconds))
        if self._rest:
            self._rest_ends.result()
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

    async def _listen(self, where: str, credentials: grpc.ServerCredentials | None) -> int:
        options = [
            *_OPTIONS,
            ("grpc.max_receive_message_length", self._most_message_bytes),
            ("grpc.max_send_message_length", self._most_message_bytes),
        ]
        first = FirstMessage(self._first_message_seconds)
        self._server = grpc.aio.server(interceptors=[first], options=options)
        self._server.add_generic_rpc_handlers(self._handlers())
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        return _bind(self._server, where, credentials)

    def _handlers(self) -> tuple[grpc.GenericRpcHandler, ...]:
        calls = self._calls
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
    models: str | model_server_config_pb2.ModelConfigList,
    port: int = 0,
    *,
    model_name: str = DEFAULT_MODEL_NAME,
    host: str = "localhost",
    credentials: grpc.ServerCredentials | None = None,
    max_message_bytes: int = MAX_MESSAGE_BYTES,
    max_pixels: int = limits.MAX_PIXELS,
    poll_seconds: float = 1.0,
    first_message_seconds: float = 20.0,
    rest: Rest | None = None,
) -> Server:
    """Loads the newest version of a model, or what a configuration wants, and each newer one that appears there.

    Args:
      models: the directory of directories named by version number, as TFX's Pusher fills it; or several models.
      port: 0 for any free one.
      model_name: the name that clients ask for, of the model in a directory.
      host: the address to listen on; 0.0.0.0 for all.
      credentials: grpc.ssl_server_credentials(…), or None for plain text.
      max_message_bytes: larger requests and responses are refused.
      max_pixels: calls whose pictures have more together are refused.
      poll_seconds: how often to look for a new version.
      first_message_seconds: calls whose message is not there by then are ended.
      rest: how to serve the REST API; None for not at all.

    Raises:
      OSError: an address is in use or not of this machine.
      ServingError: a configuration that TensorFlow Serving would refuse, or a label on what cannot be loaded.
    """
    manager = ModelManager(poll_seconds, lambda _: server.tell_health(), max_pixels)
    server = Server(manager, max_message_bytes, first_message_seconds)
    if isinstance(models, str):
        model = model_server_config_pb2.ModelConfig(
            name=model_name, base_path=files.absolute(models), model_platform=PLATFORM
        )
        models = model_server_config_pb2.ModelConfigList(config=[model])
    server.start(host, port, credentials, rest, lambda: manager.start(models))
    return server


def _bind(server: grpc.aio.Server, where: str, credentials: grpc.ServerCredentials | None) -> int:
    try:
        if credentials is None:
            return server.add_insecure_port(where)
        return server.add_secure_port(where, credentials)
    except RuntimeError as error:
        raise _cannot_listen(where) from error


def _bound(host: str, port: int) -> socket.socket:
    try:
        return listener.bound(host, port)
    except OSError as error:
        raise _cannot_listen(address(host, port)) from error


def _cannot_listen(where: str) -> OSError:
    return OSError(f"cannot listen on {where}: in use, not allowed, or no address of this machine")


def address(host: str, port: int) -> str:
    """host:port, as URLs have it."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


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


if __name__ == "__main__":
    importlib.import_module("faketagger.serving.commands.serve").main(sys.argv)  # Which imports this module.
