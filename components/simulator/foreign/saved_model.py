"""Reads SavedModels whose signature is not `simulate`: other names, layout, value range, condition, batch.

A SavedModel is a program: loading it bounds its size, but run only those whose maker you trust.
"""

import dataclasses
import os
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from faketagger.components.contract.signatures import describe
from faketagger.components.simulator import library
from faketagger.components.simulator.foreign import base

NHWC, NCHW = "NHWC", "NCHW"
UNIT_RANGE = (0.0, 1.0)

Specs = dict[str, tf.TensorSpec]


@dataclasses.dataclass(frozen=True)
class Description:
    """What a user says of a SavedModel; what is None is found in its signature, where that shows it.

    Attributes:
      signature: the signature's name.
      images_input: the input that takes the pictures.
      condition_input: the input that says what to make of them.
      images_output: the output that holds the made pictures.
      layout: of the pictures, NHWC or NCHW.
      value_range: of the pictures it takes.
      output_range: of those it makes; value_range by default.
      conditions: names, for one-hot vectors in this order (or their index, or no condition input at all).
      vectors: by condition's name, what the condition input gets for it; instead of `conditions`.
    """

    signature: str | None = None
    images_input: str | None = None
    condition_input: str | None = None
    images_output: str | None = None
    layout: str | None = None
    value_range: tuple[float, float] | None = None
    output_range: tuple[float, float] | None = None
    conditions: Sequence[str] | None = None
    vectors: Mapping[str, Sequence[float]] | None = None


def read(path: str, said: Description) -> base.Foreign:
    """Reads a generator.

    Args:
      path: the SavedModel's folder.
      said: what its signature does not show.

    Raises:
      ValueError: it cannot be loaded, or neither its signature nor `said` shows something; the message says which flag
        to give, and lists what was found.
    """
    base.check_size((os.path.join(folder, name) for folder, _, names in os.walk(path) for name in names), path)
    model = library.load_saved_model(path)
    signature = _signature(model, said.signature, path)
    return wrap(signature, said, model, path)


def wrap(signature, said: Description, model, where: str) -> base.Foreign:
    """A signature, or any concrete function whose inputs and outputs have names, as `said` describes it.

    Args:
      signature: takes and makes pictures.
      said: what it does not show.
      model: what keeps its variables alive.
      where: the file, for error messages.

    Raises:
      ValueError: neither of the two shows something; the message says which flag to give.
    """
    if said.value_range is None:
        raise ValueError(f"{where}: give --value_range, that of the pictures it takes, such as 0,1 or -1,1 or 0,255")
    return _Wrapping(signature, said, where).foreign(model)


def _signature(model, name: str | None, where: str):
    found = {key: each for key, each in getattr(model, "signatures", {}).items() if not key.startswith("__")}
    if name is None and len(found) == 1:
        return next(iter(found.values()))
    if name not in found:
        shown = "; ".join(f"'{key}' takes {describe(_inputs(each))}" for key, each in sorted(found.items()))
        raise ValueError(f"{where}: give --signature, the one that makes pictures; found {shown or 'none'}")
    return found[name]


def _inputs(signature) -> Specs:
    return signature.structured_input_signature[1]


class _Wrapping:
    """How one signature is to be called; its constructor finds that out or raises ValueError."""

    def __init__(self, signature, said: Description, where: str):
        self._signature, self._where = signature, where
        inputs, outputs = _inputs(signature), signature.structured_outputs
        self._input = self._find_pictures(inputs, said.images_input, "--images_input")
        self._output = self._find_pictures(outputs, said.images_output, "--images_output")
        self._condition = self._find_condition(inputs, said.condition_input)
        spec = inputs[self._input]
        if not spec.dtype.is_floating:
            raise ValueError(
                f"{where}: input {self._input} is {spec.dtype.name}, no gradient flows through it: export the network "
                "without the conversion"
            )
        self._dtype = spec.dtype
        self._layout = _layout(spec) or said.layout
        if self._layout is None or (said.layout and said.layout != self._layout):
            raise ValueError(f"{where}: --layout: {NHWC} or {NCHW}? found {describe({self._input: spec})}")
        self._output_layout = _layout(outputs[self._output]) or self._layout
        self._range, self._output_range = said.value_range, said.output_range or said.value_range
        self._side = self._find_side(spec)
        self._conditions, self._table = self._find_table(inputs, said)
        self._single = self._takes_single(inputs)

    def foreign(self, model) -> base.Foreign:
        """The signature as a function; `model` is what keeps its variables alive."""
        return base.Foreign(self._simulate, self._conditions, model, self._side)

    def _find_pictures(self, specs: Specs, name: str | None, flag: str) -> str:
        if name is None:
            fitting = [key for key, spec in specs.items() if _looks_like_pictures(spec)] or list(specs)
            if len(fitting) == 1:
                return fitting[0]
        if name not in specs:
            raise ValueError(f"{self._where}: give {flag}, the name of the pictures; found {describe(specs)}")
        return name

    def _find_condition(self, inputs: Specs, name: str | None) -> str | None:
        others = {key: spec for key, spec in inputs.items() if key != self._input}
        if name is None and len(others) <= 1:
            return next(iter(others), None)
        if name not in others:
            raise ValueError(f"{self._where}: give --condition_input; found beside the pictures {describe(others)}")
        if len(others) > 1:
            del others[name]
            raise ValueError(f"{self._where}: nothing to feed its further inputs with: {describe(others)}")
        return name

    def _find_side(self, spec: tf.TensorSpec) -> int | None:
        if spec.shape.rank is None:
            return None
        sides = spec.shape[-3:-1] if self._layout == NHWC else spec.shape[-2:]
        known = {side for side in sides if side is not None}
        if len(known) > 1:
            raise ValueError(f"{self._where}: takes pictures of {sides[0]}×{sides[1]}; only square ones are handled")
        return next(iter(known), None)

    def _find_table(self, inputs: Specs, said: Description) -> tuple[tuple[str, ...], np.ndarray | None]:
        """The conditions' names, and what the condition input gets for each: numbers [C], vectors [C, A], or None."""
        if (said.conditions is None) == (said.vectors is None):
            takes = describe({self._condition: inputs[self._condition]}) if self._condition else "no condition"
            raise ValueError(f"{self._where}: give either --conditions or --condition_vector; it takes {takes}")
        names = tuple(said.vectors if said.conditions is None else said.conditions)
        if self._condition is None:
            if len(names) != 1 or said.vectors is not None:
                raise ValueError(f"{self._where}: takes no condition: give --conditions with one name for what it does")
            return names, None
        spec = inputs[self._condition]
        if spec.dtype.is_integer and spec.shape.rank in (0, 1) and said.vectors is None:
            return names, np.arange(len(names), dtype=spec.dtype.as_numpy_dtype)
        table = np.eye(len(names)) if said.vectors is None else list(said.vectors.values())
        lengths = {len(row) for row in table}
        size = spec.shape[-1] if spec.shape.rank in (1, 2) else None
        if spec.shape.rank not in (1, 2) or len(lengths) != 1 or size not in (None, *lengths):
            raise ValueError(
                f"{self._where}: condition input {describe({self._condition: spec})} does not take vectors of "
                f"{' or '.join(map(str, sorted(lengths)))} numbers: --conditions names all the places of a one-hot "
                "vector; --condition_vector=NAME:NUMBER,NUMBER,… gives any other vector"
            )
        return names, np.array(table, spec.dtype.as_numpy_dtype)

    def _takes_single(self, inputs: Specs) -> bool:
        """Whether it takes one picture at a time; ValueError when it takes a fixed number of them."""
        shape = inputs[self._input].shape
        batches = {shape[0] if shape.rank == 4 else 1 if shape.rank == 3 else None}
        if self._condition:
            spec = inputs[self._condition]
            vectors = self._table.ndim == 2
            has_batch = spec.shape.rank == (2 if vectors else 1)
            batches.add(spec.shape[0] if has_batch else 1)
        fixed = batches - {None, 1}
        if fixed:
            raise ValueError(f"{self._where}: takes {fixed.pop()} pictures at a time: export it for one, or any number")
        return 1 in batches

    def _simulate(self, images: tf.Tensor, condition: tf.Tensor) -> tf.Tensor:
        values = tf.zeros_like(condition) if self._table is None else tf.gather(tf.constant(self._table), condition)
        x = tf.cast(_rescale(images, UNIT_RANGE, self._range), self._dtype)
        x = tf.transpose(x, [0, 3, 1, 2]) if self._layout == NCHW else x
        if self._single:
            spec = tf.TensorSpec(None, self._signature.structured_outputs[self._output].dtype)
            made = tf.map_fn(lambda pair: self._call_single(*pair), (x, values), fn_output_signature=spec)
        else:
            made = self._call(x, values)
        made = tf.ensure_shape(tf.cast(made, tf.float32), [None] * 4)
        made = tf.transpose(made, [0, 2, 3, 1]) if self._output_layout == NCHW else made
        return _rescale(made, self._output_range, UNIT_RANGE)

    def _call_single(self, picture: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
        inputs = _inputs(self._signature)
        picture_rank = inputs[self._input].shape.rank
        x = picture if picture_rank == 3 else picture[None]
        if self._condition and inputs[self._condition].shape.rank > value.shape.rank:
            value = value[None]
        made = self._call(x, value)
        return made if made.shape.rank == 3 else made[0]

    def _call(self, x: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
        fed = {self._input: x, **({self._condition: value} if self._condition else {})}
        return self._signature(**fed)[self._output]


def _looks_like_pictures(spec: tf.TensorSpec) -> bool:
    return spec.shape.rank in (3, 4) and 3 in (spec.shape[-1], spec.shape[-3])


def _layout(spec: tf.TensorSpec) -> str | None:
    """What the channels' place shows; None where both or neither could be it."""
    if not _looks_like_pictures(spec) or spec.shape[-1] == spec.shape[-3]:
        return None
    return NHWC if spec.shape[-1] == 3 else NCHW


def _rescale(x: tf.Tensor, source: tuple[float, float], target: tuple[float, float]) -> tf.Tensor:
    scale = (target[1] - target[0]) / (source[1] - source[0])
    return (x - source[0]) * scale + target[0]
