"""Generators made elsewhere as simulators: SavedModels, TF1 checkpoints of STGAN and AttGAN, PyTorch StarGAN.

The files are made here, in the original formats and with small random weights; what they must compute is written here
with plain operations.
"""

import re
import sys
import types

import numpy as np
import pytest
import tensorflow as tf

from faketagger.components.contract import features, images, manifest
from faketagger.components.simulator import library
from faketagger.components.simulator.foreign import adapt, base, tf1, torch
from faketagger.tests.simulator.foreign import helpers

pytestmark = pytest.mark.slow

SIZE = helpers.SIZE
ATTRIBUTES = ("Black_Hair", "Blond_Hair", "Male")
CONDITIONS = ("black_hair", "blond_hair", "gender")
RANDOM = np.random.default_rng


# --- SavedModels ---

MIXING = np.float32([[0.5, 0.2, 0.0], [0.3, 0.6, 0.1], [0.2, 0.2, 0.9]])


class _Mixer(tf.Module):
    """Mixes the channels of pictures in `low` … `high`, darkened by what a condition vector says."""

    def __init__(self, low=-1.0, high=1.0, layout="NHWC", darkening=(0.5, 0.8)):
        super().__init__()
        self.mixing = tf.Variable(MIXING)
        self.low, self.high, self.layout, self.darkening = low, high, layout, darkening

    def __call__(self, pictures, vector=None):
        equation = "bhwc,cd->bhwd" if self.layout == "NHWC" else "bchw,cd->bdhw"
        unit = (pictures - self.low) / (self.high - self.low)
        made = tf.einsum(equation, unit, self.mixing)
        if vector is not None:
            made *= tf.linalg.matvec(tf.cast(vector, tf.float32), self.darkening)[:, None, None, None]
        return {"faces": made * (self.high - self.low) + self.low}


def _save_mixer(path, mixer, *specs):
    function = tf.function(mixer.__call__, input_signature=[tf.TensorSpec(*spec) for spec in specs])
    tf.saved_model.save(mixer, str(path), signatures=function)


SAVED = {"family": "attribute_editing", "value_range": "-1,1"}
PLAIN = ([None, SIZE, SIZE, 3], tf.float32, "x")


def test_names_and_range_of_a_saved_model_are_translated(tmp_path):
    _save_mixer(tmp_path / "model", _Mixer(), PLAIN, ([None, 2], tf.float32, "c"))
    simulator = helpers.adapted(tmp_path, **SAVED, conditions="happy,old", training_data="faces", licence="CC0")
    for condition, darkening in enumerate((0.5, 0.8)):
        made = helpers.simulated(simulator, helpers.pictures(), condition)
        np.testing.assert_allclose(made, darkening * helpers.pictures() @ MIXING, atol=1e-5)
    assert simulator.manifest == manifest.SimulatorManifest(
        "other", "attribute_editing", ["happy", "old"], SIZE, "faces", "CC0"
    )


@pytest.mark.parametrize("batch", [None, 1])
def test_channels_first_at_other_range_and_batch_are_translated(tmp_path, batch):
    mixer = _Mixer(0.0, 255.0, "NCHW")
    _save_mixer(tmp_path / "model", mixer, ([batch, 3, SIZE, SIZE], tf.float32, "x"), ([batch, 2], tf.float32, "c"))
    simulator = helpers.adapted(tmp_path, family="reenactment", value_range="0,255", conditions="happy,old")
    made = simulator(tf.constant(helpers.pictures()), tf.constant([0, 1, 0]))
    expected = np.float32([0.5, 0.8, 0.5])[:, None, None, None] * helpers.pictures() @ MIXING
    np.testing.assert_allclose(made, expected, atol=1e-5)
    np.testing.assert_allclose(helpers.gradient(simulator, helpers.pictures())[2, 3, 4], [0.25, 0.15, 0.1], atol=1e-5)
    assert simulator.manifest.family == "reenactment"


def test_a_saved_model_of_one_picture_without_batch_and_without_condition_is_called_for_each(tmp_path):
    module = tf.Module()
    module.call = tf.function(
        lambda face: {"made": tf.square(face)}, input_signature=[tf.TensorSpec([3, SIZE, SIZE], tf.float32, "face")]
    )
    tf.saved_model.save(module, str(tmp_path / "model"), signatures={"go": module.call})
    simulator = helpers.adapted(tmp_path, family="identity_swap", value_range="0,1", conditions="swapped")
    np.testing.assert_allclose(helpers.simulated(simulator, helpers.pictures(), 0), helpers.pictures() ** 2, atol=1e-6)


def test_condition_vectors_and_indices_are_fed_as_described(tmp_path):
    _save_mixer(tmp_path / "model", _Mixer(), PLAIN, ([None, 2], tf.float32, "c"))
    simulator = helpers.adapted(tmp_path, **SAVED, condition_vector=["half_old:0,0.5", "both:1,0.5"])
    assert simulator.manifest.conditions == ("half_old", "both")
    for condition, darkening in enumerate((0.4, 0.9)):
        np.testing.assert_allclose(
            helpers.simulated(simulator, helpers.pictures(), condition),
            darkening * helpers.pictures() @ MIXING,
            atol=1e-5,
        )

    class Indexed(_Mixer):
        def __call__(self, pictures, number):
            return super().__call__(pictures, tf.one_hot(number, 2))

    _save_mixer(tmp_path / "indexed", Indexed(), PLAIN, ([None], tf.int64, "number"))
    simulator = helpers.adapted(tmp_path, model=tmp_path / "indexed", **SAVED, conditions="happy,old")
    np.testing.assert_allclose(
        helpers.simulated(simulator, helpers.pictures(), 1), 0.8 * helpers.pictures() @ MIXING, atol=1e-5
    )


def test_pictures_are_resized_to_the_models_side_and_back_with_antialiasing(tmp_path):
    _save_mixer(tmp_path / "model", _Mixer(), ([None, 64, 64, 3], tf.float32, "x"))
    simulator = helpers.adapted(tmp_path, **SAVED, conditions="mixed", image_size=SIZE)
    assert simulator.manifest.image_size == SIZE

    def resized(pictures, size):
        return np.clip(tf.image.resize(pictures, [size, size], "bicubic", antialias=True), 0.0, 1.0)

    expected = resized(resized(helpers.pictures(), 64) @ MIXING, SIZE)
    np.testing.assert_allclose(helpers.simulated(simulator, helpers.pictures(), 0), expected, atol=1e-5)


def test_a_saved_model_of_tensorflow_1_is_read(tmp_path):
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None, SIZE, SIZE, 3])
        mixing = v1.get_variable("mixing", initializer=MIXING)
        made = tf.einsum("bhwc,cd->bhwd", x, mixing)
        session.run(mixing.initializer)
        v1.saved_model.simple_save(session, str(tmp_path / "model"), {"x": x}, {"made": made})
    simulator = helpers.adapted(tmp_path, family="identity_swap", value_range="0,1", conditions="mixed")
    np.testing.assert_allclose(
        helpers.simulated(simulator, helpers.pictures(), 0), helpers.pictures() @ MIXING, atol=1e-5
    )
    np.testing.assert_allclose(helpers.gradient(simulator, helpers.pictures())[0, 0, 0], [0.5, 0.3, 0.2], atol=1e-5)


def test_a_model_is_also_applied_as_the_tools_that_are_named(tmp_path):
    _save_mixer(tmp_path / "model", _Mixer(), PLAIN)
    simulator = helpers.adapted(tmp_path, **SAVED, conditions="mixed", tools="inswapper")
    assert simulator.manifest.ways == ("mixed", "as_inswapper")
    red = np.full([2, SIZE, SIZE, 3], [0.9, 0.3, 0.2], np.float32)
    pasted = helpers.simulated(simulator, red, 1)
    np.testing.assert_allclose(pasted[:, 0, 0], red[:, 0, 0], atol=1e-3)
    np.testing.assert_allclose(pasted[:, SIZE // 2, SIZE // 2], red[:, 0, 0] @ MIXING, atol=1e-3)
    assert np.abs(pasted - red).max() > 0.1


@pytest.mark.parametrize(
    "side, layers, said",
    [(16384, 1, "makes .*16384.* of one picture"), (2048, 200, "it makes .* values of one picture, expected at most")],
)
def test_a_network_that_makes_more_of_a_picture_than_fits_is_refused_before_it_does(side, layers, said):
    def simulate(pictures, _):
        large = tf.image.resize(pictures, [side, side])
        for _ in range(layers):
            large = tf.tanh(large)
        return tf.image.resize(large, [64, 64])

    read = base.Foreign(simulate, ("tanh",), None)
    with pytest.raises(ValueError, match=f"somewhere: fails on a picture of 64 pixels: .*{said}"):
        adapt.check_runs(read, 64, "somewhere")


@pytest.fixture(scope="module")
def mixer(tmp_path_factory):
    """A folder whose `model` takes pictures of any size and a vector."""
    directory = tmp_path_factory.mktemp("mixer")
    _save_mixer(directory / "model", _Mixer(), ([None, None, None, 3], tf.float32, "x"), ([None, 2], tf.float32, "c"))
    return directory


@pytest.mark.parametrize(
    "flags, message",
    [
        ({"value_range": None}, "give --value_range"),
        ({"family": None}, "give --family: identity_swap, "),
        ({"signature": "paint"}, r"give --signature.*'serving_default' takes c: float32 \(None, 2\), x: float32"),
        ({"images_input": "y"}, r"give --images_input.*found c: float32 \(None, 2\), x: float32 \(None, None, None"),
        ({"images_output": "y"}, "give --images_output.*found faces: float32"),
        ({"condition_input": "y"}, r"give --condition_input.*c: float32 \(None, 2\)"),
        ({"layout": "NCHW"}, r"--layout: .*found x: float32 \(None, None, None, 3\)"),
        ({"conditions": None}, r"give either --conditions or --condition_vector; it takes c: float32 \(None, 2\)"),
        ({"conditions": "a,b,c"}, r"c: float32 \(None, 2\) does not take vectors of 3 numbers"),
        ({"image_size": None}, "give --model_size"),
        ({"image_size": 8}, "--image_size: expected 16 to 1024, got 8"),
        ({"model_size": 4096}, "takes 4096 pixels a side, expected at most 1024"),
        ({"output_range": "-0.1,0.1"}, "spans .*--output_range"),
        ({"attributes": "Male"}, "is a SavedModel, for which there is no --attributes"),
        ({"tools": "inswapper,scissors"}, "--tools: scissors: expected names of inswapper, simswap"),
        ({"tools": "inswapper,inswapper"}, "tools: expected each tool once, and no condition called as one"),
        ({"conditions": "as_stargan,b", "tools": "stargan"}, "tools: expected each tool once"),
        ({"name": "Other"}, "--name: Other: expected lower-case"),
        ({"name": "perturbation"}, "--name: perturbation: expected"),
    ],
)
def test_what_a_saved_model_does_not_show_must_be_said(mixer, tmp_path, capsys, flags, message):
    flags = {**SAVED, "conditions": "a,b", "image_size": SIZE, **flags}
    error = helpers.refusal(capsys, tmp_path, model=mixer / "model", **flags)
    assert re.search(message, error), error


def test_a_saved_model_of_whole_numbers_or_a_fixed_batch_is_refused(tmp_path, capsys):
    specs = {"bytes": ([None, SIZE, SIZE, 3], tf.uint8), "eight": ([8, SIZE, SIZE, 3], tf.float32)}
    for name, spec in specs.items():
        module = tf.Module()
        module.call = tf.function(lambda x: {"made": 1.0 - tf.cast(x, tf.float32)}, [tf.TensorSpec(*spec, "x")])
        tf.saved_model.save(module, str(tmp_path / name), signatures=module.call)
    flags = {**SAVED, "conditions": "negative"}
    assert "x is uint8, no gradient flows" in helpers.refusal(capsys, tmp_path, model=tmp_path / "bytes", **flags)
    assert "takes 8 pictures at a time" in helpers.refusal(capsys, tmp_path, model=tmp_path / "eight", **flags)


def test_a_saved_model_that_rounds_passes_no_gradient_and_is_refused(tmp_path, capsys):
    module = tf.Module()
    module.call = tf.function(lambda x: {"made": tf.round(x * 255.0) / 255.0}, [tf.TensorSpec(*PLAIN)])
    tf.saved_model.save(module, str(tmp_path / "model"), signatures=module.call)
    error = helpers.refusal(capsys, tmp_path, family="identity_swap", value_range="0,1", conditions="rounded")
    assert "rounded: no gradient flows through it" in error


def test_a_model_over_the_size_limit_is_refused_unloaded(mixer, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(library, "MAX_SAVED_MODEL_BYTES", 1000)
    monkeypatch.setattr(tf.saved_model, "load", None)
    error = helpers.refusal(capsys, tmp_path, model=mixer / "model", **SAVED, conditions="a,b", image_size=SIZE)
    assert "bytes is over the 1,000 a simulator may have" in error


def test_change_is_measured_on_pictures_where_there_are_some(mixer, tmp_path, capsys):
    photographs = tmp_path / "photographs"
    (photographs / "more").mkdir(parents=True)
    for index, picture in enumerate(helpers.pictures(2)):
        (photographs / "more" / f"{index}.png").write_bytes(images.encode_png(images.to_uint8(picture)))
    (photographs / "notes.txt").write_text("no picture")
    flags = {**SAVED, "model": mixer / "model", "image_size": SIZE, "conditions": "a,b"}
    change = helpers.adapted(tmp_path, **flags, images=photographs).manifest.change
    before = images.to_float(images.to_uint8(helpers.pictures(2)))
    for name, darkening in {"a": 0.5, "b": 0.8}.items():
        after = images.to_float(images.to_uint8(darkening * before @ MIXING))
        psnr = np.mean(-10.0 * np.log10(np.mean((before - after) ** 2, (1, 2, 3))))
        assert change[name].psnr == pytest.approx(psnr, abs=0.01)
    assert "set aside 1 files" in capsys.readouterr().err
    assert helpers.adapted(tmp_path, **flags).manifest.change == {}


# --- TF1 checkpoints ---


class _Official:
    """The official networks as a TF1 graph, written with plain operations; `run` gives what they make.

    Args:
      family: "stgan", "attgan", or "later", AttGAN's last version, with other scopes.
    """

    def __init__(self, family, depth=3, width=4, size=SIZE, shortcuts=1, injected=1, one_more=False, kernel=4):
        self.family, self.depth, self.width, self.kernel = family, depth, width, kernel
        self.random, self.v1 = RANDOM(11), tf.compat.v1
        self.scopes = {"Genc": "UNetGenc", "Gdec": "UNetGdec", "D": "ConvD"} if family == "later" else {}
        self.counts = {}
        self.graph = tf.Graph()
        with self.graph.as_default():
            self.images = self.v1.placeholder(tf.float32, [None, size, size, 3])
            self.vector = self.v1.placeholder(tf.float32, [None, len(ATTRIBUTES)])
            features = self._encode(self.images)
            if family == "stgan":
                features = self._transfer(features, injected)
            self.made = self._decode(features, shortcuts, injected, one_more)
            self.logits = self._discriminate(self.images)
            self._variable("beta1_power", [])
            self._variable(self._scope("Genc") + "/Conv/weights/Adam", [4, 4, 3, width])
            self.session = self.v1.Session()
            self.session.run(self.v1.global_variables_initializer())

    def run(self, tensor, pictures, vector=None):
        """For pictures in [0, 1]."""
        fed = {self.images: pictures * 2.0 - 1.0}
        return self.session.run(tensor, fed if vector is None else {**fed, self.vector: vector})

    def save(self, path, leave_out=(), scopes=("",)):
        """Writes the checkpoint without the variables of `leave_out`, and of the named scopes alone."""
        with self.graph.as_default():
            kept = [
                each
                for each in self.v1.global_variables()
                if each.op.name not in leave_out and each.op.name.startswith(tuple(scopes))
            ]
            if self.family == "later":
                saver = self.v1.train.Checkpoint(**{each.name: each for each in kept})
                with self.session.as_default():
                    return saver.save(str(path), session=self.session)
            self.v1.train.Saver(kept).save(self.session, str(path), write_meta_graph=False)

    def _scope(self, name):
        return self.scopes.get(name, name)

    def _weights(self, name, shape, fan_in):
        """Values that keep the variance, so that no activation saturates."""
        return self._variable(f"{name}/weights", shape, float(np.sqrt(3.0 / fan_in)))

    def _variable(self, name, shape, spread=0.3, middle=0.0):
        initial = np.float32(self.random.uniform(middle - spread, middle + spread, shape))
        return self.v1.get_variable(name, initializer=initial)

    def _name(self, scope, layer):
        """As slim numbers layers within a scope."""
        count = self.counts.setdefault((scope, layer), 0)
        self.counts[scope, layer] += 1
        return f"{self._scope(scope)}/{layer}" + (f"_{count}" if count else "")

    def _conv(self, x, scope, channels, kernel, stride, norm=None):
        name = self._name(scope, "Conv")
        weights = self._weights(name, [kernel, kernel, x.shape[-1], channels], kernel**2 * x.shape[-1])
        x = tf.nn.conv2d(x, weights, stride, "SAME")
        return self._norm(x, name, norm)

    def _dconv(self, x, scope, channels, kernel=4, stride=2, norm=None):
        name = self._name(scope, "Conv2d_transpose")
        weights = self._weights(name, [kernel, kernel, channels, x.shape[-1]], (kernel / stride) ** 2 * x.shape[-1])
        side = x.shape[1] * stride
        x = tf.nn.conv2d_transpose(x, weights, [tf.shape(x)[0], side, side, channels], stride, "SAME")
        return self._norm(x, name, norm)

    def _norm(self, x, name, norm):
        channels = x.shape[-1]
        if norm is None:
            return x + self._variable(f"{name}/biases", [channels])
        scope = {"batch": "BatchNorm", "instance": "InstanceNorm"}[norm]
        beta = self._variable(f"{name}/{scope}/beta", [channels])
        gamma = self._variable(f"{name}/{scope}/gamma", [channels], middle=1.0)
        if norm == "batch":
            mean = self._variable(f"{name}/BatchNorm/moving_mean", [channels])
            variance = self._variable(f"{name}/BatchNorm/moving_variance", [channels], middle=0.5)
            return gamma * (x - mean) / tf.sqrt(variance + 1e-3) + beta
        mean = tf.reduce_mean(x, [1, 2], keepdims=True)
        variance = tf.reduce_mean(tf.square(x - mean), [1, 2], keepdims=True)
        return gamma * (x - mean) / tf.sqrt(variance + 1e-6) + beta

    def _with_vector(self, x):
        planes = tf.tile(self.vector[:, None, None, :], [1, x.shape[1], x.shape[2], 1])
        return tf.concat([x, planes], -1)

    def _encode(self, x):
        features = []
        for level in range(self.depth):
            x = tf.nn.leaky_relu(self._conv(x, "Genc", self.width * 2**level, self.kernel, 2, "batch"), 0.2)
            features.append(x)
        return features

    def _transfer(self, features, injected):
        made, state = [features[-1]], self._with_vector(features[-1])
        for step, encoded in enumerate(features[-2::-1]):
            upsampled = self._dconv(state, "Gstu", encoded.shape[-1])
            reset = tf.sigmoid(self._conv(tf.concat([encoded, upsampled], -1), "Gstu", encoded.shape[-1], 3, 1))
            update = tf.sigmoid(self._conv(tf.concat([encoded, upsampled], -1), "Gstu", encoded.shape[-1], 3, 1))
            state = reset * upsampled
            new = tf.tanh(self._conv(tf.concat([encoded, state], -1), "Gstu", encoded.shape[-1], 3, 1))
            made.insert(0, (1.0 - update) * upsampled + update * new)
            state = self._with_vector(state) if injected > step else state
        return made

    def _decode(self, features, shortcuts, injected, one_more):
        x = self._with_vector(features[-1])
        for step in range(self.depth - 1):
            x = tf.nn.relu(self._dconv(x, "Gdec", self.width * 2 ** (self.depth - 1 - step), self.kernel, 2, "batch"))
            x = tf.concat([x, features[-2 - step]], -1) if shortcuts > step else x
            x = self._with_vector(x) if injected > step else x
        if one_more:
            x = tf.nn.relu(self._dconv(x, "Gdec", self.width, self.kernel, 2, "batch"))
            return tf.tanh(self._dconv(x, "Gdec", 3, self.kernel, 1))
        return tf.tanh(self._dconv(x, "Gdec", 3, self.kernel, 2))

    def _discriminate(self, x):
        if self.kernel == 5:  # AttGAN's for 64 pixels begins with a layer that keeps the size.
            x = tf.nn.leaky_relu(self._conv(x, "D", self.width, 3, 1, "instance"), 0.2)
        for level in range(self.depth):
            x = tf.nn.leaky_relu(self._conv(x, "D", self.width * 2**level, self.kernel, 2, "instance"), 0.2)
        x = tf.reshape(x, [-1, int(np.prod(x.shape[1:]))])
        outputs = []
        for channels in (1, len(ATTRIBUTES)):
            outputs.append(self._dense(tf.nn.leaky_relu(self._dense(x, 8), 0.2), channels))
        return outputs[1]

    def _dense(self, x, channels):
        if self.family == "later":
            name = self._name("D", "fully_connected")
        else:
            name = self._name("D", "flatten_fully_connected") + "/fully_connected"
        weights = self._weights(name, [x.shape[-1], channels], x.shape[-1])
        return x @ weights + self._variable(f"{name}/biases", [channels])


def _labels_inverted(labels, condition):
    """The target labels: one inverted; of the hair colours, the first two attributes, one at most."""
    target = labels.copy()
    target[:, condition] = 1.0 - labels[:, condition]
    if condition < 2:
        set_now = target[:, condition] > 0
        target[set_now, 1 - condition] = 0.0
    return target


def _expected_vector(labels, condition, family):
    """As the official tests feed it."""
    target = _labels_inverted(labels, condition)
    half = 1.0 if family == "later" else 0.5
    target, source = (2.0 * target - 1.0) * half, (2.0 * labels - 1.0) * half
    if family == "stgan":
        return target - source
    target[:, condition] *= 2.0
    return target


def _names(*attributes):
    return ",".join(attributes or ATTRIBUTES)


@pytest.mark.parametrize(
    "options",
    [
        {"family": "stgan", "shortcuts": 2, "injected": 2},
        {"family": "attgan"},
        {"family": "later", "shortcuts": 2, "injected": 1},
        {"family": "attgan", "shortcuts": 2, "injected": 0, "one_more": True, "kernel": 5},
    ],
    ids=["stgan", "attgan", "attgan_later", "attgan_64"],
)
def test_an_official_checkpoint_edits_as_the_official_graph_by_its_own_classifier(tmp_path, options):
    official = _Official(**options)
    official.save(tmp_path / "model.ckpt")
    model = tmp_path / ("model.ckpt-1" if options["family"] == "later" else "model.ckpt")
    simulator = helpers.adapted(tmp_path, model=model, attributes=_names())
    assert simulator.manifest.conditions == CONDITIONS
    assert (simulator.manifest.family, simulator.manifest.image_size) == ("attribute_editing", SIZE)
    pictures = np.concatenate([helpers.pictures(6), 1.0 - helpers.pictures(2) ** 4])
    labels = np.float32(official.run(official.logits, pictures) > 0)
    assert 0 < labels.mean() < 1
    for condition in range(len(ATTRIBUTES)):
        vector = _expected_vector(labels, condition, options["family"])
        expected = (official.run(official.made, pictures, vector) + 1.0) / 2.0
        np.testing.assert_allclose(helpers.simulated(simulator, pictures, condition), expected, atol=1e-4)
    assert np.abs(helpers.gradient(simulator, pictures)).max() > 1e-3


def test_the_classifier_of_an_official_checkpoint_sees_what_the_official_graph_sees(tmp_path):
    official = _Official("attgan")
    official.save(tmp_path / "model.ckpt")
    *_, classifier = tf1.read(str(tmp_path / "model.ckpt"), ATTRIBUTES).tracked
    faint = 0.5 + 0.01 * (helpers.pictures() - 0.5)  # Shows what keeps the normalisation's divisor from 0.
    logits = classifier(tf.constant(faint * 2.0 - 1.0))
    np.testing.assert_allclose(logits, official.run(official.logits, faint), atol=1e-4)


def test_source_attributes_say_what_pictures_show_where_a_checkpoint_has_no_discriminator(tmp_path, capsys):
    official = _Official("stgan", shortcuts=2, injected=2)
    official.save(tmp_path / "model.ckpt", scopes=("Genc", "Gstu", "Gdec"))
    flags = {"model": tmp_path / "model.ckpt", "attributes": _names(), "image_size": SIZE}
    assert "holds no discriminator" in helpers.refusal(capsys, tmp_path, **flags)
    assert "Hat is none of Black_Hair" in helpers.refusal(capsys, tmp_path, **flags, source_attributes="Male,Hat")
    simulator = helpers.adapted(tmp_path, **flags, source_attributes="Blond_Hair", intensity=1.5)
    labels = np.float32([[0, 1, 0]] * 3)
    vector = _expected_vector(labels, 0, "stgan") + np.float32([0.25, 0.0, 0.0])
    np.testing.assert_allclose(vector[0], [1.25, -1.0, 0.0])
    expected = (official.run(official.made, helpers.pictures(), vector) + 1.0) / 2.0
    np.testing.assert_allclose(helpers.simulated(simulator, helpers.pictures(), 0), expected, atol=1e-4)


def test_variables_that_are_missing_or_of_no_use_are_all_listed(tmp_path, capsys):
    official = _Official("attgan")
    with official.graph.as_default():
        official.v1.get_variable("Gdec/extra/weights", initializer=np.zeros(2, np.float32)).initializer.run(
            session=official.session
        )
    left_out = [
        "Genc/Conv_1/weights",
        "Gdec/Conv2d_transpose/BatchNorm/gamma",
        "D/flatten_fully_connected_3/fully_connected/biases",
    ]
    official.save(tmp_path / "model.ckpt", leave_out=left_out)
    error = helpers.refusal(capsys, tmp_path, model=tmp_path / "model.ckpt", attributes=_names())
    missing, unused = error.split("unused:")
    assert all(name in missing for name in left_out)
    assert "Gdec/extra/weights" in unused and "Adam" not in error and "beta1_power" not in error


def test_attributes_must_be_as_many_as_the_checkpoint_edits(tmp_path, capsys):
    _Official("attgan").save(tmp_path / "model.ckpt")
    error = helpers.refusal(capsys, tmp_path, model=tmp_path)
    assert "edits 3 attributes, the official default has 13" in error and "give --attributes" in error
    error = helpers.refusal(capsys, tmp_path, model=tmp_path, attributes="Male,Young")
    assert "--attributes names 2" in error


def test_a_checkpoint_of_something_else_is_refused_with_what_it_holds(tmp_path, capsys):
    tf.train.Checkpoint(weights=tf.Variable(1.0)).write(str(tmp_path / "model.ckpt"))
    error = helpers.refusal(capsys, tmp_path, model=tmp_path / "model.ckpt")
    assert "expected variables such as Genc/Conv/weights; found _CHECKPOINTABLE_OBJECT_GRAPH, weights/" in error
    assert "other.txt: expected the folder of" in helpers.refusal(capsys, tmp_path, model=tmp_path / "other.txt")


# --- PyTorch StarGAN ---

WIDTH, BLOCKS = 4, 2


def _stargan_tensors():
    """A state dict as the official generator's, statistics included."""
    random, tensors = RANDOM(3), {}

    def conv(name, *shape):
        tensors[f"{name}.weight"] = np.float32(random.normal(0.0, 0.2, shape))

    def norm(name, channels):
        tensors[f"{name}.weight"] = np.float32(random.uniform(0.5, 1.5, channels))
        for each in ("bias", "running_mean", "running_var"):
            tensors[f"{name}.{each}"] = np.float32(random.uniform(-0.3, 0.3, channels))
        tensors[f"{name}.num_batches_tracked"] = np.array(7)

    conv("main.0", WIDTH, 3 + len(ATTRIBUTES), 7, 7), norm("main.1", WIDTH)
    conv("main.3", 2 * WIDTH, WIDTH, 4, 4), norm("main.4", 2 * WIDTH)
    conv("main.6", 4 * WIDTH, 2 * WIDTH, 4, 4), norm("main.7", 4 * WIDTH)
    for place in range(9, 9 + BLOCKS):
        for layer in (0, 3):
            conv(f"main.{place}.main.{layer}", 4 * WIDTH, 4 * WIDTH, 3, 3)
            norm(f"main.{place}.main.{layer + 1}", 4 * WIDTH)
    conv(f"main.{9 + BLOCKS}", 4 * WIDTH, 2 * WIDTH, 4, 4), norm(f"main.{10 + BLOCKS}", 2 * WIDTH)
    conv(f"main.{12 + BLOCKS}", 2 * WIDTH, WIDTH, 4, 4), norm(f"main.{13 + BLOCKS}", WIDTH)
    conv(f"main.{15 + BLOCKS}", 3, WIDTH, 7, 7)
    return tensors


def _discriminator_tensors(layers=3, side=SIZE):
    random, channels, tensors = RANDOM(4), 3, {}
    for index in range(layers):
        out = WIDTH * 2**index
        tensors[f"main.{2 * index}.weight"] = np.float32(random.normal(0.0, 0.2, [out, channels, 4, 4]))
        tensors[f"main.{2 * index}.bias"] = np.float32(random.normal(0.0, 0.2, out))
        channels = out
    kernel = side // 2**layers
    tensors["conv1.weight"] = np.float32(random.normal(size=[1, channels, 3, 3]))
    tensors["conv2.weight"] = np.float32(random.normal(size=[len(ATTRIBUTES), channels, kernel, kernel]))
    return tensors


def _torch_conv(x, kernel, stride=1, padding=0):
    """NCHW, kernel [out, in, h, w], as PyTorch's documentation defines Conv2d."""
    x = np.pad(x, [[0, 0], [0, 0], [padding] * 2, [padding] * 2])
    windows = np.lib.stride_tricks.sliding_window_view(x, kernel.shape[2:], (2, 3))[:, :, ::stride, ::stride]
    return np.einsum("bihwyx,oiyx->bohw", windows, kernel, optimize=True)


def _torch_transposed_conv(x, kernel):
    """Stride 2, padding 1, kernel [in, out, 4, 4]: each pixel adds its kernel to the output, whose rim is cut."""
    batch, _, height, width = x.shape
    made = np.zeros([batch, kernel.shape[1], 2 * height + 2, 2 * width + 2], np.float32)
    for row in range(4):
        for column in range(4):
            added = np.einsum("bihw,io->bohw", x, kernel[:, :, row, column])
            made[:, :, row : row + 2 * height : 2, column : column + 2 * width : 2] += added
    return made[:, :, 1:-1, 1:-1]


def _torch_generator(tensors, pictures, labels):
    """Pictures NHWC in [0, 1] → the same, by the official generator's layers."""

    def norm(x, name):
        mean, variance = x.mean((2, 3), keepdims=True), x.var((2, 3), keepdims=True)
        weight, bias = (tensors[f"{name}.{each}"][None, :, None, None] for each in ("weight", "bias"))
        return weight * (x - mean) / np.sqrt(variance + 1e-5) + bias

    def weight(place):
        return tensors[f"main.{place}.weight"]

    x = np.transpose(pictures * 2.0 - 1.0, [0, 3, 1, 2])
    planes = np.broadcast_to(labels[:, :, None, None], [*labels.shape, *x.shape[2:]])
    x = np.maximum(norm(_torch_conv(np.concatenate([x, planes], 1), weight(0), 1, 3), "main.1"), 0.0)
    for place in (3, 6):
        x = np.maximum(norm(_torch_conv(x, weight(place), 2, 1), f"main.{place + 1}"), 0.0)
    for place in range(9, 9 + BLOCKS):
        y = np.maximum(norm(_torch_conv(x, weight(f"{place}.main.0"), 1, 1), f"main.{place}.main.1"), 0.0)
        x = x + norm(_torch_conv(y, weight(f"{place}.main.3"), 1, 1), f"main.{place}.main.4")
    for place in (9 + BLOCKS, 12 + BLOCKS):
        x = np.maximum(norm(_torch_transposed_conv(x, weight(place)), f"main.{place + 1}"), 0.0)
    x = np.tanh(_torch_conv(x, weight(15 + BLOCKS), 1, 3))
    return (np.transpose(x, [0, 2, 3, 1]) + 1.0) / 2.0


def _torch_labels(tensors, pictures, layers=3):
    x = np.transpose(pictures * 2.0 - 1.0, [0, 3, 1, 2])
    for index in range(layers):
        x = _torch_conv(x, tensors[f"main.{2 * index}.weight"], 2, 1) + tensors[f"main.{2 * index}.bias"][:, None, None]
        x = np.where(x > 0, x, 0.01 * x)
    return np.float32(_torch_conv(x, tensors["conv2.weight"])[:, :, 0, 0] > 0)


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_an_official_stargan_edits_as_its_layers_say_by_its_own_discriminator(tmp_path, suffix):
    generator, discriminator = _stargan_tensors(), _discriminator_tensors()
    for name, tensors in {"G": generator, "D": discriminator}.items():
        path = str(tmp_path / (name + suffix))
        if suffix == ".npz":
            np.savez(path, **tensors)
        else:
            pytest.importorskip("safetensors.numpy").save_file(tensors, path)
    flags = {"model": tmp_path / f"G{suffix}", "discriminator": tmp_path / f"D{suffix}", "attributes": _names()}
    simulator = helpers.adapted(tmp_path, **flags)
    assert (simulator.manifest.conditions, simulator.manifest.image_size) == (CONDITIONS, SIZE)
    labels = _torch_labels(discriminator, helpers.pictures(4))
    assert 0 < labels.mean() < 1
    for condition in range(len(ATTRIBUTES)):
        expected = _torch_generator(generator, helpers.pictures(4), _labels_inverted(labels, condition))
        np.testing.assert_allclose(helpers.simulated(simulator, helpers.pictures(4), condition), expected, atol=1e-4)
    assert np.abs(helpers.gradient(simulator, helpers.pictures())).max() > 1e-3


def test_source_attributes_stand_in_for_stargans_discriminator(tmp_path, capsys):
    np.savez(tmp_path / "G.npz", **_stargan_tensors())
    flags = {"model": tmp_path / "G.npz", "attributes": _names(), "image_size": SIZE}
    assert "give either --discriminator" in helpers.refusal(capsys, tmp_path, **flags)
    simulator = helpers.adapted(tmp_path, **flags, source_attributes="")
    target = np.float32([[0, 0, 1]] * 3)
    expected = _torch_generator(_stargan_tensors(), helpers.pictures(), target)
    np.testing.assert_allclose(helpers.simulated(simulator, helpers.pictures(), 2), expected, atol=1e-4)


def test_tensors_that_are_missing_misshapen_or_of_no_use_are_all_listed(tmp_path, capsys):
    tensors = _stargan_tensors()
    del tensors["main.4.bias"], tensors["main.10.main.3.weight"]
    tensors["main.7.weight"] = np.zeros(5, np.float32)
    tensors.update({f"extra.{index}": np.zeros(1, np.float32) for index in range(60)})
    np.savez(tmp_path / "G.npz", **tensors)
    error = helpers.refusal(capsys, tmp_path, model=tmp_path / "G.npz", source_attributes="")
    missing, others = error.split("; of another shape: ")
    assert "main.4.bias" in missing and "main.10.main.3.weight" in missing
    misshapen, unused = others.split("; unused: ")
    assert misshapen == "main.7.weight (5,) instead of (16,)"
    assert all(f"extra.{index}" in unused for index in range(60)) and "running" not in error


def test_a_discriminator_of_other_attributes_is_refused(tmp_path, capsys):
    np.savez(tmp_path / "G.npz", **_stargan_tensors())
    tensors = {**_discriminator_tensors(), "conv2.weight": np.zeros([5, 16, 4, 4], np.float32), "more": np.zeros(1)}
    np.savez(tmp_path / "D.npz", **tensors)
    flags = {"model": tmp_path / "G.npz", "discriminator": tmp_path / "D.npz", "attributes": _names()}
    error = helpers.refusal(capsys, tmp_path, **flags)
    assert "conv2.weight (5, 16, 4, 4) instead of (3, 16, 4, 4)" in error and "unused: more" in error


@pytest.mark.parametrize(
    "shape, said", [((16384, 4, 0, 0), "width 16384, 1 attr"), ((4, 9_000_000, 0, 0), "width 4, 8999997 attr")]
)
def test_a_generator_that_claims_too_much_is_refused_before_it_is_built(tmp_path, capsys, monkeypatch, shape, said):
    monkeypatch.setattr(torch.stargan, "build_generator", None)
    np.savez(tmp_path / "G.npz", **{"main.0.weight": np.zeros(shape, np.float32)})
    error = helpers.refusal(capsys, tmp_path, model=tmp_path / "G.npz", source_attributes="")
    assert f"{said}ibutes and 0 blocks are over 2,147,483,648 bytes" in error


def test_what_a_generator_claims_is_the_size_of_its_kernels(tmp_path, monkeypatch):
    np.savez(tmp_path / "G.npz", **_stargan_tensors())
    tensors = torch.read_tensors(str(tmp_path / "G.npz"))
    monkeypatch.setattr(torch, "read_tensors", lambda path: tensors)
    kernels = sum(values.nbytes for values in tensors.values() if values.ndim == 4)
    monkeypatch.setattr(library, "MAX_SAVED_MODEL_BYTES", kernels)
    assert torch.read("G.npz", ATTRIBUTES, ()).conditions == CONDITIONS
    monkeypatch.setattr(library, "MAX_SAVED_MODEL_BYTES", kernels - 1)
    with pytest.raises(ValueError, match=f"G.npz: width {WIDTH}, 3 attributes and {BLOCKS} blocks are over"):
        torch.read("G.npz", ATTRIBUTES, ())


def test_a_model_s_own_side_is_bounded_before_a_picture_of_it_is_drawn(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(adapt, "drawn_picture", None)
    _save_mixer(tmp_path / "model", _Mixer(), ([None, 2048, 2048, 3], tf.float32, "x"))
    error = helpers.refusal(capsys, tmp_path, **SAVED, conditions="mixed", image_size=SIZE)
    assert "model: takes 2048 pixels a side, expected at most 1024" in error
    np.savez(tmp_path / "G.npz", **_stargan_tensors())
    np.savez(tmp_path / "D.npz", **_discriminator_tensors(layers=6, side=2048))
    flags = {"model": tmp_path / "G.npz", "discriminator": tmp_path / "D.npz", "attributes": _names()}
    assert "G.npz: takes 2048 pixels a side" in helpers.refusal(capsys, tmp_path, **flags, image_size=SIZE)


def test_a_pickled_array_and_a_broken_file_are_refused_unread(tmp_path, capsys):
    np.savez(tmp_path / "G.npz", **{"main.0.weight": np.array([{}], object)})
    (tmp_path / "broken.npz").write_bytes(b"PK no archive")
    (tmp_path / "broken.safetensors").write_bytes(b"\xff" * 64)
    for name in ("G.npz", "broken.npz", "broken.safetensors", "absent.npz"):
        assert f"{name}: " in helpers.refusal(capsys, tmp_path, model=tmp_path / name, source_attributes="")


def test_an_archive_that_unpacks_over_the_size_limit_is_refused(tmp_path, capsys, monkeypatch):
    np.savez_compressed(tmp_path / "G.npz", zeros=np.zeros(100_000, np.float32))
    monkeypatch.setattr(library, "MAX_SAVED_MODEL_BYTES", 10_000)
    assert "unpacks to 400," in helpers.refusal(capsys, tmp_path, model=tmp_path / "G.npz", source_attributes="")


def test_a_torch_file_is_read_as_plain_weights_where_torch_is_installed(tmp_path, monkeypatch, capsys):
    (tmp_path / "G.ckpt").write_bytes(b"weights")
    monkeypatch.setitem(sys.modules, "torch", None)
    error = helpers.refusal(capsys, tmp_path, model=tmp_path / "G.ckpt", source_attributes="")
    assert "takes the package torch, which is not installed" in error

    class Tensor:
        def numel(self):
            return claimed

        def float(self):
            return self

        def numpy(self):
            return np.ones(2, np.float32)

    asked, claimed = {}, 2

    def load(path, **options):
        asked.update(options)
        return {"main.1.bias": Tensor()}

    monkeypatch.setitem(sys.modules, "torch", types.SimpleNamespace(load=load))
    tensors = torch.read_tensors(str(tmp_path / "G.ckpt"))
    assert asked == {"map_location": "cpu", "weights_only": True}
    np.testing.assert_array_equal(tensors["main.1.bias"], [1.0, 1.0])
    claimed = 2**40  # As a view of one number may.
    with pytest.raises(ValueError, match="G.ckpt: not a state dict of tensors alone: .* bytes are over"):
        torch.read_tensors(str(tmp_path / "G.ckpt"))


# --- Labels ---


def test_what_an_attribute_excludes_is_unset_when_it_is_set():
    attributes = ("Bald", "Bangs", "Black_Hair", "Gray_Hair", "Male")
    labels = tf.constant([[0.0, 1.0, 0.0, 1.0, 1.0]])
    for condition, expected in enumerate(
        ([1, 0, 0, 1, 1], [0, 0, 0, 1, 1], [0, 1, 1, 0, 1], [0, 1, 0, 0, 1], [0, 1, 0, 1, 0])
    ):
        made = base.invert(labels, tf.constant([condition]), attributes)
        np.testing.assert_array_equal(made, [expected])


def test_the_official_defaults_are_thirteen_and_five_of_celebas_attributes():
    for names, count in ((tf1.DEFAULT_ATTRIBUTES, 13), (torch.DEFAULT_ATTRIBUTES, 5)):
        assert len(set(names)) == count and set(names) <= set(features.ATTRIBUTE_NAMES)
