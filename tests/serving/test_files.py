"""The files for TensorFlow Serving and Kubernetes hold what those would accept."""

import os

import pytest
import yaml
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format, wrappers_pb2
from tensorflow_serving.config import model_server_config_pb2

from faketagger.components.contract import signatures
from faketagger.components.tagger.config import TaggerConfig
from faketagger.serving import configs, model_manager
from faketagger.serving.rest import metrics
from faketagger.tests import helpers

IMAGE = "tensorflow/serving:2.15.1"
# Of tensorflow_model_server 2.15, those that its files here might use.
FLAGS = {
    "allow_version_labels_for_unavailable_models",
    "batching_parameters_file",
    "enable_batching",
    "enable_grpc_healthcheck_service",
    "file_system_poll_wait_seconds",
    "grpc_channel_arguments",
    "grpc_max_threads",
    "model_base_path",
    "model_config_file",
    "model_config_file_poll_wait_seconds",
    "model_name",
    "monitoring_config_file",
    "port",
    "rest_api_num_threads",
    "rest_api_port",
    "rest_api_timeout_in_ms",
    "ssl_config_file",
}


def _path(name):
    return os.path.join(helpers.ROOT, "serving", name)


def _yaml(name):
    with open(_path(name)) as file:
        return yaml.safe_load(file)


def _flags(arguments):
    flags = dict(each.removeprefix("--").split("=", 1) for each in arguments)
    assert all(each.startswith("--") for each in arguments) and set(flags) <= FLAGS
    return flags


def _kubernetes():
    with open(_path("kubernetes.yaml")) as file:
        return {document["kind"]: document for document in yaml.safe_load_all(file)}


def _models():
    with open(_path("models.config")) as file:
        return text_format.Parse(file.read(), model_server_config_pb2.ModelServerConfig()).model_config_list.config


def test_models_config_names_one_model_that_keeps_two_versions():
    (model,) = _models()
    assert (model.name, model.model_platform) == ("faketagger", "tensorflow")
    assert model.model_version_policy.latest.num_versions == 2


def test_models_config_with_its_labels_switched_on_still_parses():
    with open(_path("models.config")) as file:
        text = file.read().replace("# version_labels", "version_labels")
    config = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    assert dict(config.model_config_list.config[0].version_labels) == {"stable": 1, "canary": 2}


def test_kubernetes_service_reaches_the_ports_and_pods_of_the_deployment():
    documents = _kubernetes()
    template = documents["Deployment"]["spec"]["template"]
    (container,) = template["spec"]["containers"]
    named = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert named["grpc"] == 8500
    assert {port["targetPort"] for port in documents["Service"]["spec"]["ports"]} <= set(named)
    assert documents["Service"]["spec"]["selector"].items() <= template["metadata"]["labels"].items()
    assert documents["Deployment"]["spec"]["selector"]["matchLabels"] == template["metadata"]["labels"]


def test_kubernetes_probes_health_that_the_server_was_asked_to_offer():
    (container,) = _kubernetes()["Deployment"]["spec"]["template"]["spec"]["containers"]
    assert container["readinessProbe"]["grpc"] == {"port": 8500, "service": "PredictionService"}
    assert "--enable_grpc_healthcheck_service=true" in container["args"]


def test_kubernetes_has_memory_for_as_many_of_the_largest_pictures_as_calls():
    (container,) = _kubernetes()["Deployment"]["spec"]["template"]["spec"]["containers"]
    (calls,) = (int(each.partition("=")[2]) for each in container["args"] if each.startswith("--grpc_max_threads="))
    gibibytes = int(container["resources"]["limits"]["memory"].removesuffix("Gi"))
    bytes_a_pixel = 12  # Decoded, tagged and as a PNG: three of each, and strips.
    model = 2**30
    assert model + calls * TaggerConfig().max_pixels * bytes_a_pixel <= gibibytes * 2**30


def test_kubernetes_mounts_the_model_volume_where_models_config_looks():
    spec = _kubernetes()["Deployment"]["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    mount = next(each for each in container["volumeMounts"] if each["name"] == "models")
    assert {each["name"] for each in container["volumeMounts"]} == {volume["name"] for volume in spec["volumes"]}
    name = {variable["name"]: variable["value"] for variable in container["env"]}["MODEL_NAME"]
    assert f"{mount['mountPath']}/{name}" == _models()[0].base_path


def test_the_shipped_monitoring_config_is_where_metrics_are_looked_for():
    assert configs.read_metrics_path(_path("monitoring.config")) == metrics.PATH
    (job,) = _yaml("prometheus.yaml")["scrape_configs"]
    assert job["metrics_path"] == metrics.PATH and job["static_configs"] == [{"targets": ["serving:8501"]}]


def test_kubernetes_has_its_metrics_where_its_annotations_say(tmp_path):
    documents = _kubernetes()
    template = documents["Deployment"]["spec"]["template"]
    (container,) = template["spec"]["containers"]
    (mount,) = (each["mountPath"] for each in container["volumeMounts"] if each["name"] == "config")
    flags = _flags(container["args"])
    folder, name = os.path.split(flags["monitoring_config_file"])
    assert folder == mount
    (volume,) = (each for each in template["spec"]["volumes"] if each["name"] == "config")
    assert volume["configMap"]["name"] == documents["ConfigMap"]["metadata"]["name"]
    (tmp_path / name).write_text(documents["ConfigMap"]["data"][name])
    annotations = template["metadata"]["annotations"]
    assert annotations["prometheus.io/path"] == configs.read_metrics_path(str(tmp_path / name))
    assert annotations["prometheus.io/port"] == str(
        {each["name"]: each["containerPort"] for each in container["ports"]}["rest"]
    )


def test_every_file_has_the_official_image_and_flags_that_it_takes():
    compose, kserve = _yaml("docker-compose.yaml"), _yaml("kserve.yaml")
    (pod,) = _kubernetes()["Deployment"]["spec"]["template"]["spec"]["containers"]
    model = kserve["spec"]["predictor"]["model"]
    serving = compose["services"]["serving"]
    assert {serving["image"], model["image"], pod["image"]} == {IMAGE}
    for arguments in (serving["command"], model["args"], pod["args"]):
        assert _flags(arguments)["grpc_max_threads"] == "12"


def test_compose_mounts_what_its_flags_name_and_opens_ports_to_this_machine_alone():
    serving = _yaml("docker-compose.yaml")["services"]["serving"]
    mounts = dict(each.removesuffix(":ro").rsplit(":", 1)[::-1] for each in serving["volumes"])
    assert all(each.endswith(":ro") for each in serving["volumes"])
    assert os.path.exists(os.path.join(_path(""), mounts[_flags(serving["command"])["monitoring_config_file"]]))
    assert f"/models/{serving['environment']['MODEL_NAME']}" in mounts
    for service in _yaml("docker-compose.yaml")["services"].values():
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    prometheus = _yaml("docker-compose.yaml")["services"]["prometheus"]
    assert prometheus["profiles"] == ["monitoring"] and prometheus["volumes"][0].startswith("./prometheus.yaml:")


def test_kserve_finds_the_versions_that_the_pusher_fills():
    service = _yaml("kserve.yaml")
    claims = [
        volume.get("persistentVolumeClaim")
        for volume in _kubernetes()["Deployment"]["spec"]["template"]["spec"]["volumes"]
    ]
    (claim,) = (each["claimName"] for each in claims if each)
    assert service["kind"] == "InferenceService" and service["apiVersion"] == "serving.kserve.io/v1beta1"
    model = service["spec"]["predictor"]["model"]
    assert model["storageUri"] == f"pvc://{claim}/{service['metadata']['name']}"
    assert model["modelFormat"] == {"name": "tensorflow"}
    assert {"name": "h2c", "containerPort": 9000, "protocol": "TCP"} in model["ports"]


@pytest.mark.parametrize("policy, versions", [("latest { num_versions: 2 }", {2, 3}), ("all {}", {1, 2, 3})])
def test_the_embedded_server_reads_the_shipped_models_config(tmp_path, policy, versions):
    with open(_path("models.config")) as file:
        text = file.read().replace("latest { num_versions: 2 }", policy)
    (tmp_path / "models.config").write_text(text)
    (model,) = configs.read_models(str(tmp_path / "models.config")).config
    assert model.model_version_policy.WhichOneof("policy_choice") == policy.split()[0]
    assert model_manager.wanted(model.model_version_policy, {1, 2, 3}) == versions


def _batching_parameters():
    """An empty BatchingParameters, with the fields of TensorFlow Serving's session_bundle_config.proto."""
    file = descriptor_pb2.FileDescriptorProto(name="batching.proto", syntax="proto3", package="batching")
    file.dependency.append("google/protobuf/wrappers.proto")
    kinds, message = descriptor_pb2.FieldDescriptorProto, file.message_type.add(name="BatchingParameters")
    for number, name in enumerate(
        ("max_batch_size", "batch_timeout_micros", "max_enqueued_batches", "num_batch_threads"), 1
    ):
        field = message.field.add(name=name, number=number, type=kinds.TYPE_MESSAGE, label=kinds.LABEL_OPTIONAL)
        field.type_name = ".google.protobuf.Int64Value"
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    kind = pool.FindMessageTypeByName("batching.BatchingParameters")
    return message_factory.MessageFactory(pool).GetPrototype(kind)()


def test_batching_makes_batches_that_a_tagger_takes():
    with open(_path("batching.config")) as file:
        told = text_format.Parse(file.read(), _batching_parameters())
    assert 8 <= told.max_batch_size.value <= signatures.MAX_FILES  # The client sends up to 8 at a time.
    assert 0 < told.batch_timeout_micros.value < 100_000
    assert told.max_enqueued_batches.value >= 1 and told.num_batch_threads.value >= 1
    assert told.max_batch_size.value * told.max_enqueued_batches.value >= 64  # As many calls as the embedded server.
