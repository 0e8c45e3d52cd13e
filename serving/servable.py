"""One loaded version of a SavedModel, called by signature name and named tensors as TensorFlow Serving calls it."""

import math
import os
from collections.abc import Callable, Mapping, Sequence

from faketagger.components.contract import startup

startup.quiet_logs()  # Here, as TensorFlow and gRPC read it when they are loaded.

import grpc
import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from faketagger.components.contract import signatures
from faketagger.serving import decoding, limits

SAVED_MODEL_FILE = "saved_model.pb"
WARM_UP_FILE = os.path.join("assets.extra", "tf_serving_warmup_requests")
MAX_WARM_UP_RECORDS = 1000
MAX_MESSAGE_BYTES = 2047 * 2**20  # As TensorFlow Serving, which takes what gRPC can.

_CODES = {code.value[0]: code for code in grpc.StatusCode}
_TYPED_FIELDS = {
    **dict.fromkeys((tf.int8, tf.int16, tf.int32, tf.uint8, tf.uint16), "int_val"),
    tf.float32: "float_val",
    tf.float64: "double_val",
    tf.int64: "int64_val",
    tf.uint32: "uint32_val",
    tf.uint64: "uint64_val",
    tf.bool: "bool_val",
    tf.string: "string_val",
}
_SENT_FIELDS = {**_TYPED_FIELDS, tf.float16: "half_val", tf.bfloat16: "half_val"}


class ServingError(Exception):
    """A call that TensorFlow Serving would refuse.

    Attributes:
      code: the gRPC status code.
      message: what TensorFlow Serving would say.
      passing: whether the same call may succeed a moment later.
    """

    def __init__(self, code: grpc.StatusCode, message: str, passing: bool = False):
        super().__init__(message)
        self.code = code
        self.message = message
        self.passing = passing


def invalid_argument(message: str) -> ServingError:
    """The commonest ServingError."""
    return ServingError(grpc.StatusCode.INVALID_ARGUMENT, message)


class Servable:
    """A SavedModel in memory; safe to call from several threads. It is freed with the last reference to it."""

    def __init__(self, path: str, most_pixels: int = limits.MAX_PIXELS):
        """Loads the SavedModel in the directory `path`; whatever TensorFlow raises on a broken one is raised.

        Args:
          path: the directory.
          most_pixels: that the pictures of one PredictRequest may have together.
        """
        # The object is kept, not only its signatures: they do not keep its variables alive.
        self._model = tf.saved_model.load(path, tags=[tf.saved_model.SERVING])
        self._functions: dict[tuple[str, tuple[str, ...]], Callable] = {}
        self._path = path
        self._most_pixels = most_pixels
        self.signature_defs = _read_signature_defs(path)

    def run(
        self, signature: str, inputs: Mapping[str, np.ndarray], outputs: Sequence[str] = ()
    ) -> dict[str, tf.Tensor]:
        """Calls a signature; `outputs` names the ones wanted, none for all.

        Raises:
          ServingError: no such signature, inputs or outputs that it does not have, or a failure inside the model.
        """
        function = self._model.signatures.get(signature)
        if function is None:
            message = f'Serving signature key "{signature}" not found.'
            raise ServingError(grpc.StatusCode.FAILED_PRECONDITION, message)
        _check_inputs(function.structured_input_signature[1], inputs)
        _check_outputs(function.structured_outputs, outputs)
        try:
            results = self._pruned(signature, function, outputs)(
                **{name: tf.constant(value) for name, value in inputs.items()}
            )
        except tf.errors.OpError as error:
            raise ServingError(_CODES.get(error.error_code, grpc.StatusCode.UNKNOWN), _cause(error)) from error
        return {name: results[name] for name in outputs or results}

    def _pruned(self, signature: str, function: Callable, outputs: Sequence[str]) -> Callable:
        """A signature's function without what the outputs wanted do not need, where they are but a few."""
        if not outputs or 2 * len(outputs) > len(function.structured_outputs):
            return function
        outputs = tuple(outputs)  # A field of a request keeps all of the request in memory.
        key = signature, tuple(sorted(outputs))
        if key not in self._functions:
            specs = function.structured_input_signature[1]

            def some(*values):
                results = function(**dict(zip(specs, values)))
                return {name: results[name] for name in outputs}

            pruned = tf.function(some, list(specs.values()))
            self._functions[key] = lambda **inputs: pruned(*(inputs[name] for name in specs))
        return self._functions[key]

    def predict(self, request: predict_pb2.PredictRequest) -> predict_pb2.PredictResponse:
        """Answers a PredictRequest, whatever model it names; the response's model_spec has but the signature's name."""
        inputs = {name: _to_array(name, proto) for name, proto in request.inputs.items()}
        results = self.call(request.model_spec.signature_name, inputs, request.output_filter)
        response = predict_pb2.PredictResponse()
        response.model_spec.signature_name = _signature(request.model_spec.signature_name)
        for name, tensor in results.items():
            response.outputs[name].CopyFrom(_to_proto(tensor))
        return response

    def call(self, signature: str, inputs: dict[str, np.ndarray], outputs: Sequence[str] = ()) -> dict[str, tf.Tensor]:
        """What `run` gives, for strangers: an empty signature is the default one, and pictures are looked at first."""
        if "image" in inputs:
            inputs = {**inputs, "image": self._checked_pictures(_signature(signature), inputs["image"])}
        return self.run(_signature(signature), inputs, outputs)

    def input_types(self, signature: str) -> dict[str, tf.DType]:
        """Of a signature's inputs, by name; ServingError where there is no such signature."""
        found = self.signature_defs.get(_signature(signature))
        if found is None:
            raise invalid_argument(f'Serving signature name: "{_signature(signature)}" not found in signature def')
        return {name: tf.as_dtype(info.dtype) for name, info in found.inputs.items()}

    def _checked_pictures(self, signature: str, files: np.ndarray) -> np.ndarray:
        if files.dtype != object or signature not in self.signature_defs:
            return files
        _check_count(files.size)  # Before any is decoded.
        each_is_told = signatures.STATUS in self.signature_defs[signature].outputs
        try:
            pictures = limits.checked(files.ravel().tolist(), self._most_pixels, each_is_told)
        except ValueError as error:
            raise invalid_argument(str(error)) from error
        if decoding.is_given_up.get()():
            raise ServingError(grpc.StatusCode.CANCELLED, "The caller has gone")
        return np.array(pictures, object).reshape(files.shape)

    def warm_up(self) -> int:
        """Answers the recorded requests beside the model, at most 1000, and returns how many; none is fine.

        Raises:
          ServingError: a record that cannot be answered, or too many of them.
        """
        path = os.path.join(self._path, WARM_UP_FILE)
        if not tf.io.gfile.exists(path):
            return 0
        count = 0
        for record in tf.data.TFRecordDataset(path).as_numpy_iterator():
            if count == MAX_WARM_UP_RECORDS:
                limit = f"Number of warmup records exceeds the maximum ({MAX_WARM_UP_RECORDS}) at {path}"
                raise invalid_argument(limit)
            log = prediction_log_pb2.PredictionLog.FromString(record)
            if log.WhichOneof("log_type") != "predict_log":
                raise invalid_argument(f"Unsupported log_type for warmup: {log.WhichOneof('log_type')} at {path}")
            self.predict(log.predict_log.request)
            count += 1
        return count


def _signature(name: str) -> str:
    return name or tf.saved_model.DEFAULT_SERVING_SIGNATURE_DEF_KEY


def _read_signature_defs(path: str) -> dict[str, meta_graph_pb2.SignatureDef]:
    with tf.io.gfile.GFile(os.path.join(path, SAVED_MODEL_FILE), "rb") as file:
        saved = saved_model_pb2.SavedModel.FromString(file.read())
    graphs = [graph for graph in saved.meta_graphs if tf.saved_model.SERVING in graph.meta_info_def.tags]
    return dict(graphs[0].signature_def)


def _braces(names) -> str:
    return "{" + ",".join(sorted(names)) + "}"


def _check_inputs(specs: Mapping[str, tf.TensorSpec], inputs: Mapping[str, np.ndarray]) -> None:
    missing, extra = set(specs) - set(inputs), set(inputs) - set(specs)
    if missing or extra:
        raise invalid_argument(
            f"input size does not match signature: {len(inputs)}!={len(specs)} "
            f"len({_braces(inputs)}) != len({_braces(specs)}). "
            f"Sent extra: {_braces(extra)}. Missing but required: {_braces(missing)}."
        )
    for name, spec in specs.items():
        dtype, shape = tf.as_dtype(inputs[name].dtype), inputs[name].shape
        if dtype != spec.dtype:
            raise invalid_argument(f"Expects input {name} to be {spec.dtype.name} but {dtype.name} is provided")
        if not spec.shape.is_compatible_with(shape):
            raise invalid_argument(f"Expects input {name} to be of shape {spec.shape} but {shape} is provided")
    rows = {name: inputs[name].shape[0] for name, spec in specs.items() if spec.shape.rank}
    if len(set(rows.values())) > 1:
        found = ", ".join(f"{name} {count}" for name, count in sorted(rows.items()))
        raise invalid_argument(f"The inputs' batches differ: {found}")
    batch = max(rows.values(), default=1)
    if batch == 0:
        raise invalid_argument("The batch is empty: send at least one row")
    images = sum(inputs[name].nbytes for name, spec in specs.items() if spec.shape.rank == 4)
    if any(spec.dtype == tf.string for spec in specs.values()) or images > limits.MAX_IMAGES_BYTES:
        _check_count(batch)


def _check_count(pictures: int) -> None:
    if pictures > signatures.MAX_FILES:
        raise invalid_argument(f"A call takes {signatures.MAX_FILES} pictures at most, got {pictures}: send more calls")


def _check_outputs(known: Mapping[str, tf.TensorSpec], outputs: Sequence[str]) -> None:
    for position, name in enumerate(outputs):
        if name not in known:
            message = f"output tensor alias not found in signature: {name} Outputs expected to be in the set "
            raise invalid_argument(message + f"{_braces(known)}.")
        if name in outputs[:position]:
            raise invalid_argument(f"duplicate output tensor alias: {name}")


def _cause(error: tf.errors.OpError) -> str:
    # Before the cause, a function's errors list where its nodes were made, which a loaded model no longer knows.
    return error.message.rpartition("<stack traces unavailable>\n")[2]


def _to_array(name: str, proto: tensor_pb2.TensorProto) -> np.ndarray:
    try:
        _check_values(proto)
        return tf.make_ndarray(proto)
    except (TypeError, ValueError, OverflowError) as error:
        raise invalid_argument(f"tensor parsing error: {name}: {error}") from error


def _check_values(proto: tensor_pb2.TensorProto) -> None:
    """ValueError unless a value was sent for each that the shape declares.

    TensorFlow repeats the last one sent for those that are missing: a few bytes could claim any memory.
    """
    sizes = [dimension.size for dimension in proto.tensor_shape.dim]
    dtype = tf.as_dtype(proto.dtype)
    field = _SENT_FIELDS.get(dtype)
    if field is None:
        raise ValueError(f"type {dtype.name} is not taken")
    if proto.tensor_shape.unknown_rank or min(sizes, default=0) < 0:
        raise ValueError("its shape is not known")
    if proto.tensor_content and dtype == tf.string:
        raise ValueError("strings are sent as string_val")
    sent = len(proto.tensor_content) / dtype.size if proto.tensor_content else len(getattr(proto, field))
    if sent != math.prod(sizes):
        raise ValueError(f"its shape {sizes} declares {math.prod(sizes)} values, and {sent:g} were sent")


def _to_proto(tensor: tf.Tensor) -> tensor_pb2.TensorProto:
    field = _TYPED_FIELDS.get(tensor.dtype)
    if field is None:
        return tf.make_tensor_proto(tensor)
    # TensorFlow Serving answers in typed fields; make_tensor_proto would pack numbers into tensor_content.
    proto = tensor_pb2.TensorProto(dtype=tensor.dtype.as_datatype_enum, tensor_shape=tensor.shape.as_proto())
    getattr(proto, field).extend(np.ravel(tensor.numpy()).tolist())
    return proto
