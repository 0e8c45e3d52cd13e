"""TensorFlow Serving's REST API: predict, status and metadata of models; and its metrics."""

import asyncio
import dataclasses
import json
import re
from collections.abc import Callable

import grpc
from absl import logging
from google.protobuf import json_format, message
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2, model_pb2

from faketagger.serving.calls import SIGNATURE_DEF, Calls
from faketagger.serving.model_manager import MAX_VERSION
from faketagger.serving.rest import tensors
from faketagger.serving.servable import ServingError, invalid_argument
from faketagger.serving.web import bodies
from faketagger.serving.workers import Workers

_MODEL = r"/v1/models(?:/(?P<name>[^/:]+))?(?:/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?"
_CALL = re.compile(_MODEL + r":(?P<method>classify|regress|predict)", re.IGNORECASE)
_LOOK = re.compile(_MODEL + r"(?P<metadata>/metadata)?", re.IGNORECASE)
_CODES = {
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.FAILED_PRECONDITION: 400,
    grpc.StatusCode.OUT_OF_RANGE: 400,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ABORTED: 409,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.CANCELLED: 499,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
}


@dataclasses.dataclass(frozen=True)
class Limits:
    """Of REST calls.

    Attributes:
      most_bytes: of a body.
      body_seconds: in which it must have come.
      answer_seconds: in which it is answered, or given up.
    """

    most_bytes: int
    body_seconds: float
    answer_seconds: float = 30.0


def make_app(calls: Calls, predicting: Workers, asking: Workers, limits: Limits, metrics_path: str = "") -> Starlette:
    """The application.

    Args:
      calls: what is called.
      predicting, asking: the threads that calls of models, and others, wait for; gRPC's calls share them.
      limits: of the calls.
      metrics_path: where the metrics are; empty for nowhere.
    """
    api = _Api(calls, predicting, asking, limits.answer_seconds)
    routes = [Route(metrics_path, api.metrics)] if metrics_path else []
    limited = Middleware(bodies.LimitedBodies, most=limits.most_bytes, seconds=limits.body_seconds)
    return Starlette(
        routes=[*routes, Route("/v1/{path:path}", api.model, methods=["GET", "POST"])],
        middleware=[limited],
        exception_handlers={
            ServingError: _refused,
            HTTPException: _failed,
            ClientDisconnect: bodies.gone,
            Exception: _broke,
        },
    )


class _Api:
    def __init__(self, calls: Calls, predicting: Workers, asking: Workers, seconds: float):
        self._calls, self._predicting, self._asking, self._seconds = calls, predicting, asking, seconds

    async def metrics(self, request: Request) -> Response:
        return Response(self._calls.metrics.page(), media_type="text/plain")

    async def model(self, request: Request) -> Response:
        path = request.scope["path"]
        if request.method == "POST" and (asked := _CALL.fullmatch(path)):
            if asked["method"].lower() != "predict":
                raise ServingError(grpc.StatusCode.UNIMPLEMENTED, f"{asked['method']}: a tagger is called by predict")
            return await self._answer(self._predicting, self._predict, _spec(asked), await request.body())
        if request.method == "GET" and (asked := _LOOK.fullmatch(path)):
            look = self._metadata if asked["metadata"] else self._status
            return await self._answer(self._asking, look, _spec(asked), b"")
        raise invalid_argument(f"Malformed request: {request.method} {path}")

    async def _answer(self, workers: Workers, work: Callable, spec: model_pb2.ModelSpec, body: bytes) -> Response:
        try:
            answering = workers.run(lambda given: work(spec, given), body)
            return Response(await asyncio.wait_for(answering, self._seconds), media_type="application/json")
        except asyncio.TimeoutError:
            said = f"No answer within {self._seconds:g} s"
            raise ServingError(grpc.StatusCode.DEADLINE_EXCEEDED, said) from None

    def _predict(self, spec: model_pb2.ModelSpec, body: bytes) -> bytes:
        with self._calls.metrics.request(spec.name, "predict", "REST"):
            asked = tensors.parse(body)
            found = self._calls.predict_arrays(spec, asked.signature, lambda types: tensors.arrays(asked, types))
            return tensors.answer(found, asked.in_rows)

    def _status(self, spec: model_pb2.ModelSpec, _: bytes) -> bytes:
        answer = self._calls.status(get_model_status_pb2.GetModelStatusRequest(model_spec=spec))
        return json.dumps(_fields(answer), indent=1).encode()

    def _metadata(self, spec: model_pb2.ModelSpec, _: bytes) -> bytes:
        asked = get_model_metadata_pb2.GetModelMetadataRequest(model_spec=spec, metadata_field=[SIGNATURE_DEF])
        answer, signatures = self._calls.metadata(asked), get_model_metadata_pb2.SignatureDefMap()
        answer.metadata[SIGNATURE_DEF].Unpack(signatures)
        told = {"model_spec": _fields(answer.model_spec), "metadata": {SIGNATURE_DEF: _fields(signatures)}}
        return json.dumps(told, indent=1).encode()


def _spec(asked: re.Match) -> model_pb2.ModelSpec:
    if not asked["name"]:
        raise invalid_argument("Missing model name in request.")
    spec = model_pb2.ModelSpec(name=asked["name"])
    if asked["version"]:
        if len(asked["version"]) > 19 or int(asked["version"]) > MAX_VERSION:
            raise invalid_argument(f"Failed to convert version: {asked['version'][:30]} to numeric.")
        spec.version.value = int(asked["version"])
    elif asked["label"]:
        spec.version_label = asked["label"]
    return spec


def _fields(answer: message.Message) -> dict:
    return json_format.MessageToDict(answer, including_default_value_fields=True, preserving_proto_field_name=True)


def _error(status: int, said: str, headers: dict[str, str] | None = None) -> Response:
    return Response(json.dumps({"error": said}), status, headers, "application/json")


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, ServingError)
    return _error(_CODES.get(error.code, 500), error.message, {"Retry-After": "1"} if error.passing else None)


async def _failed(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _error(error.status_code, error.detail)


async def _broke(request: Request, error: Exception) -> Response:
    logging.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return _error(500, "An error of the server; its log says more")
