"""The embedded server over HTTP: TensorFlow Serving's REST API, errors and metrics."""

import base64
import json
import random
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import urllib.error
import urllib.request

import grpc
import pytest
from tensorflow_serving.apis import prediction_service_pb2_grpc
from tensorflow_serving.config import model_server_config_pb2

from faketagger.benchmarks.attacks.fuzz_server import mutate
from faketagger.serving import configs
from faketagger.serving.rest import metrics, tensors
from faketagger.serving.servable import ServingError
from faketagger.serving.server import Rest, start_server
from faketagger.tests.serving.helpers import (
    HAMMING,
    K,
    N,
    picture,
    read_request,
    refusal,
    save_stub_tagger,
    self_signed,
)

pytestmark = pytest.mark.slow

CODEWORD = [1] * N


@pytest.fixture(scope="module")
def base_path(tmp_path_factory):
    path = tmp_path_factory.mktemp("stub") / "models"
    for version in ("1", "2"):
        save_stub_tagger(str(path / version))
    return path


@pytest.fixture(scope="module")
def server(base_path):
    config = model_server_config_pb2.ModelConfigList()
    for name, versions in (("faketagger", {"all": {}}), ("old", {"specific": {"versions": [1]}}), ("new", {})):
        policy = {"model_version_policy": versions} if versions else {}
        config.config.add(name=name, base_path=str(base_path), model_platform="tensorflow", **policy)
    config.config[0].version_labels["stable"] = 1
    running = start_server(
        config,
        poll_seconds=3600,
        first_message_seconds=1.0,
        rest=Rest(metrics_path=metrics.PATH),
        max_message_bytes=10**6,
    )
    yield running
    running.stop(0)


@pytest.fixture
def call(server):
    """Status and body of a call."""
    yield lambda path, body=None, method=None: _call(f"http://localhost:{server.rest_port}{path}", body, method)
    # Whatever the test did to it.
    assert _call(f"http://localhost:{server.rest_port}/v1/models/faketagger")[0] == 200


def _call(url, body=None, method=None, **options):
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(url, data, method=method)
    try:
        with urllib.request.urlopen(request, timeout=60, **options) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def _json(answer):
    return answer[0], json.loads(answer[1])


def _b64(data):
    return {"b64": base64.b64encode(data).decode()}


def _tagged(data=None):
    """A row that tags a picture."""
    return {"image": _b64(data or picture()), "codeword": CODEWORD, "strength": 1.0}


def _read_row(file):
    return {"image": _b64(file), "key_mask": [0] * N}


# Predict


def test_what_is_tagged_by_rows_is_read_by_columns(call):
    body = {"signature_name": "tag", "instances": [_tagged(), _tagged(picture("JPEG"))]}
    status, told = _json(call("/v1/models/faketagger:predict", body))
    assert status == 200 and set(told) == {"predictions"}
    files = [base64.b64decode(each["b64"]) for each in told["predictions"]]  # One output: it stands by itself.
    inputs = {"image": [_b64(file) for file in files], "key_mask": [[0] * N] * 2}
    status, told = _json(call("/v1/models/faketagger:predict", {"signature_name": "read", "inputs": inputs}))
    assert status == 200 and set(told) == {"outputs"}
    assert told["outputs"]["message"] == [[1] * K] * 2 and told["outputs"]["tagged"] == [True, True]
    assert HAMMING.sum(0).tolist()[:K] == [1] * K  # All ones is a codeword of the code.


def test_rows_of_several_outputs_are_objects_with_numbers_as_their_type_has_them(call):
    body = {"signature_name": "read", "instances": [_read_row(picture())]}
    status, told = _json(call("/v1/models/faketagger:predict", body))
    (row,) = told["predictions"]
    assert status == 200 and set(row) == {"message", "score", "p_value", "tagged", "logits"}
    assert row["p_value"] == 0.5 and row["tagged"] is False and len(row["logits"]) == N
    assert all(len(repr(number)) < 14 for number in row["logits"])  # float32's digits, not float64's.


def test_a_single_input_needs_no_name_and_a_string_may_be_plain(call):
    for body in ({"instances": ["a", "b"]}, {"inputs": ["a", "b"]}, {"instances": [_b64(b"a")]}):
        status, told = _json(call("/v1/models/faketagger:predict", {"signature_name": "describe", **body}))
        (found,) = told.values()
        assert status == 200 and {json.loads(text)["code_bits"] for text in found} == {N}


@pytest.mark.parametrize("path", ["/versions/1", "/labels/stable", "/versions/2", ""])
def test_a_version_is_named_by_number_or_label(call, path):
    body = {"signature_name": "describe", "instances": ["a"]}
    assert call(f"/v1/models/faketagger{path}:predict", body)[0] == 200


@pytest.mark.parametrize(
    "path, body, code, said",
    [
        ("faketagger", b"{", 400, "JSON Parse error"),
        ("faketagger", b"", 400, "JSON Parse error"),
        ("faketagger", b"\xff", 400, "JSON Parse error"),
        ("faketagger", b"[" * 100_000, 400, "nested too deeply"),
        ("faketagger", [1], 400, "expected an object"),
        ("faketagger", {"signature_name": 3}, 400, "must be a string"),
        ("faketagger", {}, 400, "found neither"),
        ("faketagger", {"instances": [1], "inputs": [1]}, 400, "found instances and inputs"),
        ("faketagger", {"instances": []}, 400, "at least one row"),
        ("faketagger", {"instances": {"image": 1}}, 400, "at least one row"),
        ("faketagger", {"signature_name": "no", "instances": [1]}, 400, '"no" not found in signature def'),
        ("faketagger", {"instances": [1]}, 400, '"serving_default" not found'),
        ("faketagger", {"signature_name": "read", "instances": ["a"]}, 400, "objects of image, key_mask"),
        ("faketagger", {"signature_name": "read", "instances": [{"image": "a"}]}, 400, "Row 0"),
        ("faketagger", {"signature_name": "read", "inputs": {"image": ["a"]}}, 400, "lacks key_mask"),
        ("faketagger", {"signature_name": "read", "inputs": ["a"]}, 400, "an object of image, key_mask"),
        ("faketagger", {"signature_name": "describe", "instances": [{"b64": "?"}]}, 400, "unable to decode base64"),
        ("faketagger", {"signature_name": "describe", "instances": [3]}, 400, "found a number, not a string"),
        ("faketagger", {"signature_name": "describe", "instances": ["\ud800"]}, 400, "surrogates not allowed"),
        ("faketagger", {"signature_name": "describe", "instances": [[], []]}, 400, "to be of shape"),
        ("faketagger", {"signature_name": "tag", "instances": [{**_tagged(), "strength": "1"}]}, 400, "found a string"),
        ("faketagger", {"signature_name": "tag", "instances": [{**_tagged(), "strength": True}]}, 400, "true or false"),
        ("faketagger", {"signature_name": "tag", "instances": [{**_tagged(), "codeword": [[]]}]}, 400, "codeword"),
        ("faketagger", {"signature_name": "tag", "instances": [_tagged(b"no picture")]}, 400, "neither JPEG nor PNG"),
        ("nothing", {"instances": [1]}, 404, "Servable not found for request: Latest(nothing)"),
        ("faketagger/versions/9", {"instances": [1]}, 404, "Specific(faketagger, 9)"),
        ("faketagger/versions/" + "9" * 40, {"instances": [1]}, 400, "to numeric"),
        ("faketagger/labels/none", {"instances": [1]}, 400, "Unrecognized servable version label: none"),
    ],
)
def test_what_cannot_be_answered_is_an_error_in_json(call, path, body, code, said):
    status, told = _json(call(f"/v1/models/{path}:predict", body))
    assert status == code and set(told) == {"error"} and said in told["error"] and len(told["error"]) < 300


def test_rows_of_different_lengths_are_ragged(call):
    rows = [_tagged(), {**_tagged(), "codeword": [1]}]
    status, told = _json(call("/v1/models/faketagger:predict", {"signature_name": "tag", "instances": rows}))
    assert status == 400 and "codeword is ragged" in told["error"]


def test_a_body_of_very_many_values_is_refused_before_it_is_parsed(monkeypatch):
    monkeypatch.setattr(tensors, "MOST_VALUES", 10)
    with pytest.raises(ServingError, match="over 10 values"):
        tensors.parse(b'{"instances": [' + b"0," * 20 + b"0]}")


@pytest.mark.parametrize(
    "method, path, code",
    [
        ("POST", "/v1/models/faketagger:classify", 501),
        ("POST", "/v1/models/faketagger:regress", 501),
        ("POST", "/v1/models/faketagger", 400),
        ("POST", "/v1/models/:predict", 400),
        ("POST", "/v1/models/a/b:predict", 400),
        ("GET", "/v1/models/faketagger:predict", 400),
        ("GET", "/v1/models", 400),
        ("PUT", "/v1/models/faketagger", 405),
        ("GET", "/", 404),
        ("GET", "/v2/models/faketagger", 404),
    ],
)
def test_other_calls_are_refused(call, method, path, code):
    status, told = _json(call(path, {} if method != "GET" else None, method))
    assert status == code and told["error"]


def test_mutated_bodies_are_answered_or_refused(call):
    draw = random.Random(3)
    rows = {"signature_name": "read", "instances": [_read_row(picture())]}
    columns = {"signature_name": "tag", "inputs": {name: [value] for name, value in _tagged().items()}}
    for number in range(300):
        body = mutate(json.dumps((rows, columns)[number % 2]).encode(), draw)
        status, told = call("/v1/models/faketagger:predict", body)
        assert status in (200, 400) and isinstance(json.loads(told), dict)


# Status and metadata


def test_status_says_every_version_and_its_state(call):
    status, told = _json(call("/v1/models/faketagger"))
    fine = {"state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    assert status == 200
    assert told == {"model_version_status": [{"version": "2", **fine}, {"version": "1", **fine}]}
    for path in ("/v1/models/faketagger/versions/1", "/v1/models/faketagger/labels/stable", "/v1/models/old"):
        assert _json(call(path)) == (200, {"model_version_status": [{"version": "1", **fine}]})
    assert _json(call("/v1/models/new"))[1]["model_version_status"][0]["version"] == "2"
    assert _json(call("/v1/models/none"))[0] == 404


def test_metadata_says_what_signatures_take(call):
    status, told = _json(call("/v1/models/faketagger/metadata"))
    assert status == 200
    assert told["model_spec"] == {"name": "faketagger", "signature_name": "", "version": "2"}
    read = told["metadata"]["signature_def"]["signature_def"]["read"]
    assert read["inputs"]["key_mask"]["dtype"] == "DT_FLOAT"
    assert [each["size"] for each in read["inputs"]["key_mask"]["tensor_shape"]["dim"]] == ["-1", str(N)]


# Bounds


def test_a_large_body_is_refused_before_it_comes(server):
    head = b"POST /v1/models/faketagger:predict HTTP/1.1\r\nHost: x\r\nContent-Length: 1000001\r\n\r\n"
    with socket.create_connection(("localhost", server.rest_port), timeout=30) as connection:
        connection.sendall(head)
        answer = b""
        while more := connection.recv(1000):
            answer += more
    assert answer.startswith(
        b"HTTP/1.1 413"
    ) and b'{"error":"no more than 1,000,000 bytes are taken"}' in answer.replace(b'": "', b'":"')


@pytest.mark.parametrize(
    "sent", [b"POST /v1/models/faketagger:predict HTTP/1.1\r\nContent-Length: 9\r\nHost: x\r\n\r\n{"]
)
def test_a_body_that_does_not_come_is_not_waited_for(server, call, sent):
    with socket.create_connection(("localhost", server.rest_port), timeout=30) as connection:
        connection.sendall(sent)
        assert connection.recv(100).startswith(b"HTTP/1.1 408")


def test_an_overloaded_server_says_when_to_come_back(server, call, monkeypatch):
    monkeypatch.setattr(server._predicting, "_most_calls", 0)
    body = {"signature_name": "describe", "instances": ["a"]}
    status, told = _json(call("/v1/models/faketagger:predict", body))
    assert status == 429 and "overloaded" in told["error"]


def test_a_call_that_takes_too_long_is_given_up(base_path):
    held = threading.Event()
    slow = start_server(str(base_path), poll_seconds=3600, rest=Rest(answer_seconds=0.2))
    try:
        slow._predicting._threads.submit(held.wait)
        for _ in range(64):
            slow._predicting._threads.submit(held.wait)
        url = f"http://localhost:{slow.rest_port}/v1/models/faketagger:predict"
        status, told = _json(_call(url, {"signature_name": "describe", "instances": ["a"]}))
        assert (status, told) == (504, {"error": "No answer within 0.2 s"})
    finally:
        held.set()
        slow.stop(0)


def test_a_failure_of_the_server_says_nothing_of_itself(server, call, monkeypatch):
    monkeypatch.setattr(server._calls, "status", lambda request: 1 / 0)
    assert _json(_call(f"http://localhost:{server.rest_port}/v1/models/faketagger")) == (
        500,
        {"error": "An error of the server; its log says more"},
    )
    monkeypatch.undo()


def test_rest_asks_for_client_certificates_where_grpc_does(base_path, tmp_path):
    key, certificate = self_signed()
    (tmp_path / "key").write_bytes(key)
    (tmp_path / "cert").write_bytes(certificate)
    files = (str(tmp_path / "key"), str(tmp_path / "cert"), str(tmp_path / "cert"))
    credentials = grpc.ssl_server_credentials([(key, certificate)], certificate, True)
    rest = Rest(0, 30.0, "", *files)
    secure = start_server(str(base_path), poll_seconds=3600, credentials=credentials, rest=rest)
    try:
        url = f"https://localhost:{secure.rest_port}/v1/models/faketagger"
        context = ssl.create_default_context(cafile=files[1])
        with pytest.raises((urllib.error.URLError, ConnectionError)):
            _call(url, context=context)
        context.load_cert_chain(files[1], files[0])
        assert _call(url, context=context)[0] == 200
    finally:
        secure.stop(0)


# Metrics


def _counts(page, name):
    """Values by labels."""
    found = re.findall(rf"^:tensorflow:serving:{name}{{(.*)}} (\S+)$", page, re.MULTILINE)
    return {labels: float(value) for labels, value in found}


def test_calls_are_counted_under_tensorflow_servings_names(base_path):
    counted = start_server(str(base_path), poll_seconds=3600, rest=Rest(metrics_path=metrics.PATH))
    try:
        url = f"http://localhost:{counted.rest_port}"
        body = {"signature_name": "describe", "instances": ["a"]}
        for _ in range(3):
            assert _call(f"{url}/v1/models/faketagger:predict", body)[0] == 200
        assert _call(f"{url}/v1/models/faketagger:predict", {})[0] == 400
        for stranger in range(5):
            assert _call(f"{url}/v1/models/stranger{stranger}:predict", body)[0] == 404
        with grpc.insecure_channel(f"localhost:{counted.port}") as channel:
            predictions = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            predictions.Predict(read_request())
            assert refusal(predictions.Predict, read_request(signature="no"))[0] == "FAILED_PRECONDITION"
        status, page = _call(url + "/monitoring/prometheus/metrics")
    finally:
        counted.stop(0)
    page = page.decode()
    assert status == 200 and "# TYPE :tensorflow:serving:request_count counter\n" in page
    assert _counts(page, "request_count") == {
        'model_name="faketagger",status="OK"': 4,
        'model_name="faketagger",status="INVALID_ARGUMENT"': 1,
        'model_name="faketagger",status="FAILED_PRECONDITION"': 1,
        'model_name="",status="NOT_FOUND"': 5,
    }
    latency = _counts(page, "request_latency_count")
    assert latency == {
        'API="predict",entrypoint="REST",model_name="faketagger"': 3,
        'API="Predict",entrypoint="GRPC",model_name="faketagger"': 1,
    }
    buckets = _counts(page, "request_latency_bucket")
    assert [value for labels, value in buckets.items() if "REST" in labels and 'le="10.0"' in labels] == [0.0]
    assert [value for labels, value in buckets.items() if "REST" in labels and "+Inf" in labels] == [3.0]
    assert _counts(page, "runtime_latency_count") == {'API="Predict",model_name="faketagger",runtime="TF1"': 4}


def test_without_a_path_there_are_no_metrics(base_path):
    plain = start_server(str(base_path), poll_seconds=3600, rest=Rest())
    try:
        assert _call(f"http://localhost:{plain.rest_port}{metrics.PATH}")[0] == 404
    finally:
        plain.stop(0)


# Configuration files


@pytest.mark.parametrize(
    "text, path",
    [
        ("prometheus_config { enable: true }", metrics.PATH),
        ('prometheus_config { enable: true, path: "/metrics" }', "/metrics"),
        ("prometheus_config { enable: false }", ""),
        ("", ""),
    ],
)
def test_a_monitoring_config_says_where_metrics_are(tmp_path, text, path):
    (tmp_path / "monitoring.config").write_text(text)
    assert configs.read_metrics_path(str(tmp_path / "monitoring.config")) == path


def test_a_file_that_is_no_config_is_told_by_name(tmp_path):
    path = tmp_path / "it"
    for text, said in (
        ("prometheus_config { enabled: true }", "no field named"),
        ('prometheus_config { enable: true, path: "metrics" }', "begins with /"),
    ):
        path.write_text(text)
        with pytest.raises(configs.ConfigError, match=said) as caught:
            configs.read_metrics_path(str(path))
        assert str(caught.value).startswith(str(path))
    for data, said in (
        (b"model_config_list {}", "at least one config"),
        (b"\xff", "as text"),
        (b"config {", "as text"),
    ):
        path.write_bytes(data)
        with pytest.raises(configs.ConfigError, match=said):
            configs.read_models(str(path))
    with pytest.raises(configs.ConfigError, match="No such file"):
        configs.read_models(str(tmp_path / "none"))


def test_the_program_serves_the_models_of_a_file_their_rest_api_and_metrics(base_path, tmp_path):
    models = (
        f'config {{ name: "{name}" base_path: "{base_path}" model_platform: "tensorflow" '
        f"model_version_policy {{ {policy} }} }}"
        for name, policy in (("one", "specific { versions: 1 }"), ("both", "latest { num_versions: 2 }"))
    )
    (tmp_path / "models.config").write_text(f"model_config_list {{ {' '.join(models)} }}")
    (tmp_path / "monitoring.config").write_text("prometheus_config { enable: true }")
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    flags = [f"--model_config_file={tmp_path}/models.config", f"--monitoring_config_file={tmp_path}/monitoring.config"]
    command = [sys.executable, "-m", "faketagger", "serve", *flags, "--port=0", f"--rest_api_port={port}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            said = [process.stdout.readline() for _ in range(3)]
            url = f"http://localhost:{port}"
            found = {name: _json(_call(f"{url}/v1/models/{name}"))[1] for name in ("one", "both")}
            status, page = _call(url + metrics.PATH)
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    assert said[0].startswith(f"Serving one (version 1) from {base_path} on localhost:")
    assert said[1].startswith("Serving both (version 2)") and said[2] == f"REST on localhost:{port}\n"
    versions = {name: [each["version"] for each in told["model_version_status"]] for name, told in found.items()}
    assert versions == {"one": ["1"], "both": ["2", "1"]}
    assert status == 200 and b":tensorflow:serving:request_count" in page


@pytest.mark.parametrize(
    "text, said",
    [
        ("config {", "models.config: not a ModelServerConfig as text"),
        ('name: "a" base_path: "a" model_platform: "tensorflow"', "absolute path or URI"),
        ('name: "a" base_path: "/none"', "unsupported platform none"),
        (
            'name: "a" base_path: "/none" model_platform: "tensorflow" version_labels { key: "x" value: 1 }',
            "not currently",
        ),
    ],
)
def test_models_that_cannot_be_served_end_the_program_with_a_sentence(tmp_path, faketagger, text, said):
    path = tmp_path / "models.config"
    path.write_text(text if text.startswith("config") else f"model_config_list {{ config {{ {text} }} }}")
    code, _, errors = faketagger("serve", f"--model_config_file={path}", "--port=0")
    assert code == 1 and said in errors and errors.count("\n") == 1
