"""What harms a server or starves its other callers is refused, in a sentence, and the server goes on."""

import shutil
import threading

import grpc
import numpy as np
import pytest
import tensorflow as tf
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tensorflow.core.framework import tensor_pb2
from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc

from faketagger.serving import limits, servable
from faketagger.serving.server import start_server
from faketagger.tests import helpers
from faketagger.tests.serving.helpers import N, picture, read_request, refusal, reload_request, save_stub_tagger

pytestmark = pytest.mark.slow

PREDICT = "/tensorflow.serving.PredictionService/Predict"
CHECK = "/grpc.health.v1.Health/Check"


@pytest.fixture(scope="module")
def base_path(tmp_path_factory):
    path = tmp_path_factory.mktemp("stub") / "models"
    save_stub_tagger(str(path / "1"))
    return path


@pytest.fixture(scope="module")
def server(base_path):
    running = start_server(str(base_path), poll_seconds=3600, first_message_seconds=1.0)
    yield running
    running.stop(0)


@pytest.fixture
def channel(server):
    with grpc.insecure_channel(f"localhost:{server.port}") as channel:
        yield channel
        # Whatever the test did to it.
        assert _predict(channel, read_request()).model_spec.version.value == 1
        assert _health(channel) == health_pb2.HealthCheckResponse.SERVING


@pytest.fixture
def encoder(tmp_path):
    """A model that takes images as numbers."""
    module = tf.Module()
    module.encode = tf.function(lambda images: {"images": images}, [tf.TensorSpec([None, 32, 32, 3], name="images")])
    tf.saved_model.save(module, str(tmp_path / "encoder"), {"encode": module.encode})
    return servable.Servable(str(tmp_path / "encoder"))


def _predict(channel, request):
    return prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict(request, timeout=60)


def _refusal(channel, request):
    return refusal(lambda each: _predict(channel, each), request)


def _health(channel):
    return health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=60).status


def _request(image=None, key_mask=None):
    request = read_request()
    if image is not None:
        request.inputs["image"].CopyFrom(image)
    if key_mask is not None:
        request.inputs["key_mask"].CopyFrom(key_mask)
    return request


def _tensor(dtype, sizes, **values):
    proto = tensor_pb2.TensorProto(dtype=dtype.as_datatype_enum, **values)
    for size in sizes:
        proto.tensor_shape.dim.add(size=size)
    return proto


def _pictures(*files):
    masks = tf.make_tensor_proto(np.zeros([len(files), N], np.float32))
    return _request(tf.make_tensor_proto(list(files), tf.string, [len(files)]), masks)


# Sizes that are declared and not sent


@pytest.mark.parametrize(
    "name, tensor",
    [
        ("image", _tensor(tf.string, [100_000], string_val=[picture()])),
        ("image", _tensor(tf.string, [100_000])),
        ("image", _tensor(tf.string, [], tensor_content=b"\0" * 8)),
        ("image", _tensor(tf.string, [1], string_val=[b"a", b"b"])),
        ("key_mask", _tensor(tf.float32, [10**6, 10**6], float_val=[0.0])),
        ("key_mask", _tensor(tf.float32, [2, N], float_val=[0.0])),
        ("key_mask", _tensor(tf.float32, [1, N])),
        ("key_mask", _tensor(tf.float32, [1, N], tensor_content=b"\0" * 4 * (N - 1))),
        ("key_mask", _tensor(tf.float32, [1, N], tensor_content=b"\0" * (4 * N - 1))),
        ("key_mask", _tensor(tf.float32, [-1, N], float_val=[0.0] * N)),
        ("key_mask", _tensor(tf.float32, [0, 2**62])),
        ("key_mask", _tensor(tf.float32, [1] * 200 + [N], float_val=[0.0] * N)),
        ("key_mask", _tensor(tf.uint8, [1], int_val=[70_000])),
        ("key_mask", _tensor(tf.resource, [1])),
        ("key_mask", tensor_pb2.TensorProto(dtype=9999)),
        ("key_mask", tensor_pb2.TensorProto()),
    ],
)
def test_a_tensor_whose_shape_is_not_that_of_its_values_is_refused_by_name(channel, name, tensor):
    code, message = _refusal(channel, _request(**{name: tensor}))
    assert code == "INVALID_ARGUMENT" and name in message and len(message) < 300


def test_the_sentence_says_how_many_were_declared_and_sent(channel):
    request = _request(_tensor(tf.string, [100_000], string_val=[picture()]))
    expected = "tensor parsing error: image: its shape [100000] declares 100000 values, and 1 were sent"
    assert len(request.SerializeToString()) < 2000
    assert _refusal(channel, request) == ("INVALID_ARGUMENT", expected)


def test_batches_are_of_one_size_not_empty_and_not_over_64_pictures(channel):
    assert _refusal(channel, _pictures()) == ("INVALID_ARGUMENT", "The batch is empty: send at least one row")
    two = tf.make_tensor_proto([picture()] * 2)
    expected = ("INVALID_ARGUMENT", "The inputs' batches differ: image 2, key_mask 1")
    assert _refusal(channel, _request(two)) == expected
    expected = ("INVALID_ARGUMENT", "A call takes 64 pictures at most, got 65: send more calls")
    assert _refusal(channel, _pictures(*[picture()] * 65)) == expected
    assert len(_predict(channel, _pictures(*[picture()] * 64)).outputs["tagged"].bool_val) == 64


def test_pictures_that_are_too_many_are_refused_before_one_is_decoded(channel, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(limits, "checked", None)
        code, message = _refusal(channel, _pictures(*[picture()] * 65))
    assert code == "INVALID_ARGUMENT" and "64 pictures at most, got 65" in message


@pytest.mark.parametrize("count, most", [(65, 65 * 12 * 32**2), (64, 0)])
def test_images_as_numbers_are_64_or_within_a_bound_of_memory(encoder, monkeypatch, count, most):
    monkeypatch.setattr(limits, "MAX_IMAGES_BYTES", most)
    images = np.zeros([count, 32, 32, 3], np.float32)
    assert encoder.run("encode", {"images": images})["images"].shape == images.shape
    if count > 64:
        monkeypatch.setattr(limits, "MAX_IMAGES_BYTES", most - 1)
        with pytest.raises(servable.ServingError, match="64 pictures at most, got 65"):
            encoder.run("encode", {"images": images})


# Pictures that ask for more than they look


def _jpeg_of_scans(count):
    """Repeats the last scan of a progressive JPEG, which libjpeg decodes again each time."""
    data = helpers.file_of(np.zeros([64, 64, 3], np.uint8), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * count + data[-2:]


def test_pictures_are_measured_by_their_headers_before_they_are_decoded(channel):
    bomb = helpers.png_claiming(10_000, 10_000)
    code, message = _refusal(channel, _pictures(bomb))
    assert code == "INVALID_ARGUMENT"
    assert message.startswith("100,000,000 pixels in one call are over 50,000,000")
    together = [helpers.png_claiming(6_000, 6_000)] * 2
    assert _refusal(channel, _pictures(*together))[1].startswith("72,000,000 pixels in one call")


def test_a_jpeg_of_very_many_scans_is_refused(channel):
    code, message = _refusal(channel, _pictures(_jpeg_of_scans(2000)))
    assert code == "INVALID_ARGUMENT" and "more than are decoded" in message
    usual = helpers.file_of(np.zeros([64, 64, 3], np.uint8), "JPEG", progressive=True)
    assert _predict(channel, _pictures(usual)).outputs["tagged"].bool_val == [False]


def test_scans_of_all_pictures_of_a_call_are_counted_together(channel, monkeypatch):
    usual = helpers.file_of(np.zeros([64, 64, 3], np.uint8), "JPEG", progressive=True)
    scanned = usual.count(b"\xff\xda") * 64 * 64
    monkeypatch.setattr(limits, "MAX_SCANNED_PIXELS", 2 * scanned)
    assert len(_predict(channel, _pictures(usual, usual)).outputs["tagged"].bool_val) == 2
    code, message = _refusal(channel, _pictures(usual, usual, usual))
    assert code == "INVALID_ARGUMENT" and f"{3 * scanned:,} pixels in all scans of one call" in message


def test_a_jpeg_whose_size_is_hidden_is_refused(channel):
    data = helpers.file_of(np.zeros([64, 64, 3], np.uint8), "JPEG")
    code, message = _refusal(channel, _pictures(data[:2] + b"junk" + data[2:]))
    assert code == "INVALID_ARGUMENT" and "neither JPEG nor PNG" in message


def test_a_broken_picture_is_refused_before_tensorflow_begins_it(channel, monkeypatch):
    whole = helpers.file_of(np.random.default_rng(2).integers(0, 256, [200, 200, 3], np.uint8), "JPEG")
    middle = len(whole) * 4 // 5
    assert _predict(channel, _pictures(whole)).outputs["tagged"].bool_val == [False]
    with monkeypatch.context() as patched:
        patched.setattr(servable.Servable, "run", None)
        for broken in (whole[:middle] + b"\xff\xbc" + whole[middle:], whole[:middle], picture()[:-30]):
            expected = ("INVALID_ARGUMENT", "image is broken: it cannot be decoded")
            assert _refusal(channel, _pictures(picture(), broken)) == expected


# Calls that hold what others need


def _half_open(channel, path):
    """A call that has begun and sends no message, until the event is set."""
    forever = threading.Event()

    def nothing():
        forever.wait(60)
        yield from ()

    return channel.stream_unary(path).future(nothing(), timeout=60), forever


@pytest.mark.parametrize("path", [PREDICT, CHECK, "/tensorflow.serving.ModelService/GetModelStatus"])
def test_half_open_calls_keep_nobody_waiting_and_end_by_themselves(channel, path):
    calls = [_half_open(channel, path) for _ in range(40)]
    assert _health(channel) == health_pb2.HealthCheckResponse.SERVING
    assert _predict(channel, read_request()).model_spec.version.value == 1
    for call, forever in calls:
        assert call.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        assert "No whole message came within 1 s" in call.details()
        forever.set()


def test_a_call_that_ends_without_a_message_is_refused(channel):
    with pytest.raises(grpc.RpcError) as caught:
        channel.stream_unary(PREDICT)(iter(()), timeout=60)
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert caught.value.details() == "The call ended without a message"


@pytest.mark.parametrize(
    "path, said",
    [(PREDICT, "Malformed message: it is no PredictRequest"), (CHECK, "Malformed message for /grpc.health.v1")],
)
def test_a_malformed_message_is_told_in_a_sentence(channel, path, said):
    with pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary(path)(b"\xff\xffnothing that parses", timeout=60)
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert caught.value.details().startswith(said)


def test_compressed_messages_are_refused_before_they_are_unpacked(channel):
    call = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict
    many = _pictures(*[b"\0" * 1000] * 60)
    code, message = refusal(lambda each: call(each, compression=grpc.Compression.Gzip, timeout=60), many)
    assert code == "UNIMPLEMENTED" and "gzip" in message.lower()


@pytest.fixture
def held(monkeypatch):
    """Predictions wait until the event is set; the list has the versions of those that began."""
    leave, begun = threading.Event(), []
    predict = servable.Servable.predict

    def slow(self, request):
        begun.append(request.model_spec.version.value)
        assert leave.wait(60)
        return predict(self, request)

    monkeypatch.setattr(servable.Servable, "predict", slow)
    yield leave, begun
    leave.set()


def test_an_overloaded_server_says_so_apart_from_a_bad_picture_and_answers_health(channel, held):
    leave, _ = held
    call = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict
    futures = [call.future(read_request(), timeout=60) for _ in range(64)]
    refused = None
    for _ in range(200):  # Until the 64 have arrived.
        extra = call.future(read_request(), timeout=60)
        try:
            extra.exception(0.1)
        except grpc.FutureTimeoutError:
            futures.append(extra)
            continue
        refused = extra
        break
    assert refused.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert refused.details() == "overloaded: 64 calls wait; try again later"
    assert dict(refused.trailing_metadata())["grpc-retry-pushback-ms"] == "250"
    assert _health(channel) == health_pb2.HealthCheckResponse.SERVING
    leave.set()
    assert sum(each.exception(60) is None for each in futures) >= 64


def test_a_call_that_is_given_up_while_it_waits_is_never_worked_on(server, channel, held):
    leave, begun = held
    call = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict
    threads = server._predicting._threads._max_workers
    first = [call.future(read_request(), timeout=60) for _ in range(threads)]
    assert _eventually(lambda: len(begun) == threads)
    given_up = call.future(read_request(), timeout=0.5)
    assert given_up.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    assert _eventually(lambda: server._predicting._calls == threads)
    leave.set()
    assert all(each.exception(60) is None for each in first)
    assert len(begun) == threads


def _eventually(condition):
    waiting = threading.Event()
    return any(condition() or waiting.wait(0.05) for _ in range(600))


# Reloads


@pytest.fixture
def alone(base_path, tmp_path):
    """A server and its models that a test may change."""
    shutil.copytree(base_path, tmp_path / "models")
    running = start_server(str(tmp_path / "models"), poll_seconds=3600)
    with grpc.insecure_channel(f"localhost:{running.port}") as channel:
        yield running, channel, tmp_path / "models"
    running.stop(0)


def test_a_refused_reload_changes_nothing(alone, tmp_path):
    running, channel, models = alone
    reload_config = model_service_pb2_grpc.ModelServiceStub(channel).HandleReloadConfigRequest
    mine = {"name": "faketagger", "base_path": models, "labels": {"stable": 1}}
    reload_config(reload_request(mine))
    (tmp_path / "empty").mkdir()
    shutil.copytree(models / "1", tmp_path / "other" / "7")
    refused = [
        [{"name": "other", "base_path": tmp_path / "other"}, {"name": "new", "base_path": tmp_path / "empty"}],
        [{"name": "faketagger", "base_path": tmp_path / "empty"}],
        [{"name": "faketagger", "base_path": tmp_path / "other", "labels": {"stable": 3}}],
    ]
    for configs in refused:
        refusal(reload_config, reload_request(*configs))
        running.manager.poll()
        for spec in ({}, {"version": 1}, {"label": "stable"}):
            assert _predict(channel, read_request(**spec)).model_spec.version.value == 1
        assert refusal(lambda each: _predict(channel, each), read_request(name="other"))[0] == "NOT_FOUND"
        assert running.manager.available("faketagger") == {1} and running.manager.available("other") == set()


def test_a_reload_takes_the_versions_of_another_path_though_they_have_the_same_numbers(alone, tmp_path):
    running, channel, models = alone
    before = running.manager.find(read_request().model_spec)[1]
    shutil.copytree(models / "1", tmp_path / "other" / "1")
    config = {"name": "faketagger", "base_path": tmp_path / "other"}
    model_service_pb2_grpc.ModelServiceStub(channel).HandleReloadConfigRequest(reload_request(config))
    assert running.manager.find(read_request().model_spec)[1] is not before


def test_version_swaps_and_reloads_are_logged(alone, caplog):
    running, channel, models = alone
    caplog.set_level("INFO", logger="absl")
    shutil.copytree(models / "1", models / "2")
    running.manager.poll()
    config = {"name": "faketagger", "base_path": models}
    model_service_pb2_grpc.ModelServiceStub(channel).HandleReloadConfigRequest(reload_request(config))
    said = [record.getMessage() for record in caplog.records]
    expected = (
        "faketagger version 2 loaded from",
        "faketagger version 1 unloaded",
        f"reloaded: faketagger from {models}",
    )
    assert [next(words for words in expected if each.startswith(words)) for each in said] == list(expected)
