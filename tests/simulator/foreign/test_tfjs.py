"""Layers models of TensorFlow.js as simulators. The files are written here, byte by byte as the converter lays them."""

import inspect
import json
import re
import time

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from faketagger.components.simulator import library
from faketagger.components.simulator.foreign import saved_model, tfjs
from faketagger.tests.simulator.foreign import helpers

SIZE = helpers.SIZE
FLAGS = {"family": "attribute_editing", "value_range": "-1,1"}
ONE = {**FLAGS, "conditions": "painted", "model_size": SIZE}


def _network(side=None):
    """Pictures in [-1, 1] to such, with layers whose weights are of many kinds; none of them at its initial value."""
    x = inputs = keras.Input([side, side, 3], name="picture")
    x = keras.layers.Conv2D(6, 3, 2, "same", activation="relu", name="down")(x)
    x = keras.layers.BatchNormalization(name="norm")(x)
    skip = keras.layers.SeparableConv2D(6, 3, padding="same", name="apart")(
        keras.layers.PReLU(None, shared_axes=[1, 2])(x)
    )
    x = keras.layers.Add()([x, skip])
    x = keras.layers.Conv2DTranspose(4, 4, 2, "same", name="up")(keras.layers.LeakyReLU(0.2)(x))
    x = keras.layers.Concatenate()([x, inputs])
    return _randomised(
        keras.Model(inputs, keras.layers.Conv2D(3, 1, activation="tanh", name="paint")(x), name="painter")
    )


def _randomised(model, seed=3):
    random = np.random.default_rng(seed)
    for weight in model.weights:
        weight.assign(random.uniform(0.05, 0.5, weight.shape) * random.choice([-1.0, 1.0], weight.shape))
        if "variance" in weight.name:
            weight.assign(tf.abs(weight))
    return model


def _float32(name, values):
    return {"name": name, "shape": list(values.shape), "dtype": "float32"}, values.astype("<f4").tobytes()


def _float16(name, values):
    entry = {"name": name, "shape": list(values.shape), "dtype": "float32"}
    return {**entry, "quantization": {"dtype": "float16", "original_dtype": "float32"}}, values.astype("<f2").tobytes()


def _uint8(name, values):
    least, scale = float(values.min()), float(np.ptp(values)) / 255.0 or 1.0
    entry = {"name": name, "shape": list(values.shape), "dtype": "float32"}
    quantised = {"dtype": "uint8", "scale": scale, "min": least, "original_dtype": "float32"}
    return {**entry, "quantization": quantised}, np.uint8(np.round((values - least) / scale)).tobytes()


def _mixed(name, values):
    """One group may hold tensors of several kinds."""
    return {"kernel": _float16, "bias": _uint8}.get(name.split("/")[-1], _float32)(name, values)


def _write(folder, model, encoded=_float32, shards=2, topology=None):
    """Writes model.json and the shards; returns the JSON."""
    folder.mkdir(exist_ok=True)
    pairs = [encoded(weight.name.split(":")[0], weight.numpy()) for weight in model.weights]
    data = b"".join(each for _, each in pairs)
    paths = [f"group1-shard{index + 1}of{shards}.bin" for index in range(shards)]
    cut = len(data) // shards + 1  # Through the middle of a number, as the converter cuts.
    for index, path in enumerate(paths):
        (folder / path).write_bytes(data[index * cut : (index + 1) * cut])
    held = {
        "format": "layers-model",
        "generatedBy": "keras v2.15.0",
        "convertedBy": "TensorFlow.js Converter v4.22.0",
        "modelTopology": topology or {"keras_version": "2.15.0", "model_config": json.loads(model.to_json())},
        "weightsManifest": [{"paths": paths, "weights": [entry for entry, _ in pairs]}],
    }
    (folder / "model.json").write_text(json.dumps(held))
    return held


def _expected(model, pictures):
    return (model(pictures * 2.0 - 1.0, training=False).numpy() + 1.0) / 2.0


@pytest.mark.slow
@pytest.mark.parametrize("name", ["model", "model/model.json"])
def test_a_layers_model_becomes_a_simulator_that_computes_the_same(tmp_path, name):
    network = _network()
    _write(tmp_path / "model", network)
    simulator = helpers.adapted(tmp_path, **ONE, model=tmp_path / name, licence="CC0")
    made = helpers.simulated(simulator, helpers.pictures(), 0)
    np.testing.assert_allclose(made, _expected(network, helpers.pictures()), atol=1e-5)
    assert np.std(made) > 0.01
    assert np.abs(helpers.gradient(simulator, helpers.pictures())).max() > 1e-3
    assert (simulator.manifest.conditions, simulator.manifest.licence) == (("painted",), "CC0")
    assert (simulator.manifest.family, simulator.manifest.image_size) == ("attribute_editing", SIZE)


def _read(folder):
    """The network that is read."""
    return tfjs.read(str(folder), saved_model.Description(value_range=(-1.0, 1.0), conditions=["painted"]))


def _simulated(folder):
    return _read(folder).simulate(tf.constant(helpers.pictures()), tf.zeros([3], tf.int32)).numpy()


@pytest.mark.parametrize("encoded", [_uint8, _float16, _mixed])
def test_quantised_weights_are_those_that_their_scale_and_least_say(tmp_path, encoded):
    network = _network()
    _write(tmp_path / "model", network, encoded, shards=3)
    exact = _expected(network, helpers.pictures())
    for weight in network.weights:
        entry, data = encoded(weight.name.split(":")[0], weight.numpy())
        quantised = entry.get("quantization", {})
        stored = np.frombuffer(data, {"uint8": "u1", "float16": "<f2"}.get(quantised.get("dtype"), "<f4"))
        weight.assign(np.reshape(stored * quantised.get("scale", 1.0) + quantised.get("min", 0.0), weight.shape))
    made = _simulated(tmp_path / "model")
    np.testing.assert_allclose(made, _expected(network, helpers.pictures()), atol=1e-5)
    assert 1e-5 < np.abs(made - exact).max() < 0.1


def test_whole_numbers_are_read_as_such(tmp_path):
    network = keras.Sequential([keras.Input([SIZE, SIZE, 3]), keras.layers.Conv2D(3, 1, name="mix")], name="mixer")
    network.set_weights([np.float32(np.eye(3)[None, None] * 2), np.float32([-1, 0, 1])])
    types = {"mix/kernel": ("int32", "<i4"), "mix/bias": ("float16", "<f2")}

    def encoded(name, values):
        dtype, stored = types[name]
        return {"name": name, "shape": list(values.shape), "dtype": dtype}, values.astype(stored).tobytes()

    _write(tmp_path / "model", network, encoded)
    np.testing.assert_allclose(_simulated(tmp_path / "model"), _expected(network, helpers.pictures()), atol=1e-6)


def _older(value):
    """As Keras wrote a topology before it said which module a layer is of."""
    if isinstance(value, list):
        return [_older(each) for each in value]
    if isinstance(value, dict):
        newer = ("module", "registered_name", "build_config")
        return {key: _older(each) for key, each in value.items() if key not in newer}
    return value


def _camel(value):
    """Keys as JavaScript names them, and one word."""
    if isinstance(value, list):
        return [_camel(each) for each in value]
    if isinstance(value, dict):
        return {re.sub("_([a-z])", lambda found: found[1].upper(), key): _camel(each) for key, each in value.items()}
    return "channelsLast" if value == "channels_last" else value


@pytest.mark.parametrize("written", ["as hdf5 holds it", "as newer Keras", "as JavaScript"])
def test_topologies_are_read_as_each_converter_writes_them(tmp_path, written):
    network = _network()
    topology = json.loads(network.to_json())
    if written != "as newer Keras":
        topology = {**_older(topology), "class_name": "Model"}
    if written == "as JavaScript":
        topology = {**_camel(topology), "kerasVersion": "tfjs-layers 4.22.0", "backend": "tensor_flow.js"}
    else:
        topology = {"keras_version": "2.15.0", "backend": "tensorflow", "model_config": topology}
    _write(tmp_path / "model", network, topology=topology)
    np.testing.assert_allclose(_simulated(tmp_path / "model"), _expected(network, helpers.pictures()), atol=1e-5)


def test_models_within_models_are_called_as_often_as_they_say(tmp_path):
    inner = keras.Sequential(
        [keras.Input([SIZE, SIZE, 3]), keras.layers.Conv2D(3, 3, padding="same", activation="tanh", name="twice")]
    )
    inputs = keras.Input([SIZE, SIZE, 3])
    network = _randomised(keras.Model(inputs, inner(inner(keras.layers.Conv2D(3, 1, name="once")(inputs)))))

    def inside(name, values):
        return _float32(f"model_of_another_run/{name}" if name.startswith("twice") else name, values)

    _write(tmp_path / "model", network, inside)
    assert _read(tmp_path / "model").side == SIZE
    np.testing.assert_allclose(_simulated(tmp_path / "model"), _expected(network, helpers.pictures()), atol=1e-5)


@pytest.mark.slow
def test_a_condition_input_is_fed(tmp_path):
    pictures, vector = keras.Input([SIZE, SIZE, 3], name="face-in"), keras.Input([2], name="class")
    planes = keras.layers.Reshape([1, 1, 2])(vector)
    planes = keras.layers.UpSampling2D(SIZE)(planes)
    made = keras.layers.Conv2D(3, 1, activation="tanh", name="mix")(keras.layers.Concatenate()([pictures, planes]))
    network = _randomised(keras.Model([pictures, vector], made))
    _write(tmp_path / "model", network)
    simulator = helpers.adapted(tmp_path, **FLAGS, condition_vector=["happy:1,0", "both:1,0.5"])
    for index, vector in enumerate(([1.0, 0.0], [1.0, 0.5])):
        fed = [helpers.pictures() * 2.0 - 1.0, np.float32([vector] * 3)]
        expected = (network(fed).numpy() + 1.0) / 2.0
        np.testing.assert_allclose(helpers.simulated(simulator, helpers.pictures(), index), expected, atol=1e-5)


def test_every_layer_that_is_read_begins_with_variables_that_are_counted():
    for name in sorted(tfjs._LAYERS):
        kinds = inspect.getmro(getattr(keras.layers, name))[:-1]
        taken = {each for kind in kinds for each in inspect.signature(kind.__init__).parameters}
        # Of convolutions, which these two inherit from and whose kernel they do not make.
        inherited = {"kernel_initializer"} if name in ("DepthwiseConv2D", "SeparableConv2D") else set()
        expected = {each for each in taken if each.endswith("_initializer")} - inherited
        assert expected == set(tfjs._INITIALISERS.get(name, ())), name


# --- What is refused ---


@pytest.fixture
def written(tmp_path):
    """A folder with a model, its JSON, and a function that writes the JSON anew."""
    held = _write(tmp_path / "model", _network())

    def rewrite():
        (tmp_path / "model" / "model.json").write_text(json.dumps(held))

    return tmp_path, held, rewrite


def _layer(held, name):
    return next(each for each in held["modelTopology"]["model_config"]["config"]["layers"] if each["name"] == name)


def _set(*path):
    """A change to the JSON: the keys on the way to a value, then the value; a layer may be meant by its name."""
    *way, last, value = path

    def change(held):
        place = held
        for key in way:
            place = _layer(held, key[1:]) if isinstance(key, str) and key.startswith("@") else place[key]
        place[last] = value

    return change


GROUP = ("weightsManifest", 0)
LAMBDA = {"class_name": "Lambda", "config": {"name": "code", "function": ["4wEAAAA=", None, None]}}
MODULE = {"module": "os", "class_name": "system", "config": {}, "registered_name": "system"}


@pytest.mark.parametrize(
    "change, message",
    [
        (_set("format", "graph-model"), "a TensorFlow.js graph model.*give the SavedModel that it was converted from"),
        (_set("modelTopology", {"node": []}), "a TensorFlow.js graph model"),
        (_set("modelTopology", None), "expected the model.json of .*found format, generatedBy, convertedBy"),
        (_set("modelTopology", {}), "modelTopology.class_name: expected Model, Functional, Sequential, found None"),
        (
            _set("@down", "class_name", "Lambda"),
            r"layers\[1\].class_name: expected .*, found 'Lambda': layers that hold",
        ),
        (_set("@down", "class_name", "TFOpLambda"), "found 'TFOpLambda'"),
        (_set("@down", "class_name", "Addons>InstanceNormalization"), "found 'Addons>InstanceNormalization'"),
        (
            _set("@down", "config", "activation", LAMBDA),
            "config.activation: expected .*, found {'class_name': 'Lambda'",
        ),
        (_set("@down", "config", "activation", "deserialize"), "config.activation: expected .*, found 'deserialize'"),
        (_set("@down", "config", "strides", MODULE), "config.strides: expected a number.*found {'module': 'os'"),
        (_set("@down", "config", "dtype", "string"), "config.dtype: expected float32, .*found 'string'"),
        (_set("@down", "config", "colour", 3), "modelTopology: cannot be built: .*colour"),
        (
            _set("@down", "config", "filters", 10**9),
            r"more weights than the [\d,]+ values of weightsManifest.*1000000000",
        ),
        (_set("@up", "config", "kernel_size", 3), r"another shape: up/kernel \(4, 4, 4, 6\) instead of \(3, 3, 4, 6\)"),
        (_set("@paint", "config", "use_bias", False), "does not fit modelTopology: .*unused: paint/bias"),
        (_set("@down", "inbound_nodes", [[["picture", 0, 0, {"mask": 1}]]]), "inbound_nodes: expected lists"),
        (_set("@down", "inbound_nodes", [[["paint", 0, 0, {}]]]), "are not there or wait for them: .*down"),
        (_set("@norm", "config", "epsilon", "small"), "modelTopology: cannot be built: "),
        (_set("@down", "inbound_nodes", []), "are not there or wait for them: .*norm"),
        (_set("@down", "inbound_nodes", [[["absent", 0, 0, {}]]]), "are not there or wait for them: .*down"),
        (_set("@picture", "config", "batch_input_shape", [None, 2048, 2048, 3]), "at most 1024 pixels a side"),
        (_set("weightsManifest", None), "weightsManifest: expected a list, found None"),
        (_set(*GROUP, "paths", 0, "missing.bin"), "paths: no file .*missing.bin"),
        (_set(*GROUP, "paths", 0, "../outside.bin"), "paths: expected names of files in its folder, found '../outside"),
        (_set(*GROUP, "paths", 0, "/etc/passwd"), "paths: expected names .* found '/etc/passwd'"),
        (_set(*GROUP, "paths", 0, "link.bin"), "link.bin is a link out of the folder"),
        (_set(*GROUP, "paths", ["group1-shard1of2.bin"] * 5000), "weightsManifest: expected at most 4096 shards"),
        (
            _set(*GROUP, "weights", 0, "shape", [2**40, 2**40]),
            "declares [0-9,]+ bytes of float32, over the 2,147,483,648",
        ),
        (_set(*GROUP, "weights", 0, "shape", [3, 3, 3, 7]), "shard2of2.bin: expected [0-9,]+ bytes, found [0-9,]+"),
        (_set(*GROUP, "weights", 0, "shape", [-3]), "'down/kernel': shape: expected .* whole numbers, found \\[-3\\]"),
        (_set(*GROUP, "weights", 0, "dtype", "string"), "'down/kernel': dtype: expected float32, .*found 'string'"),
        (_set(*GROUP, "weights", 0, "name", "up/kernel"), "the same tensor's name twice"),
        (_set(*GROUP, "weights", 0, "name", "upper/kernel"), "missing: down/kernel;.* unused: upper/kernel"),
        (_set(*GROUP, "weights", 0, "quantization", {"dtype": "uint8", "scale": 1}), "quantization.min: .*found None"),
        (
            _set(*GROUP, "weights", 0, "quantization", {"dtype": "uint8", "scale": float("nan"), "min": 0}),
            "quantization.scale: expected a finite number, found nan",
        ),
    ],
)
def test_a_model_that_is_not_what_it_should_be_is_refused(written, capsys, change, message):
    folder, held, rewrite = written
    (folder / "outside.bin").write_bytes(b"1234")
    (folder / "model" / "link.bin").symlink_to(folder / "outside.bin")
    change(held)
    rewrite()
    error = helpers.refusal(capsys, folder, **ONE)
    assert re.search(message, error) and "model.json" in error, error


def test_lists_that_lie_too_deep_in_one_another_are_refused(written, capsys):
    folder, held, rewrite = written
    strides = 2
    for _ in range(480):  # JSON's own reader takes them.
        strides = [strides]
    _set("@down", "config", "strides", strides)(held)
    rewrite()
    assert "modelTopology: lists or models lie too deep in one another" in helpers.refusal(capsys, folder, **ONE)


def test_more_layers_than_a_network_has_are_refused_soon_in_whatever_order(written, capsys):
    folder, held, rewrite = written
    names = ["picture", *(f"layer_{number}" for number in range(20_000))]
    layers = [
        {"class_name": "ReLU", "config": {"name": name}, "name": name, "inbound_nodes": [[[before, 0, 0, {}]]]}
        for before, name in zip(names, names[1:])
    ]
    model = held["modelTopology"]["model_config"]["config"]
    model["layers"] = [*reversed(layers), _layer(held, "picture")]
    model["output_layers"] = [[names[-1], 0, 0]]
    rewrite()
    begun = time.process_time()
    assert "at most 4,096 calls of layers, found 20,001" in helpers.refusal(capsys, folder, **ONE)
    assert time.process_time() - begun < 20  # To look at all that wait after each takes over a minute.


def test_calls_of_models_within_models_are_counted_as_often_as_they_are_made(written, capsys, monkeypatch):
    folder, held, rewrite = written
    inner, outer = ({**each} for each in [held["modelTopology"]["model_config"]] * 2)
    calls = [[["picture", 0, 0, {}]]] * 5
    held["modelTopology"]["model_config"] = {
        "class_name": "Functional",
        "config": {
            "name": "outer",
            "layers": [_layer(held, "picture"), {**inner, "name": "inner", "inbound_nodes": calls}],
            "input_layers": [["picture", 0, 0]],
            "output_layers": [["inner", 1, 0]],
        },
    }
    rewrite()
    monkeypatch.setattr(tfjs, "_MAX_CALLS", 5 * len(outer["config"]["layers"]))
    error = helpers.refusal(capsys, folder, **ONE)
    assert f"calls of layers, found {5 * len(outer['config']['layers']) + 1}" in error


def test_a_shard_that_is_cut_off_is_refused_before_the_network_is_built(written, capsys, monkeypatch):
    folder, *_ = written
    shard = folder / "model" / "group1-shard2of2.bin"
    shard.write_bytes(shard.read_bytes()[:-3])
    monkeypatch.setattr(keras.models, "model_from_config", None)
    size = sum((folder / "model" / f"group1-shard{number}of2.bin").stat().st_size for number in (1, 2))
    assert f"shard2of2.bin: expected {size + 3:,} bytes, found {size:,}" in helpers.refusal(capsys, folder, **ONE)


def test_numbers_that_are_not_finite_are_refused_by_name(written, capsys):
    folder, *_ = written
    shard = folder / "model" / "group1-shard1of2.bin"
    shard.write_bytes(np.float32(np.nan).tobytes() + shard.read_bytes()[4:])
    assert "down/kernel: holds numbers that are not finite" in helpers.refusal(capsys, folder, **ONE)


def test_a_layer_that_makes_too_much_of_a_picture_is_refused(tmp_path, capsys):
    inputs = keras.Input([SIZE, SIZE, 3])
    network = keras.Model(inputs, keras.layers.ZeroPadding2D(20000)(keras.layers.Conv2D(3, 1)(inputs)))
    _write(tmp_path / "model", network)
    assert re.search("makes .*40032.* of one picture", helpers.refusal(capsys, tmp_path, **ONE))


def test_what_takes_any_side_is_judged_by_the_side_that_is_asked_for(tmp_path, capsys):
    inputs = keras.Input([None, None, 3])
    large = keras.layers.AveragePooling2D(32)(keras.layers.UpSampling2D(32)(inputs))
    _write(tmp_path / "model", keras.Model(inputs, keras.layers.Conv2D(3, 1)(large)))
    assert re.search("makes .*32768.* of one picture", helpers.refusal(capsys, tmp_path, **{**ONE, "model_size": 1024}))


def test_a_model_over_the_size_limit_is_refused(written, capsys, monkeypatch):
    monkeypatch.setattr(library, "MAX_SAVED_MODEL_BYTES", 1000)
    assert "over the 1,000 a simulator may have" in helpers.refusal(capsys, written[0], **ONE)


@pytest.mark.parametrize(
    "flags, message",
    [
        ({"value_range": None}, "give --value_range"),
        ({"family": None}, "give --family"),
        ({"conditions": "a,b"}, "takes no condition: give --conditions with one name"),
        ({"model_size": None}, "takes any size: give --model_size"),
        ({"signature": "paint"}, "is a TensorFlow.js layers model, for which there is no --signature"),
        ({"attributes": "Male"}, "for which there is no --attributes"),
    ],
)
def test_what_a_layers_model_does_not_show_must_be_said(written, capsys, flags, message):
    assert message in helpers.refusal(capsys, written[0], **{**ONE, **flags})


def test_a_file_that_is_no_model_is_refused(tmp_path, capsys):
    path = tmp_path / "face_weights_manifest.json"
    for text, message in [
        ("{", "not readable as JSON"),
        ('[{"paths": []}]', "expected the model.json of a TensorFlow.js"),
    ]:
        path.write_text(text)
        assert message in helpers.refusal(capsys, tmp_path, **ONE, model=path)


def test_an_onnx_file_is_refused_with_what_to_do(tmp_path, capsys):
    path = tmp_path / "generator.onnx"
    path.write_bytes(b"")
    error = helpers.refusal(capsys, tmp_path, **ONE, model=path)
    assert "ONNX" in error and "onnx2tf -i generator.onnx -o DIR -osd" in error and "--model=DIR" in error
