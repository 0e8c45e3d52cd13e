"""The compiled pipelines: valid for Vertex AI and Kubeflow, complete, and their steps run as in containers."""

import contextlib
import http.server
import json
import os
import re
import threading

import pytest
import yaml
from absl import flags
from absl.testing import flagsaver
from google.auth import credentials
from google.cloud import aiplatform_v1
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2
from tfx.extensions.google_cloud_ai_platform import training_clients
from tfx.types import standard_artifacts

from faketagger.components.contract import manifest
from faketagger.components.evaluator.config import EvaluatorConfig
from faketagger.components.example_gen import executor as example_gen_executor
from faketagger.components.simulator.artifact import GanSimulators
from faketagger.components.simulator.config import SimulatorConfig
from faketagger.components.tagger import executor as tagger_executor
from faketagger.components.tagger.config import TaggerConfig
from faketagger.pipelines import cluster, kfp_entrypoint, overrides, presets, run_kubeflow, run_vertex
from faketagger.pipelines import flags as pipeline_flags
from faketagger.tests import stubs
from faketagger.tests.pipelines import containers

pytestmark = pytest.mark.slow

_RUNNERS = {"vertex": run_vertex, "kubeflow": run_kubeflow}
_STEPS = {"face-example-gen", "simulator-step", "tagger-step", "tag-evaluator", "pusher"}
_LOOKUPS = {
    "vertex": {"newest-blessed-model-resolver", "newest-blessed-model-blessing-resolver"},
    "kubeflow": {"newest-pushed"},
}
_TRAINING_STEPS = {"simulator-step", "tagger-step"}
_IMAGE = "registry.example/faketagger:1"


def _compile(runner, config=None, root="gs://bucket/faketagger", machine=None):
    """The PipelineSpec that a runner compiles, as JSON, and all that it compiles."""
    config = config or presets.smoke()
    machine = machine or _RUNNERS[runner].MACHINE
    pipeline = cluster.create_cluster_pipeline(config, root, f"{root}/pushed", _IMAGE, machine)
    compiled = _RUNNERS[runner].compile_pipeline(pipeline, _IMAGE)
    return compiled.get("pipelineSpec", compiled), compiled


def _constants(task):
    """A task's parameters as JSON values, from either schema."""
    values = {name: value["runtimeValue"] for name, value in task["inputs"].get("parameters", {}).items()}
    return {
        name: value["constant"] if "constant" in value else next(iter(value["constantValue"].values()))
        for name, value in values.items()
    }


@contextlib.contextmanager
def _flags(**values):
    flags.FLAGS.mark_as_parsed()
    with flagsaver.flagsaver(preset="smoke", image=_IMAGE, pipeline_root="gs://bucket/faketagger", **values):
        yield


@pytest.mark.parametrize("runner", _RUNNERS)
def test_what_is_compiled_keeps_the_schema(runner):
    spec, compiled = _compile(runner)
    json_format.ParseDict(spec, pipeline_spec_pb2.PipelineSpec())
    json_format.ParseDict(spec["deploymentSpec"], pipeline_spec_pb2.PipelineDeploymentConfig())
    assert set(spec["root"]["dag"]["tasks"]) == _STEPS | _LOOKUPS[runner]
    if runner == "vertex":
        job = json_format.ParseDict(compiled, pipeline_spec_pb2.PipelineJob())
        assert spec["schemaVersion"] == "2.0.0"
        assert job.runtime_config.gcs_output_directory == "gs://bucket/faketagger/artifacts"
    else:
        assert spec["schemaVersion"] == "2.1.0"
        assert spec["defaultPipelineRoot"] == "gs://bucket/faketagger/artifacts"


@pytest.mark.parametrize("runner", _RUNNERS)
def test_names_are_what_clusters_take(runner):
    spec, _ = _compile(runner)
    names = [spec["pipelineInfo"]["name"], *spec["components"], *spec["root"]["dag"]["tasks"]]
    assert [name for name in names if not re.fullmatch("[a-z0-9][a-z0-9-]{0,62}", name)] == []


@pytest.mark.parametrize("runner", _RUNNERS)
def test_simulators_travel_under_their_own_artifact_type(runner):
    spec, _ = _compile(runner)
    made = spec["components"]["simulator-step"]["outputDefinitions"]["artifacts"]["simulators"]["artifactType"]
    assert yaml.safe_load(made["instanceSchema"])["title"] == "faketagger.GanSimulators"


@pytest.mark.parametrize("runner", _RUNNERS)
def test_the_pusher_waits_for_the_blessing(runner):
    spec, _ = _compile(runner)
    blessing = spec["root"]["dag"]["tasks"]["pusher"]["inputs"]["artifacts"]["model_blessing"]["taskOutputArtifact"]
    assert blessing == {"producerTask": "tag-evaluator", "outputArtifactKey": "blessing"}


def test_the_evaluator_is_given_the_newest_blessed_tagger():
    vertex, kubeflow = (_compile(runner)[0]["root"]["dag"]["tasks"] for runner in ("vertex", "kubeflow"))
    for tasks, producer in ((vertex, "newest-blessed-model-resolver"), (kubeflow, "newest-pushed")):
        baseline = tasks["tag-evaluator"]["inputs"]["artifacts"]["baseline_model"]["taskOutputArtifact"]
        assert baseline == {"producerTask": producer, "outputArtifactKey": "model"}
    assert _constants(kubeflow["newest-pushed"])["base_path"] == "gs://bucket/faketagger/pushed"
    # What was pushed last is another tagger at the next run.
    assert "enableCache" not in kubeflow["newest-pushed"]["cachingOptions"]
    assert kubeflow["tagger-step"]["cachingOptions"] == {"enableCache": True}


@pytest.mark.parametrize("runner, gpu", [("vertex", "NVIDIA_TESLA_T4"), ("kubeflow", "nvidia.com/gpu")])
def test_training_steps_alone_ask_for_the_gpu(runner, gpu):
    found = containers.of_steps(_compile(runner)[0])
    assert {container["image"] for container in found.values()} == {_IMAGE}
    asking = {name: container["resources"] for name, container in found.items() if "resources" in container}
    assert set(asking) == _TRAINING_STEPS
    assert all(each["accelerator"] == {"type": gpu, "count": "1"} for each in asking.values())


def test_a_machine_without_gpu_asks_for_none():
    machine = cluster.Machine(gpu_type="any", gpu_count=0, cpus=4, memory_gb=16)
    found = containers.of_steps(_compile("vertex", machine=machine)[0])
    assert found["tagger-step"]["resources"] == {"cpuLimit": 4.0, "memoryLimit": 16.0}


@pytest.mark.parametrize("runner", _RUNNERS)
def test_settings_reach_the_steps_unchanged(runner):
    config = overrides.apply(presets.paper(), ["tagger.steps=77", "evaluator.seed=3", "limit=9"])
    tasks = _compile(runner, config)[0]["root"]["dag"]["tasks"]
    assert TaggerConfig.from_json(_constants(tasks["tagger-step"])["config"]) == config.tagger
    assert SimulatorConfig.from_json(_constants(tasks["simulator-step"])["config"]) == config.simulator
    assert EvaluatorConfig.from_json(_constants(tasks["tag-evaluator"])["config"]) == config.evaluator
    options = example_gen_executor.unpack(_constants(tasks["face-example-gen"])["custom_config"])
    assert (options.dataset, options.limit, options.image_size) == ("celeb_a_hq/256", 9, 256)
    assert options.data_dir == "gs://bucket/faketagger/tfds"
    assert _constants(tasks["tagger-step"])["checkpoints"] == "gs://bucket/faketagger/checkpoints"
    pushed = json.loads(_constants(tasks["pusher"])["push_destination"])
    assert pushed["filesystem"]["base_directory"] == "gs://bucket/faketagger/pushed"


def test_vertex_takes_the_compiled_job():
    _, compiled = _compile("vertex")
    job = run_vertex.make_job(compiled, "project", "europe-west4", credentials.AnonymousCredentials())
    assert job.job_id.startswith("faketagger-smoke-")


def test_the_yaml_file_holds_what_was_compiled(tmp_path, capsys):
    path = tmp_path / "new" / "pipeline.yaml"
    with _flags(output=str(path), gpu_count=2):
        assert run_kubeflow.main([]) == 0
    spec = yaml.safe_load(path.read_text())
    json_format.ParseDict(spec, pipeline_spec_pb2.PipelineSpec())
    assert containers.of_steps(spec)["tagger-step"]["resources"]["accelerator"] == {
        "type": "nvidia.com/gpu",
        "count": "2",
    }
    assert capsys.readouterr().out == f"compiled: {path}\n"
    assert os.listdir(tmp_path / "new") == ["pipeline.yaml"]


def test_the_job_file_holds_what_was_compiled(tmp_path):
    path = tmp_path / "pipeline.json"
    beam_args = ["--runner=DataflowRunner"]
    with _flags(output=str(path), gpu_type="NVIDIA_L4", push_to="gs://other/models", beam_args=beam_args):
        assert run_vertex.main([]) == 0
    compiled = json.loads(path.read_text())
    json_format.ParseDict(compiled, pipeline_spec_pb2.PipelineJob())
    tasks = compiled["pipelineSpec"]["root"]["dag"]["tasks"]
    assert "gs://other/models" in _constants(tasks["pusher"])["push_destination"]
    found = containers.of_steps(compiled["pipelineSpec"])
    # Beam takes the last of options that are given twice.
    assert found["tag-evaluator"]["args"][-3:] == [
        "--runner=FnApiRunner", f"--sdk_container_image={_IMAGE}", "--runner=DataflowRunner"
    ]  # fmt: skip
    resources = found["tagger-step"]["resources"]
    assert resources["accelerator"]["type"] == "NVIDIA_L4" and resources["cpuLimit"] == 8.0


@pytest.mark.parametrize(
    "wrong, told",
    [
        ({"image": None}, "missing: --image"),
        ({"output": None}, "pass --output=FILE"),
        ({"output": None, "submit": True}, "missing: --host"),
        ({"pipeline_root": "work"}, "--pipeline_root=work: the cluster does not see"),
        ({"push_to": "file:///models"}, "--push_to=file:///models: the cluster does not see"),
        ({"pipeline_root": "minio://bucket/x"}, "knows no minio://"),
        ({"images": "photographs"}, "photographs: the cluster does not see"),
        ({"simulators": "/simulators"}, "--simulators=/simulators: the cluster does not see"),
        ({"manual_dir": "archives"}, "archives: the cluster does not see"),
        ({"set": ["tagger.start_from=work/tagger"]}, "--set tagger.start_from=work/tagger: the cluster does not see"),
        ({"set": ["tagger.vgg_weights=gs://bucket/vgg.h5"]}, "put the file into the image"),
        (
            {"set": ["evaluator.lpips_vgg=gs://bucket/vgg.npz", "evaluator.lpips_linear=linear.npz"]},
            "evaluator.lpips_vgg=gs://bucket/vgg.npz: is read from no bucket: put the file into the image",
        ),
        (
            {"set": ["evaluator.lpips_vgg=vgg.npz", "evaluator.lpips_linear=gs://bucket/linear.npz"]},
            "evaluator.lpips_linear=gs://bucket/linear.npz: is read from no bucket",
        ),
        ({"set": ["tagger.image_size=64"]}, "expected the tagger's, 64, found 32"),
    ],
)
def test_what_cannot_run_on_a_cluster_is_refused_before_compiling(wrong, told, tmp_path, capsys):
    path = tmp_path / "pipeline.yaml"
    with _flags(output=str(path)), flagsaver.flagsaver(**wrong):
        assert run_kubeflow.main([]) == 1
    assert told in capsys.readouterr().err
    assert not path.exists()


@pytest.mark.parametrize("start_from", ["shipped", "gs://bucket/tagger"])
def test_a_tagger_to_go_on_from_may_be_the_image_s_own_or_in_a_bucket(start_from):
    config = overrides.apply(presets.smoke(), [f"tagger.start_from={start_from}"])
    with _flags(output="pipeline.yaml"):
        cluster.check_flags(config)


def test_a_folder_that_cannot_be_listed_from_here_is_named(tmp_path):
    config = overrides.apply(presets.smoke(), [f"images={tmp_path}/missing"])
    with pytest.raises(ValueError, match="missing: no such folder, or not one that this machine may list"):
        _compile("vertex", config)


def test_remote_folders_are_not_taken_for_local_ones():
    with _flags(manual_dir="gs://bucket/archives", images="photographs"):
        config = pipeline_flags.configure()
    assert config.manual_dir == "gs://bucket/archives"
    assert config.images == os.path.abspath("photographs")


def _step_arguments(artifact_types):
    invocation = {"inputs": {"artifacts": {"model": {"artifacts": [{"name": "7", "uri": "gs://bucket/model"}]}}}}
    interface = {"artifacts": {name: {"artifactType": kind} for name, kind in artifact_types.items()}}
    return [
        "--executor_class_path", "a.B",
        "--json_serialized_invocation_args", json.dumps(invocation),
        "--json_serialized_inputs_spec_args", json.dumps(interface),
        "--direct_num_workers=2",
    ]  # fmt: skip


def test_input_artifacts_get_the_type_of_the_interface():
    before = _step_arguments({"model": {"instanceSchema": "title: tfx.Model"}})
    after = kfp_entrypoint.typed_arguments(before)
    artifact = json.loads(after[3])["inputs"]["artifacts"]["model"]["artifacts"][0]
    assert artifact == {"name": "7", "uri": "gs://bucket/model", "type": {"instanceSchema": "title: tfx.Model"}}
    assert after[:3] + after[4:] == before[:3] + before[4:]


def test_arguments_of_another_compiler_are_refused():
    with pytest.raises(ValueError, match="input 'model' is not in the step's interface"):
        kfp_entrypoint.typed_arguments(_step_arguments({"examples": {}}))
    with pytest.raises(ValueError, match="--json_serialized_inputs_spec_args is missing"):
        kfp_entrypoint.typed_arguments(_step_arguments({})[:4])


@contextlib.contextmanager
def _kubeflow(status, answer):
    """A server that answers every POST so; yields its address and the list of requests it got."""
    got = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            got.append((self.path, self.headers.get("Authorization"), body))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/", got
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


_SPEC = {"pipelineInfo": {"name": "faketagger-smoke"}, "defaultPipelineRoot": "gs://bucket/artifacts"}


def test_submitting_to_kubeflow_sends_the_pipeline(tmp_path):
    (tmp_path / "token").write_text("secret\n")
    with _kubeflow(200, b'{"run_id": "4711"}') as (host, got):
        assert run_kubeflow.submit(_SPEC, host, str(tmp_path / "token"), experiment_id="9") == "4711"
    run = {
        "display_name": "faketagger-smoke",
        "pipeline_spec": _SPEC,
        "runtime_config": {"pipeline_root": "gs://bucket/artifacts"},
        "experiment_id": "9",
    }
    assert got == [("/apis/v2beta1/runs", "Bearer secret", run)]


@pytest.mark.parametrize(
    "status, answer, told",
    [(401, b"who are you", "answered 401: who are you"), (200, b"<html>Log in</html>", "no run_id in the answer")],
)
def test_what_kubeflow_refuses_is_told_without_the_token(status, answer, told, tmp_path):
    (tmp_path / "token").write_text("secret")
    with _kubeflow(status, answer) as (host, _), pytest.raises(ValueError, match=told) as raised:
        run_kubeflow.submit(_SPEC, host, str(tmp_path / "token"))
    assert "secret" not in str(raised.value)


def test_a_missing_token_or_host_is_named(tmp_path):
    with pytest.raises(ValueError, match="none: the token cannot be read: No such file"):
        run_kubeflow.submit(_SPEC, "http://127.0.0.1:1", str(tmp_path / "none"))
    with pytest.raises(ValueError, match="^http://127.0.0.1:1/apis/v2beta1/runs: "):
        run_kubeflow.submit(_SPEC, "http://127.0.0.1:1")


_WORKERS = cluster.Machine(
    gpu_type="NVIDIA_L4",
    gpu_count=2,
    workers=3,
    vertex_type="g2-standard-24",
    jobs_in=("project", "europe-west4"),
    service_account="trainer@project",
)


def test_several_workers_train_in_a_job_of_vertex():
    spec, _ = _compile("vertex", machine=_WORKERS)
    told = json.loads(_constants(spec["root"]["dag"]["tasks"]["tagger-step"])["vertex_job"])
    assert (told["project"], told["region"]) == ("project", "europe-west4")
    job = aiplatform_v1.CustomJobSpec(told["job_spec"])
    pools = job.worker_pool_specs
    assert job.service_account == "trainer@project"
    assert [pool.replica_count for pool in pools] == [1, 2]
    for pool in pools:
        assert pool.container_spec.image_uri == _IMAGE
        assert (pool.machine_spec.machine_type, pool.machine_spec.accelerator_count) == ("g2-standard-24", 2)
        assert pool.machine_spec.accelerator_type == aiplatform_v1.AcceleratorType.NVIDIA_L4
    assert {name for name, each in containers.of_steps(spec).items() if "resources" in each} == {"simulator-step"}
    assert "vertex_job" not in _constants(_compile("vertex")[0]["root"]["dag"]["tasks"]["tagger-step"])


class _Vertex:
    """Stands for Vertex AI: notes the job that it is sent, and says that it has ended so."""

    def __init__(self, state, made=lambda: None):
        self.state, self.sent, self._made = state, [], made

    def create_custom_job(self, parent, custom_job):
        self.sent.append((parent, aiplatform_v1.CustomJob(custom_job)))
        self._made()
        return aiplatform_v1.CustomJob(name="projects/1/locations/europe-west4/customJobs/2")

    def get_custom_job(self, name, retry):
        return aiplatform_v1.CustomJob(name=name, state=self.state)


def _step_of_a_job(tmp_path):
    """The arguments of the tagger's executor in a pipeline whose training is a job."""
    artifacts = {"examples": standard_artifacts.Examples(), "simulators": GanSimulators()}
    outputs = {"model": standard_artifacts.Model(), "model_run": standard_artifacts.ModelRun()}
    for name, artifact in {**artifacts, **outputs}.items():
        artifact.uri = str(tmp_path / name)
    properties = {"config": TaggerConfig().to_json(), "vertex_job": _WORKERS.to_job(_IMAGE)}
    return {name: [it] for name, it in artifacts.items()}, {name: [it] for name, it in outputs.items()}, properties


def test_the_step_of_a_job_has_vertex_run_itself_on_each_machine_and_waits(tmp_path, monkeypatch):
    def trained():
        described = stubs.pattern_manifest().replace(
            training=manifest.TaggerRecord(1, "early", simulators=("faceswap",))
        )
        os.makedirs(tmp_path / "model" / "Format-Serving")
        manifest.write(described, str(tmp_path / "model" / "Format-Serving"))

    vertex = _Vertex(aiplatform_v1.JobState.JOB_STATE_SUCCEEDED, trained)
    monkeypatch.setattr(training_clients.gapic, "JobServiceClient", lambda client_options: vertex)
    inputs, outputs, properties = _step_of_a_job(tmp_path)
    tagger_executor.Executor().Do(inputs, outputs, properties)
    ((parent, job),) = vertex.sent
    assert parent == "projects/project/locations/europe-west4"
    for pool in job.job_spec.worker_pool_specs:
        command = list(pool.container_spec.command)
        assert command[:3] == ["python", "-m", "tfx.scripts.run_executor"]
        told = " ".join(command)
        assert "faketagger.components.tagger.executor.Executor" in told and str(tmp_path / "examples") in told
        assert "vertex_job" not in told
    assert outputs["model"][0].get_string_custom_property("white_box") == "faceswap"


def test_a_job_that_fails_fails_the_step(tmp_path, monkeypatch):
    vertex = _Vertex(aiplatform_v1.JobState.JOB_STATE_FAILED)
    monkeypatch.setattr(training_clients.gapic, "JobServiceClient", lambda client_options: vertex)
    with pytest.raises(RuntimeError, match="did not succeed"):
        tagger_executor.Executor().Do(*_step_of_a_job(tmp_path))


def test_several_workers_need_vertex_and_to_be_told_where(tmp_path, capsys):
    path = str(tmp_path / "pipeline")
    with _flags(output=path, workers=2):
        assert run_kubeflow.main([]) == 1
        assert "several machines train together on Vertex AI alone" in capsys.readouterr().err
        assert run_vertex.main([]) == 1
        assert "missing: --project, --region" in capsys.readouterr().err
    with _flags(output=path, workers=2, project="project", region="europe-west4", machine_type="n1-highmem-8"):
        assert run_vertex.main([]) == 0
    tasks = json.loads(open(path).read())["pipelineSpec"]["root"]["dag"]["tasks"]
    assert '"n1-highmem-8"' in _constants(tasks["tagger-step"])["vertex_job"]
