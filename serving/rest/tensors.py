"""JSON as TensorFlow Serving's REST API has it, to arrays and back: rows (`instances`) or columns (`inputs`)."""

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from faketagger.serving.servable import invalid_argument

# A parsed value takes up to 72 bytes for the two that it has in JSON. Pictures in base64 are one value each.
MOST_VALUES = 4_000_000

_MOST_DIMENSIONS = 8
_BYTES_SUFFIX = "_bytes"
_ROWS, _COLUMNS = "instances", "inputs"
_INTEGERS = {tf.int8, tf.int16, tf.int32, tf.int64, tf.uint8, tf.uint16, tf.uint32, tf.uint64}


class Body(NamedTuple):
    """A predict request: the signature's name, its inputs as JSON has them, and whether they come in rows."""

    signature: str
    inputs: Any
    in_rows: bool


def parse(body: bytes) -> Body:
    """Reads a request's body; ServingError where it is no such JSON."""
    if sum(body.count(sign) for sign in (b",", b"[", b"{")) > MOST_VALUES:
        raise invalid_argument(f"JSON of over {MOST_VALUES:,} values is not taken: send fewer rows, or use gRPC")
    try:
        document = json.loads(body)
    except RecursionError:
        raise invalid_argument("JSON Parse error: nested too deeply") from None
    except ValueError as error:  # Of JSON or of UTF-8.
        raise invalid_argument(f"JSON Parse error: {error}") from error
    if not isinstance(document, dict):
        raise invalid_argument("JSON Parse error: expected an object")
    signature = document.get("signature_name", "")
    if not isinstance(signature, str):
        raise invalid_argument("'signature_name' must be a string")
    given = [name for name in (_ROWS, _COLUMNS) if name in document]
    if len(given) != 1:
        raise invalid_argument(f"Expected either '{_COLUMNS}' or '{_ROWS}', found {' and '.join(given) or 'neither'}")
    in_rows = given == [_ROWS]
    inputs = document[given[0]]
    if in_rows and not (isinstance(inputs, list) and inputs):
        raise invalid_argument(f"'{_ROWS}' must be a list of at least one row")
    return Body(signature, inputs, in_rows)


def arrays(body: Body, types: Mapping[str, tf.DType]) -> dict[str, np.ndarray]:
    """The inputs of a request.

    Args:
      body: of the request.
      types: of the signature's inputs, by name.

    Raises:
      ServingError: they are not the signature's; it says which, and of rows which one.
    """
    columns = _columns_of_rows(body.inputs, set(types)) if body.in_rows else _columns(body.inputs, set(types))
    return {name: _array(name, column, types[name]) for name, column in columns.items()}


def answer(outputs: Mapping[str, tf.Tensor], in_rows: bool) -> bytes:
    """The JSON of what a signature gives, in rows or columns."""
    values = {name: _values(name, tensor) for name, tensor in outputs.items()}
    if not in_rows:
        return _dump({"outputs": _bare(values)})
    counts = {len(value) if isinstance(value, list) else -1 for value in values.values()}
    if len(counts) != 1 or -1 in counts:
        raise invalid_argument("The outputs are no rows of one batch: ask for columns, by 'inputs'")
    rows = [_bare(dict(zip(values, row))) for row in zip(*values.values())]
    return _dump({"predictions": rows})


def _dump(document: Any) -> bytes:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


def _bare(values: dict[str, Any]) -> Any:
    """A single one goes without its name."""
    return values if len(values) > 1 else next(iter(values.values()))


def _columns(inputs: Any, names: set[str]) -> dict[str, Any]:
    if isinstance(inputs, dict) and not _is_base64(inputs):
        if missing := names - set(inputs):
            raise invalid_argument(f"'{_COLUMNS}' lacks {', '.join(sorted(missing))}")
        return {name: inputs[name] for name in names}
    if len(names) > 1:
        raise invalid_argument(f"'{_COLUMNS}' must be an object of {', '.join(sorted(names))}")
    return {name: inputs for name in names}


def _columns_of_rows(rows: list, names: set[str]) -> dict[str, list]:
    if not isinstance(rows[0], dict) or _is_base64(rows[0]):
        if len(names) > 1:
            raise invalid_argument(f"'{_ROWS}' must hold objects of {', '.join(sorted(names))}")
        return {name: rows for name in names}
    for place, row in enumerate(rows):
        if not isinstance(row, dict) or set(row) != names:
            raise invalid_argument(f"Row {place} of '{_ROWS}' must be an object of {', '.join(sorted(names))}")
    return {name: [row[name] for row in rows] for name in names}


def _is_base64(value: Any) -> bool:
    return isinstance(value, dict) and set(value) == {"b64"} and isinstance(value["b64"], str)


def _array(name: str, value: Any, dtype: tf.DType) -> np.ndarray:
    shape, inner = [], value
    while isinstance(inner, list):
        shape.append(len(inner))
        inner = inner[0] if inner else None
    if len(shape) > _MOST_DIMENSIONS:
        raise invalid_argument(f"Input {name} has over {_MOST_DIMENSIONS} dimensions")
    flat: list = [value]
    for size in shape:
        if not all(isinstance(each, list) and len(each) == size for each in flat):
            raise invalid_argument(f"Input {name} is ragged: lists of one level must have one length")
        flat = [each for several in flat for each in several]
    try:
        return np.array(_converted(flat, dtype), object if dtype == tf.string else dtype.as_numpy_dtype).reshape(shape)
    except (TypeError, ValueError, OverflowError) as error:
        raise invalid_argument(f"Input {name}: expected {dtype.name}: {error}") from error


def _converted(values: list, dtype: tf.DType) -> list:
    """ValueError where JSON's type is not that of the input."""
    if dtype == tf.string:
        return [_bytes(value) for value in values]
    if dtype == tf.bool:
        taken: tuple[type, ...] = (bool,)
    elif dtype in _INTEGERS:
        taken = (int,)
    elif dtype.is_floating:
        taken = (int, float)
    else:
        raise ValueError("this type has no form in JSON")
    for value in values:
        if not isinstance(value, taken) or (isinstance(value, bool) and dtype != tf.bool):
            raise ValueError(f"found {_kind(value)}")
        if dtype in _INTEGERS and not dtype.min <= value <= dtype.max:
            raise ValueError(f"found {value:.3g}, which it does not hold")
    return values


def _bytes(value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode()
    if not _is_base64(value):
        raise ValueError(f'found {_kind(value)}, not a string or {{"b64": "…"}}')
    text = "".join(value["b64"].split())
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except binascii.Error as error:
        raise ValueError(f"unable to decode base64: {error}") from error


def _kind(value: Any) -> str:
    kinds = {dict: "an object", list: "a list", str: "a string", bool: "true or false", type(None): "null"}
    return kinds.get(type(value), "a number")


def _values(name: str, tensor: tf.Tensor) -> Any:
    """Numbers are written as shortly as their type allows, as TensorFlow Serving does."""
    values = tensor.numpy()
    if tensor.dtype == tf.string:
        return _each(values.tolist() if values.shape else values.item(), name.endswith(_BYTES_SUFFIX))
    if tensor.dtype.is_floating:
        return values.astype(str).astype(np.float64).tolist()
    if tensor.dtype in _INTEGERS or tensor.dtype == tf.bool:
        return values.tolist()
    raise invalid_argument(f"Output {name}: {tensor.dtype.name} has no form in JSON")


def _each(value: Any, in_base64: bool) -> Any:
    if isinstance(value, list):
        return [_each(item, in_base64) for item in value]
    if not in_base64:
        try:
            return value.decode()
        except UnicodeDecodeError:  # TensorFlow Serving would write bytes that are no JSON.
            pass
    return {"b64": base64.b64encode(value).decode()}
