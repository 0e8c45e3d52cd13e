"""The files for TensorFlow Serving and Kubernetes hold what those would accept."""

import os

import yaml
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from faketagger.components.tagger.config import TaggerConfig
from faketagger.tests import helpers


def _kubernetes():
    with open(os.path.join(helpers.ROOT, "serving", "kubernetes.yaml")) as file:
        return {document["kind"]: document for document in yaml.safe_load_all(file)}


def _models():
    with open(os.path.join(helpers.ROOT, "serving", "models.config")) as file:
        return text_format.Parse(file.read(), model_server_config_pb2.ModelServerConfig()).model_config_list.config


def test_models_config_names_one_model_that_keeps_two_versions():
    (model,) = _models()
    assert (model.name, model.model_platform) == ("faketagger", "tensorflow")
    assert model.model_version_policy.latest.num_versions == 2


def test_models_config_with_its_labels_switched_on_still_parses():
    with open(os.path.join(helpers.ROOT, "serving", "models.config")) as file:
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
    (mount,) = container["volumeMounts"]
    assert mount["name"] in {volume["name"] for volume in spec["volumes"]}
    name = {variable["name"]: variable["value"] for variable in container["env"]}["MODEL_NAME"]
    assert f"{mount['mountPath']}/{name}" == _models()[0].base_path
