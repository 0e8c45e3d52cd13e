"""Server, client and command line together, over real gRPC, with a tiny tagger that writes its bits as pixels."""

import gc
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import weakref

import grpc
import numpy as np
import pytest
import tensorflow as tf
from grpc_health.v1 import health_pb2, health_pb2_grpc
from PIL import Image
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_log_pb2,
    prediction_service_pb2_grpc,
)

from faketagger.components.contract import images, payload
from faketagger.serving import client, limits, servable
from faketagger.serving.commands import common, serve
from faketagger.serving.server import start_server
from faketagger.tests.serving.helpers import (
    HAMMING,
    K,
    N,
    picture,
    read_request,
    refusal,
    reload_request,
    save_stub_tagger,
    self_signed,
)

pytestmark = pytest.mark.slow

KEY = b"the first key of the tests"
AVAILABLE, END = 30, 50


@pytest.fixture(scope="module")
def saved_model(tmp_path_factory):
    path = str(tmp_path_factory.mktemp("stub") / "tagger")
    save_stub_tagger(path)
    return path


@pytest.fixture
def base_path(tmp_path, saved_model):
    """A base path with version 1."""
    shutil.copytree(saved_model, tmp_path / "models" / "1")
    return tmp_path / "models"


@pytest.fixture
def server(base_path):
    """Serves version 1; looks for others when a test says `server.manager.poll()`, or within the hour."""
    running = start_server(str(base_path), poll_seconds=3600)
    yield running
    running.stop(0)


@pytest.fixture
def channel(server):
    with grpc.insecure_channel(f"localhost:{server.port}") as channel:
        yield channel


@pytest.fixture
def predictions(channel):
    return prediction_service_pb2_grpc.PredictionServiceStub(channel)


@pytest.fixture
def models(channel):
    return model_service_pb2_grpc.ModelServiceStub(channel)


def _status_request(name="faketagger", version=None):
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = name
    if version is not None:
        request.model_spec.version.value = version
    return request


def _states(models):
    return {it.version: it.state for it in models.GetModelStatus(_status_request()).model_version_status}


# The server


def test_predict_answers_in_typed_fields_and_names_model_version_and_signature(predictions):
    response = predictions.Predict(read_request())
    assert response.model_spec.name == "faketagger"
    assert response.model_spec.version.value == 1
    assert response.model_spec.signature_name == "read"
    assert set(response.outputs) == {"message", "score", "p_value", "tagged", "logits"}
    logits = response.outputs["logits"]
    assert len(logits.float_val) == N and not logits.tensor_content
    assert [it.size for it in logits.tensor_shape.dim] == [1, N]
    assert len(response.outputs["message"].int_val) == K
    assert list(response.outputs["tagged"].bool_val) == [False]


def test_predict_returns_the_filtered_outputs_only(predictions):
    request = read_request()
    request.output_filter.extend(["tagged", "p_value"])
    assert set(predictions.Predict(request).outputs) == {"tagged", "p_value"}


def test_what_is_kept_of_a_filter_does_not_keep_the_request(base_path):
    class Names(list):
        """A list that can be watched, as a request's field keeps all of the request."""

    model, names = servable.Servable(str(base_path / "1")), Names(["tagged"])
    watched = weakref.ref(names)
    inputs = {"image": np.array([picture()], object), "key_mask": np.zeros([1, N], np.float32)}
    assert set(model.run("read", inputs, names)) == {"tagged"}
    del names
    gc.collect()
    assert watched() is None


def test_predict_refuses_as_tensorflow_serving_does(predictions):
    no_spec = predict_pb2.PredictRequest()
    missing_input, odd_output, twice = read_request(), read_request(), read_request()
    del missing_input.inputs["key_mask"]
    odd_output.output_filter.append("nothing")
    twice.output_filter.extend(["tagged", "tagged"])
    expected = [
        (no_spec, "INVALID_ARGUMENT", "Missing ModelSpec"),
        (read_request(name=""), "INVALID_ARGUMENT", "ModelSpec has no name specified."),
        (read_request(name="x"), "NOT_FOUND", "Servable not found for request: Latest(x)"),
        (read_request(version=5), "NOT_FOUND", "Servable not found for request: Specific(faketagger, 5)"),
        (read_request(label="new"), "INVALID_ARGUMENT", "Unrecognized servable version label: new"),
        (read_request(signature="s"), "FAILED_PRECONDITION", 'Serving signature key "s" not found.'),
        (read_request(signature=""), "FAILED_PRECONDITION", 'Serving signature key "serving_default" not found.'),
        (
            missing_input,
            "INVALID_ARGUMENT",
            "input size does not match signature: 1!=2 len({image}) != len({image,key_mask}). "
            "Sent extra: {}. Missing but required: {key_mask}.",
        ),
        (
            odd_output,
            "INVALID_ARGUMENT",
            "output tensor alias not found in signature: nothing "
            "Outputs expected to be in the set {logits,message,p_value,score,tagged}.",
        ),
        (twice, "INVALID_ARGUMENT", "duplicate output tensor alias: tagged"),
    ]
    for request, code, message in expected:
        assert refusal(predictions.Predict, request) == (code, message)


def test_predict_refuses_wrong_types_shapes_and_pictures_with_invalid_argument(predictions):
    wrong_type, wrong_shape, no_picture = read_request(), read_request(), read_request()
    wrong_type.inputs["key_mask"].CopyFrom(tf.make_tensor_proto(np.zeros([1, N], np.int64)))
    wrong_shape.inputs["key_mask"].CopyFrom(tf.make_tensor_proto(np.zeros([1, N + 1], np.float32)))
    no_picture.inputs["image"].CopyFrom(tf.make_tensor_proto([b"no picture"]))
    for request, words in ((wrong_type, "float32 but int64"), (wrong_shape, "(1, 8)"), (no_picture, "image")):
        code, message = refusal(predictions.Predict, request)
        assert code == "INVALID_ARGUMENT"
        assert words in message


def test_long_error_messages_are_cut_at_1024_characters(predictions):
    _, message = refusal(predictions.Predict, read_request(signature="s" * 3000))
    assert message.startswith('Serving signature key "sss')
    assert len(message) == 1024 + len("...TRUNCATED") and message.endswith("...TRUNCATED")


def test_requests_over_the_message_bound_are_refused(base_path):
    small = start_server(str(base_path), poll_seconds=3600, max_message_bytes=1000)
    with grpc.insecure_channel(f"localhost:{small.port}") as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        assert refusal(stub.Predict, read_request())[0] == "RESOURCE_EXHAUSTED"
    small.stop(0)


def test_methods_that_a_tagger_has_no_use_for_are_unimplemented(predictions):
    assert refusal(predictions.Classify, classification_pb2.ClassificationRequest())[0] == "UNIMPLEMENTED"


def test_metadata_holds_the_signatures_and_only_them(predictions):
    request = get_model_metadata_pb2.GetModelMetadataRequest()
    request.model_spec.name = "faketagger"
    message = "GetModelMetadataRequest must specify at least one metadata_field"
    assert refusal(predictions.GetModelMetadata, request) == ("INVALID_ARGUMENT", message)
    request.metadata_field.append("signature_def")
    response = predictions.GetModelMetadata(request)
    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(signatures)
    assert {"tag", "read", "describe"} <= set(signatures.signature_def)
    assert set(signatures.signature_def["tag"].inputs) == {"image", "codeword", "strength"}
    request.metadata_field.append("weights")
    assert refusal(predictions.GetModelMetadata, request)[1] == "Metadata field weights is not supported"


def test_status_refuses_models_and_versions_that_never_were(models):
    not_found = "NOT_FOUND"
    refused_as = refusal(models.GetModelStatus, _status_request("x"))
    assert refused_as == (not_found, "Could not find any versions of model x")
    refused_as = refusal(models.GetModelStatus, _status_request(version=9))
    assert refused_as == (not_found, "Could not find version 9 of model faketagger")


def test_a_new_version_takes_over_and_the_old_one_ends(server, base_path, predictions, models):
    os.rename(shutil.copytree(base_path / "1", base_path / "copying"), base_path / "2")
    server.manager.poll()
    assert predictions.Predict(read_request()).model_spec.version.value == 2
    assert _states(models) == {2: AVAILABLE, 1: END}
    refused_as = refusal(predictions.Predict, read_request(version=1))
    assert refused_as == ("NOT_FOUND", "Servable not found for request: Specific(faketagger, 1)")


def test_the_thread_finds_a_new_version_by_itself(base_path):
    running = start_server(str(base_path), poll_seconds=0.05)
    shutil.copytree(base_path / "1", base_path / "copying").rename(base_path / "2")
    reached = _eventually(lambda: running.manager.available("faketagger") == {2})
    running.stop(0)
    assert reached


def _eventually(condition):
    waiting = threading.Event()
    return any(condition() or waiting.wait(0.05) for _ in range(600))


def test_removing_the_new_version_brings_the_old_one_back(server, base_path, predictions):
    shutil.copytree(base_path / "1", base_path / "2")
    server.manager.poll()
    shutil.rmtree(base_path / "2")
    server.manager.poll()
    assert predictions.Predict(read_request()).model_spec.version.value == 1


def test_an_unfinished_push_is_waited_for(server, base_path, predictions, models):
    shutil.copytree(base_path / "1", base_path / "2", ignore=shutil.ignore_patterns("saved_model.pb"))
    server.manager.poll()
    assert _states(models) == {1: AVAILABLE}
    shutil.copy(base_path / "1" / "saved_model.pb", base_path / "2")
    server.manager.poll()
    assert predictions.Predict(read_request()).model_spec.version.value == 2


def test_a_broken_version_is_reported_once_and_the_old_one_goes_on(server, base_path, predictions, models, caplog):
    (base_path / "2").mkdir()
    (base_path / "2" / "saved_model.pb").write_bytes(b"not a model")
    for _ in range(3):
        server.manager.poll()
    assert predictions.Predict(read_request()).model_spec.version.value == 1
    broken, good = models.GetModelStatus(_status_request()).model_version_status
    assert (broken.version, broken.state, good.version, good.state) == (2, END, 1, AVAILABLE)
    assert broken.status.error_code != 0 and broken.status.error_message
    assert sum("version 2" in record.getMessage() for record in caplog.records) == 1


def test_the_old_version_goes_on_from_memory_when_only_a_broken_one_is_left(server, base_path, predictions):
    os.rename(base_path / "1", base_path / "2")
    (base_path / "2" / "saved_model.pb").write_bytes(b"not a model")
    server.manager.poll()
    assert predictions.Predict(read_request()).model_spec.version.value == 1


def test_a_broken_version_is_loaded_once_it_is_mended(server, base_path, predictions):
    (base_path / "2").mkdir()
    (base_path / "2" / "saved_model.pb").write_bytes(b"not a model")
    server.manager.poll()
    shutil.copytree(base_path / "1", base_path / "2", dirs_exist_ok=True)
    server.manager.poll()
    assert predictions.Predict(read_request()).model_spec.version.value == 2


def test_versions_whose_names_are_no_numbers_are_left_alone(server, base_path, models):
    for name in ("-3", "2.5", "v4", "٣"):
        shutil.copytree(base_path / "1", base_path / name)
    server.manager.poll()
    assert _states(models) == {1: AVAILABLE}


def _write_warm_up(version_path, requests):
    os.makedirs(version_path / "assets.extra")
    with tf.io.TFRecordWriter(str(version_path / servable.WARM_UP_FILE)) as writer:
        for request in requests:
            log = prediction_log_pb2.PredictionLog()
            log.predict_log.request.CopyFrom(request)
            writer.write(log.SerializeToString())


def test_warm_up_requests_run_before_the_version_is_available(server, base_path, monkeypatch):
    seen = []
    predict = servable.Servable.predict

    def recording(self, request):
        seen.append((request.model_spec.signature_name, server.manager.available("faketagger")))
        return predict(self, request)

    monkeypatch.setattr(servable.Servable, "predict", recording)
    shutil.copytree(base_path / "1", base_path / "2")
    _write_warm_up(base_path / "2", [read_request(), read_request()])
    server.manager.poll()
    assert seen == [("read", {1}), ("read", {1})]
    assert server.manager.available("faketagger") == {2}


def test_a_version_whose_warm_up_fails_is_not_served(server, base_path, models):
    shutil.copytree(base_path / "1", base_path / "2")
    _write_warm_up(base_path / "2", [read_request(signature="nothing")])
    server.manager.poll()
    failed, _ = models.GetModelStatus(_status_request()).model_version_status
    assert (failed.version, failed.state, failed.status.error_code) == (2, END, 9)
    assert failed.status.error_message == 'Serving signature key "nothing" not found.'


def test_more_than_1000_warm_up_requests_are_refused(base_path, monkeypatch):
    _write_warm_up(base_path / "1", [predict_pb2.PredictRequest()] * 1001)
    monkeypatch.setattr(servable.Servable, "predict", lambda self, request: None)
    with pytest.raises(servable.ServingError, match="exceeds the maximum .1000."):
        servable.Servable(str(base_path / "1")).warm_up()


def test_reload_replaces_the_full_set_of_models(predictions, models, base_path):
    models.HandleReloadConfigRequest(reload_request({"name": "other", "base_path": base_path}))
    assert predictions.Predict(read_request(name="other")).model_spec.name == "other"
    assert refusal(predictions.Predict, read_request())[0] == "NOT_FOUND"
    assert _states(models) == {1: END}


def test_labels_name_versions_and_move_only_to_available_ones(predictions, models, base_path):
    shutil.copytree(base_path / "1", base_path / "2")
    model = {"name": "faketagger", "base_path": base_path, "specific": [1, 2]}
    models.HandleReloadConfigRequest(reload_request({**model, "labels": {"stable": 1, "canary": 2}}))
    assert predictions.Predict(read_request(label="stable")).model_spec.version.value == 1
    assert predictions.Predict(read_request(label="canary")).model_spec.version.value == 2
    refused_as = refusal(models.HandleReloadConfigRequest, reload_request({**model, "labels": {"stable": 7}}))
    assert refused_as == (
        "FAILED_PRECONDITION",
        "Request to assign label to version 7 of model faketagger, which is not currently available for inference",
    )
    assert predictions.Predict(read_request(label="stable")).model_spec.version.value == 1


def test_reload_refuses_configs_that_cannot_be_served(models, predictions, base_path, tmp_path):
    model = {"name": "faketagger", "base_path": base_path}
    refused = [
        (model_management_pb2.ReloadConfigRequest(), "INVALID_ARGUMENT", "ServerModelConfig type not supported"),
        (reload_request(model, model), "INVALID_ARGUMENT", "Illegal to list model faketagger multiple times"),
        (reload_request({**model, "platform": "caffe"}), "INVALID_ARGUMENT", "unsupported platform caffe"),
        (reload_request({**model, "base_path": "here"}), "INVALID_ARGUMENT", "Expected model faketagger to have"),
    ]
    for request, code, words in refused:
        refused_as = refusal(models.HandleReloadConfigRequest, request)
        assert refused_as[0] == code and words in refused_as[1]
    empty = {"name": "new", "base_path": tmp_path}
    refused_as = refusal(models.HandleReloadConfigRequest, reload_request(model, empty))
    assert refused_as == ("UNKNOWN", "Some models did not become available: {{name: new}, }")
    assert predictions.Predict(read_request()).model_spec.version.value == 1


def test_stopping_lets_a_call_under_way_finish(server, predictions, monkeypatch):
    entered, leave = threading.Event(), threading.Event()
    predict = servable.Servable.predict

    def slow(self, request):
        entered.set()
        assert leave.wait(30)
        return predict(self, request)

    monkeypatch.setattr(servable.Servable, "predict", slow)
    answer = predictions.Predict.future(read_request())
    assert entered.wait(30)
    stopping = threading.Thread(target=server.stop, args=(30,))
    stopping.start()
    leave.set()
    assert answer.result(30).model_spec.version.value == 1
    stopping.join(30)
    assert server.manager.available("faketagger") == set()


def test_health_follows_the_models(tmp_path, saved_model):
    running = start_server(str(tmp_path / "models"), poll_seconds=3600)
    with grpc.insecure_channel(f"localhost:{running.port}") as channel:
        check = health_pb2_grpc.HealthStub(channel).Check
        for service in ("", "PredictionService", "ModelService"):
            request = health_pb2.HealthCheckRequest(service=service)
            assert check(request).status == health_pb2.HealthCheckResponse.NOT_SERVING
        shutil.copytree(saved_model, tmp_path / "models" / "1")
        running.manager.poll()
        assert check(request).status == health_pb2.HealthCheckResponse.SERVING
    running.stop(0)


def test_a_port_in_use_is_an_error_that_names_it(server, base_path):
    with pytest.raises(OSError, match=f"cannot listen on localhost:{server.port}"):
        start_server(str(base_path), server.port)


def test_the_server_program_says_what_it_serves_and_stops_on_sigterm(base_path):
    command = [sys.executable, "-m", "faketagger", "serve", f"--model_base_path={base_path}", "--port=0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        line = process.stdout.readline()
        port = int(line.rpartition(":")[2])
        reading = client.TaggerClient(client.connect(f"localhost:{port}"), KEY).read(picture())
        process.send_signal(signal.SIGTERM)
        rest, errors = process.communicate(timeout=60)
    assert line == f"Serving faketagger (version 1) from {base_path} on localhost:{port}\n"
    assert not reading.tagged
    assert (process.returncode, rest) == (0, "")
    assert re.sub(r"(?m)^.*?\] ", "", errors) == (
        f"faketagger version 1 loaded from {base_path}/1 after 0 warm-up requests\nfaketagger version 1 unloaded\n"
    )


# The client


@pytest.fixture(params=["grpc", "in process"])
def backend(request, base_path):
    if request.param == "in process":
        yield client.load(str(base_path))
    else:
        running = start_server(str(base_path), poll_seconds=3600)
        backend = client.connect(f"localhost:{running.port}")
        yield backend
        backend.close()
        running.stop(0)


@pytest.mark.parametrize(
    "format, mode", [("PNG", "RGB"), ("JPEG", "CMYK"), ("JPEG", "L"), ("WEBP", "RGB"), ("PNG", "P")]
)
def test_every_uid_comes_back_from_any_kind_ofpicture(backend, format, mode):
    tagger = client.TaggerClient(backend, KEY)
    for uid in (0, 5, 2**K - 1):
        png = tagger.tag(picture(format, mode=mode), uid)
        assert Image.open(io.BytesIO(png)).format == "PNG"
        assert images.load_image(png).shape == (16, 24, 3)
        reading = tagger.read(png)
        assert reading == client.Reading(uid, True, pytest.approx(0.002), pytest.approx(1.0), payload_version=2)


def test_another_key_reads_no_tag(backend):
    png = client.TaggerClient(backend, KEY).tag(picture(), 9)
    stranger = b"the second key of the tests"
    assert not (payload.key_mask(KEY, N, 2) == payload.key_mask(stranger, N, 2)).all()
    reading = client.TaggerClient(backend, stranger).read(png)
    assert reading == client.Reading(reading.candidate, False, pytest.approx(1.0), pytest.approx(1.0), 2)
    assert reading.uid is None


def test_a_picture_is_read_by_the_version_that_it_was_tagged_with(backend):
    first = payload.Payload(HAMMING, payload.key_mask(KEY, N))
    inputs = {"image": np.array([picture()], object), "strength": np.ones(1, np.float32)}
    for uid in range(2**K):
        codeword = first.codeword(uid)[np.newaxis]
        png = backend.predict("tag", {**inputs, "codeword": codeword}, ["image"])[0]["image"][0]
        reading = client.TaggerClient(backend, KEY).read(png)
        assert (reading.uid, reading.payload_version, reading.p_value) == (uid, 1, pytest.approx(0.002))


def test_a_key_made_since_version_2_is_read_once_and_keeps_its_p_values(backend, monkeypatch):
    asked = []
    predict = backend.predict
    monkeypatch.setattr(backend, "predict", lambda name, *rest: (asked.append(name), predict(name, *rest))[1])
    tagger = client.TaggerClient(backend, b"faketagger-key-2-" + b"0" * 64)
    assert not tagger.read(picture()).tagged and asked == ["describe", "read"]
    assert tagger.read(tagger.tag(picture(), 9)) == client.Reading(9, True, pytest.approx(0.001), 1.0, 2)


def test_strength_reaches_the_model(backend):
    png = client.TaggerClient(backend, KEY).tag(picture(), 9, strength=0.5)
    written = images.load_image(png).reshape(-1, 3)[:N, 0]
    assert set(written) <= {0, 127} and 127 in written


def test_the_callers_mistakes_are_told_in_one_line(backend):
    tagger = client.TaggerClient(backend, KEY)
    with pytest.raises(client.TaggerError, match="number from 0 to 15, got 16"):
        tagger.tag(picture(), 16)
    with pytest.raises(client.TaggerError, match="above 0, got nan"):
        tagger.tag(picture(), 1, strength=float("nan"))
    with pytest.raises(client.PictureError, match="^holiday.jpg: not a readable picture"):
        tagger.read(picture("JPEG")[:300], "holiday.jpg")
    with pytest.raises(client.TaggerError, match="at least 16 bytes, got 5"):
        client.TaggerClient(backend, b"short").read(picture())


def test_a_client_follows_the_server_to_a_new_version(server, base_path):
    tagger = client.TaggerClient(client.connect(f"localhost:{server.port}"), KEY)
    png = tagger.tag(picture(), 3)
    shutil.copytree(base_path / "1", base_path / "2")
    server.manager.poll()
    assert server.manager.available("faketagger") == {2}
    assert tagger.read(png).uid == 3
    tagger.close()


def test_server_trouble_is_told_in_one_line(server):
    def error_of(backend):
        with pytest.raises(client.TaggerError) as caught:
            client.TaggerClient(backend, KEY).read(picture())
        assert type(caught.value) is not client.PictureError
        return str(caught.value)

    address = f"localhost:{server.port}"
    assert "no version of a model 'x' is served there" in error_of(client.connect(address, model_name="x"))
    assert "Unrecognized servable version label: new" in error_of(client.connect(address, label="new"))
    server.stop(0)
    assert error_of(client.connect(address)).startswith(f"{address}: no server can be reached; `faketagger serve ")


def test_load_takes_the_newest_complete_version_and_names_what_it_cannot_load(base_path, tmp_path):
    shutil.copytree(base_path / "1", base_path / "10")
    (base_path / "11").mkdir()
    assert client.load(str(base_path)).status() == [client.VersionStatus(10, "AVAILABLE")]
    (base_path / "11" / "saved_model.pb").write_bytes(b"not a model")
    with pytest.raises(client.TaggerError, match="11: not a loadable SavedModel"):
        client.load(str(base_path))
    with pytest.raises(client.TaggerError, match="nowhere: cannot be listed"):
        client.load(str(tmp_path / "nowhere"))


def test_tls_with_client_certificates(base_path):
    key, certificate = self_signed()
    credentials = grpc.ssl_server_credentials([(key, certificate)], certificate, require_client_auth=True)
    running = start_server(str(base_path), poll_seconds=3600, credentials=credentials)
    address = f"localhost:{running.port}"
    mine = grpc.ssl_channel_credentials(certificate, key, certificate)
    assert not client.TaggerClient(client.connect(address, credentials=mine), KEY).read(picture()).tagged
    nobody = grpc.ssl_channel_credentials(certificate)
    with pytest.raises(client.TaggerError, match="no server can be reached"):
        client.TaggerClient(client.connect(address, credentials=nobody), KEY).read(picture())
    running.stop(0)


# The commands


def test_serve_takes_messages_as_large_as_start_server_does():
    given = serve.make_parser().parse(["serve", "--model_base_path=DIR"])
    assert given.max_message_mib * 2**20 == servable.MAX_MESSAGE_BYTES
    assert given.max_megapixels * 10**6 == limits.MAX_PIXELS


def test_keygen_makes_a_key_once(faketagger):
    code, out, _ = faketagger("keygen", "keys/mine")
    made = payload.read_key("keys/mine")
    assert code == 0 and f"a new key, fingerprint {payload.fingerprint(made)};" in out
    code, _, err = faketagger("keygen", "keys/mine")
    assert code == common.FAILED and "never replaced" in err
    assert payload.read_key("keys/mine") == made


def test_status_shows_versions_and_numbers(faketagger, server, base_path):
    (base_path / "2").mkdir()
    (base_path / "2" / "saved_model.pb").write_bytes(b"not a model")
    server.manager.poll()
    where = f"--server=localhost:{server.port}"
    code, out, _ = faketagger("status", where, "--json")
    facts = json.loads(out)
    assert code == 0
    assert [(it["version"], it["state"]) for it in facts["versions"]] == [(2, "END"), (1, "AVAILABLE")]
    assert facts["versions"][0]["error"]
    assert (facts["largest_uid"], facts["code_bits"], facts["false_positive_rate"]) == (15, N, 0.01)
    assert "largest uid: 15" in faketagger("status", where)[1]
    assert facts["payload_versions"] == [1, 2] and "payload versions: 1, 2" in faketagger("status", where)[1]


def test_the_program_is_quiet_and_names_an_unreachable_server(faketagger):
    faketagger("keygen", "key")
    arguments = ["read", "in.jpg", "--key_file=key", "--server=localhost:1"]
    command = [sys.executable, "-m", "faketagger", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (common.FAILED, "")
    hint = "`faketagger serve --model_base_path=DIR` starts one"
    assert done.stderr == f"faketagger: localhost:1: no server can be reached; {hint}\n"
