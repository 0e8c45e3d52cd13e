"""Reads layers models of TensorFlow.js: a model.json, which holds a Keras topology, and the shards of its weights.

Such files lie in npm packages of anybody's. Unlike a SavedModel, a topology is no program: it is rebuilt here from
layers that are listed below and from plain settings alone, and no variable is made beyond what the shards hold.
Graph models (`tf.loadGraphModel`) are programs of TensorFlow's own operations and are not read.
"""

import collections
import json
import keyword
import math
import os
import re
from collections.abc import Mapping
from typing import Any

import tensorflow as tf
from tensorflow import keras

from faketagger.components.contract import manifest
from faketagger.components.contract.settings import shown
from faketagger.components.simulator.foreign import base, saved_model, tfjs_weights

MODEL_FILE = "model.json"

_MAX_JSON_BYTES = 32 * 1024**2
_MAX_CALLS = 4096  # Keras takes seconds for as many layers.
_ANY_SIDE = 64  # To try a network that takes any size, where nobody says which.

_CONTAINERS = ("Model", "Functional", "Sequential")
_LAYERS = frozenset(
    "InputLayer Activation ReLU LeakyReLU PReLU ELU ThresholdedReLU Softmax Conv2D Conv2DTranspose DepthwiseConv2D "
    "SeparableConv2D Dense Embedding BatchNormalization LayerNormalization Add Subtract Multiply Average Maximum "
    "Minimum Concatenate Dot MaxPooling2D AveragePooling2D GlobalAveragePooling2D GlobalMaxPooling2D UpSampling2D "
    "ZeroPadding2D Cropping2D Reshape Flatten Permute RepeatVector Rescaling Resizing Dropout SpatialDropout2D "
    "GaussianNoise GaussianDropout AlphaDropout".split()
)
_ACTIVATIONS = frozenset(
    "linear relu relu6 leaky_relu elu selu gelu sigmoid hard_sigmoid tanh softmax softplus softsign swish silu mish "
    "exponential".split()
)
# Of use to a training alone.
_DROPPED = ("_initializer", "_regularizer", "_constraint")
_WORDS = ("data_format", "padding", "interpolation")
# What Keras raises at settings that it does not expect.
_KERAS_ERRORS = (
    ValueError,
    RecursionError,
    TypeError,
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    NameError,
    tf.errors.OpError,
)
_DTYPES = ("float32", "float16", "int32", "mixed_float16")


def find(path: str) -> str | None:
    """The model.json that a path means, itself or the folder that holds it; None when it means none."""
    inside = os.path.join(path, MODEL_FILE)
    if os.path.isfile(inside):
        return inside
    return path if path.lower().endswith(".json") and os.path.isfile(path) else None


def read(path: str, said: saved_model.Description, side: int | None = None) -> base.Foreign:
    """Reads a generator.

    Args:
      path: its model.json, or the folder that holds it.
      said: what its topology does not show, as of a SavedModel; there is no signature to choose.
      side: of the pictures it is going to be given, where it takes any: for that its tensors must be small enough.

    Raises:
      ValueError: it is no layers model, has other layers than such that make pictures of pictures, its shards do not
        hold what it declares, or a flag is missing; the message says where, what was expected and what was found.
    """
    path = find(path) or path
    held = _load(path)
    weights = tfjs_weights.declared(held.get(tfjs_weights.MANIFEST), path)
    model = _build(held["modelTopology"], weights.count, path)
    _assign(model, weights, path)
    return saved_model.wrap(_signature(model, path, side or _ANY_SIDE), said, model, path)


def _load(path: str) -> dict:
    """The JSON of a layers model."""
    size = os.path.getsize(path)
    if size > _MAX_JSON_BYTES:
        raise ValueError(f"{path}: expected a model.json of at most {_MAX_JSON_BYTES:,} bytes, found {size:,}")
    try:
        with open(path, encoding="utf-8") as file:
            held = json.load(file)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not readable as JSON: {error}") from error
    topology = held.get("modelTopology") if isinstance(held, dict) else None
    if not isinstance(topology, dict):
        found = ", ".join(held) if isinstance(held, dict) else shown(held)
        raise ValueError(
            f"{path}: expected the model.json of a TensorFlow.js layers model, with modelTopology and "
            f"{tfjs_weights.MANIFEST}; found {found}"
        )
    if held.get("format") == "graph-model" or "node" in topology:
        raise ValueError(
            f"{path}: a TensorFlow.js graph model, which is a frozen graph for browsers; only layers models are read: "
            "give the SavedModel that it was converted from"
        )
    return held


def _build(topology: Mapping, most: int, path: str) -> keras.Model:
    """The network, its weights not set; at most so many values of them."""
    entry = topology.get("model_config", topology)
    where = f"{path}: modelTopology"
    try:
        config = _container(_snake_keys(entry, where), where, _Zeros(most))
        calls = _calls(config)
    except RecursionError:
        raise ValueError(f"{where}: lists or models lie too deep in one another") from None
    if calls > _MAX_CALLS:
        raise ValueError(f"{where}: expected at most {_MAX_CALLS:,} calls of layers, found {calls:,}")
    try:
        model = keras.models.model_from_config(config)
    except _KERAS_ERRORS as error:
        raise ValueError(f"{where}: cannot be built: {error}") from error
    if not model.inputs:
        raise ValueError(f"{where}: shows no shape of the input")
    return model


def _calls(entry: dict) -> int:
    """How many calls of layers a configuration comes to: those of a model within it count whenever it is called."""
    layers = entry["config"].get("layers") if entry["class_name"] in _CONTAINERS else None
    inside = 1 if layers is None else sum(map(_calls, layers))
    return inside * max(1, len(entry.get("inbound_nodes", ())))


class _Zeros:
    """Sets variables to zero, unless they become more than the shards hold: a topology may claim any shape."""

    def __init__(self, most: int):
        self._left, self._most = most, most

    def __call__(self, shape, dtype=None, **_) -> tf.Tensor:
        self._left -= math.prod(shape)
        if self._left < 0:
            raise ValueError(
                f"its layers have more weights than the {self._most:,} values of {tfjs_weights.MANIFEST}, one of them "
                f"the shape {tuple(shape)}"
            )
        return tf.zeros(shape, dtype)

    def __deepcopy__(self, memo):
        return self  # One account for all layers.


def _container(entry: Mapping, where: str, zeros: _Zeros) -> dict:
    """The configuration of a model, with nothing in it but what is known."""
    kind, config = entry.get("class_name"), entry.get("config")
    if kind not in _CONTAINERS:
        raise ValueError(f"{where}.class_name: expected {', '.join(_CONTAINERS)}, found {shown(kind)}")
    config = {"layers": config} if isinstance(config, list) else _snake_keys(config, f"{where}.config")
    layers = config.get("layers")
    if not isinstance(layers, list) or not layers:
        raise ValueError(f"{where}.config.layers: expected a list of layers, found {shown(layers)}")
    places = [f"{where}.config.layers[{index}]" for index in range(len(layers))]
    entries = [_layer(_snake_keys(each, place), place, zeros) for each, place in zip(layers, places)]
    kept = {key: _plain(config[key], f"{where}.config.{key}") for key in ("name",) if key in config}
    if kind != "Sequential":
        _check_order(entries, where)
        kept |= {key: _plain(config.get(key), f"{where}.config.{key}") for key in ("input_layers", "output_layers")}
    return {"class_name": kind, "config": {**kept, "layers": entries}}


def _layer(entry: Mapping, where: str, zeros: _Zeros) -> dict:
    kind = entry.get("class_name")
    if kind in _CONTAINERS:
        made = _container(entry, where, zeros)
    elif isinstance(kind, str) and kind in _LAYERS:
        made = {"class_name": kind, "config": _settings(kind, entry.get("config"), f"{where}, {kind}", zeros)}
    else:
        raise ValueError(
            f"{where}.class_name: expected a layer of networks that make pictures of pictures "
            f"({', '.join(sorted(_LAYERS))}), found {shown(kind)}: layers that hold code, and custom ones, are "
            "not read"
        )
    name = entry.get("name", made["config"].get("name"))
    if not isinstance(name, str):
        raise ValueError(f"{where}.name: expected a string, found {shown(name)}")
    made["config"]["name"] = name
    return {**made, "name": name, "inbound_nodes": _nodes(entry.get("inbound_nodes", []), f"{where}.inbound_nodes")}


def _settings(kind: str, config: Any, where: str, zeros: _Zeros) -> dict:
    """A layer's settings: plain ones as they are, ours for all that makes variables."""
    made = {}
    for key, value in _snake_keys(config, f"{where}.config").items():
        place = f"{where}.config.{key}"
        if key.endswith(_DROPPED):
            continue
        if key == "activation":
            made[key] = _activation(value, place)
        elif key == "dtype":
            made[key] = _dtype(value, place)
        elif key in _WORDS and isinstance(value, str):
            made[key] = _snake(value)
        else:
            made[key] = _plain(value, place)
    variables = _INITIALISERS.get(kind, ())
    return {**made, **dict.fromkeys(variables, zeros)}


# Settings of each layer that say what its variables begin with.
_INITIALISERS = {
    **dict.fromkeys(("Conv2D", "Conv2DTranspose", "Dense"), ("kernel_initializer", "bias_initializer")),
    "DepthwiseConv2D": ("depthwise_initializer", "bias_initializer"),
    "SeparableConv2D": ("depthwise_initializer", "pointwise_initializer", "bias_initializer"),
    "Embedding": ("embeddings_initializer",),
    "PReLU": ("alpha_initializer",),
    "LayerNormalization": ("beta_initializer", "gamma_initializer"),
    "BatchNormalization": (
        "beta_initializer",
        "gamma_initializer",
        "moving_mean_initializer",
        "moving_variance_initializer",
    ),
}


def _activation(value: Any, where: str) -> str | None:
    """An activation by name; TensorFlow.js and newer Keras may write an object with its name."""
    name = _snake_keys(value, where).get("class_name") if isinstance(value, dict) else value
    name = _snake(name) if isinstance(name, str) else name
    if name is not None and not (isinstance(name, str) and name in _ACTIVATIONS):
        raise ValueError(f"{where}: expected {', '.join(sorted(_ACTIVATIONS))}, found {shown(value)}")
    return name


def _dtype(value: Any, where: str) -> str | None:
    if isinstance(value, dict):  # A policy.
        value = _snake_keys(value.get("config"), where).get("name")
    if value is not None and value not in _DTYPES:
        raise ValueError(f"{where}: expected {', '.join(_DTYPES)}, found {shown(value)}")
    return value


def _nodes(nodes: Any, where: str) -> list:
    """Of each call of a layer, what it is called with: [layer's name, its call, its output, {}]."""
    if isinstance(nodes, list) and all(isinstance(node, list) for node in nodes):
        # A single tensor may stand without the list around it.
        calls = [[node] if node and isinstance(node[0], str) else node for node in nodes]
        if all(calls) and all(_is_tensor(each) for call in calls for each in call):
            return [[[*each[:3], {}] for each in call] for call in calls]
    raise ValueError(
        f"{where}: expected lists of [layer, node, tensor, {{}}] without further arguments, found {shown(nodes)}"
    )


def _is_tensor(each: Any) -> bool:
    return (
        isinstance(each, list)
        and len(each) in (3, 4)
        and isinstance(each[0], str)
        and all(type(index) is int and index >= 0 for index in each[1:3])
        and not (set(each[3]) - {"training"} if len(each) == 4 and isinstance(each[3], dict) else each[3:])
    )


def _check_order(layers: list[dict], where: str) -> None:
    """Raises ValueError where layers wait for each other in a circle or for one that is not there: Keras would hang."""
    if len({each["name"] for each in layers}) != len(layers):
        raise ValueError(f"{where}: two layers of the same name")
    missing = {
        (each["name"], index): {(name, node) for name, node, *_ in call}
        for each in layers
        # A model's first call is that which it was made with.
        for index, call in enumerate(each["inbound_nodes"], each["class_name"] in _CONTAINERS)
    }
    waiting = collections.defaultdict(list)
    for key, needed in missing.items():
        for each in needed:
            waiting[each].append(key)
    ready = [(each["name"], 0) for each in layers if each["class_name"] == "InputLayer"]
    while ready:
        made = ready.pop()
        for key in waiting.pop(made, ()):
            missing[key].remove(made)
            if not missing[key]:
                ready.append(key)
    stuck = {name for (name, _), needed in missing.items() if needed}
    if stuck:
        raise ValueError(f"{where}: layers whose inbound_nodes are not there or wait for them: {base.listed(stuck)}")


def _plain(value: Any, where: str) -> Any:
    """Numbers, words and lists of such as they are; ValueError for what could name an object."""
    if isinstance(value, list):
        return [_plain(each, where) for each in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise ValueError(f"{where}: expected a number, a word or a list, found {shown(value)}")


def _snake_keys(entry: Any, where: str) -> dict:
    if not isinstance(entry, dict):
        raise ValueError(f"{where}: expected an object, found {shown(entry)}")
    return {_snake(key): value for key, value in entry.items()}


def _snake(name: str) -> str:
    """TensorFlow.js writes `batchInputShape` where Keras writes `batch_input_shape`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def _assign(model: keras.Model, weights: tfjs_weights.Weights, path: str) -> None:
    """Sets the network's variables by name; ValueError when names or shapes do not fit."""
    variables = {each.name.split(":")[0]: each for each in model.weights}
    if len(variables) != len(model.weights):
        raise ValueError(f"{path}: modelTopology: two layers whose weights have the same names")
    names = _matched(set(variables), set(weights.tensors))
    base.check_match(
        {names.get(name, name): tensor for name, tensor in weights.tensors.items()},
        {name: tuple(each.shape) for name, each in variables.items()},
        f"{path}: {tfjs_weights.MANIFEST} does not fit modelTopology",
    )
    for name, values in weights.read():
        variables[names.get(name, name)].assign(values)


def _matched(variables: set[str], tensors: set[str]) -> dict[str, str]:
    """Tensors whose names differ from a variable's only in the models around the layer, and that variable's name."""

    def by_layer(names: set[str]) -> dict[str, list[str]]:
        found = {}
        for name in names:
            found.setdefault("/".join(name.split("/")[-2:]), []).append(name)
        return found

    ours, theirs = by_layer(variables - tensors), by_layer(tensors - variables)
    return {theirs[key][0]: ours[key][0] for key in ours if len(ours[key]) == len(theirs.get(key, ())) == 1}


def _signature(model: keras.Model, path: str, side: int):
    """The network as a SavedModel's signature would be; ValueError when a tensor on the way is too large."""
    inputs, outputs = ([_identifier(each) for each in names] for names in (model.input_names, model.output_names))
    specs = {name: tf.TensorSpec(each.shape, each.dtype, name) for name, each in zip(inputs, model.inputs)}

    @tf.function(autograph=False)
    def call(**fed):
        values = [fed[name] for name in inputs]
        made = model(values if len(values) > 1 else values[0], training=False)
        return dict(zip(outputs, made if isinstance(made, (list, tuple)) else [made]))

    # Another trace, with every size known: nothing is computed yet.
    tried = {name: tf.TensorSpec(_known(spec.shape, path, side), spec.dtype) for name, spec in specs.items()}
    try:
        base.check_tensors(call.get_concrete_function(**tried))
        return call.get_concrete_function(**specs)
    except _KERAS_ERRORS as error:
        raise ValueError(f"{path}: modelTopology: cannot be called: {error}") from error


def _identifier(name: str) -> str:
    """A layer's name as that of a function's argument."""
    name = re.sub(r"\W|^(?=\d)", "_", name, flags=re.ASCII)
    return name + "_" if keyword.iskeyword(name) else name


def _known(shape: tf.TensorShape, path: str, side: int) -> list[int]:
    side = max(1, min(side, manifest.MAX_IMAGE_SIZE))  # What is beyond is refused later.
    sides = [each or side for each in shape[1:]]
    if any(each > manifest.MAX_IMAGE_SIZE for each in sides[:2]) or math.prod(sides) > base.MAX_VALUES:
        raise ValueError(
            f"{path}: modelTopology: expected inputs of at most {manifest.MAX_IMAGE_SIZE} pixels a side, found {shape}"
        )
    return [1, *sides]
