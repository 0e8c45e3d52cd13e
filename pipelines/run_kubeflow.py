r"""Compiles the pipeline for open-source Kubeflow Pipelines 2.x, and starts it there.

    python pipelines/run_kubeflow.py --preset=paper --manual_dir=gs://BUCKET/archives \
        --pipeline_root=gs://BUCKET/faketagger --image=REGISTRY/faketagger --host=http://localhost:8080 --submit

With --output=FILE it only writes the compiled pipeline (YAML), which the Kubeflow Pipelines UI takes too.
Exit status: 0 compiled, or started; 1 failed.
"""

import sys

from faketagger.components.contract import startup

startup.quiet()  # Before TensorFlow is imported.

from typing import Any

import requests
import yaml
from absl import flags, logging
from tfx.orchestration import pipeline as tfx_pipeline
from tfx.orchestration.kubeflow.v2 import kubeflow_v2_dag_runner

from faketagger.components.contract import files
from faketagger.pipelines import cluster
from faketagger.pipelines import flags as pipeline_flags
from faketagger.pipelines.pipeline import NEWEST_PUSHED

FLAGS = flags.FLAGS
flags.adopt_module_key_flags(pipeline_flags)
flags.adopt_module_key_flags(cluster)
flags.DEFINE_string("host", None, "where Kubeflow Pipelines answers, e.g. http://localhost:8080")
flags.DEFINE_string("token_file", None, "a file with the bearer token that --host asks for")
flags.DEFINE_string("experiment_id", None, "the experiment to run in; the server's default one when not given")

# By the name of the Kubernetes resource; CPUs and memory are left to the cluster. Kubeflow 2.x runs no resolvers.
MACHINE = cluster.Machine(gpu_type="nvidia.com/gpu", has_resolvers=False)

_ENTRYPOINT = ["python", "-m", "faketagger.pipelines.kfp_entrypoint"]
_TIMEOUT_SECONDS = 60
_LOOKUP = cluster.cluster_name(NEWEST_PUSHED)


def compile_pipeline(pipeline: tfx_pipeline.Pipeline, image: str) -> dict[str, Any]:
    """A pipeline as a PipelineSpec of schema 2.1, JSON; `image` runs every step."""
    config = kubeflow_v2_dag_runner.KubeflowV2DagRunnerConfig(
        default_image=image, default_commands=_ENTRYPOINT, use_pipeline_spec_2_1=True
    )
    job = kubeflow_v2_dag_runner.KubeflowV2DagRunner(config).run(pipeline, write_out=False)
    # What was pushed last is looked up at each run.
    job["pipelineSpec"]["root"]["dag"]["tasks"][_LOOKUP]["cachingOptions"] = {}
    # Kubeflow takes no PipelineJob, in which TFX says where the artifacts go.
    return {**job["pipelineSpec"], "defaultPipelineRoot": pipeline.pipeline_info.pipeline_root}


def submit(
    spec: dict[str, Any],
    host: str,
    token_file: str | None = None,
    experiment_id: str | None = None,
    service_account: str | None = None,
) -> str:
    """Starts a compiled pipeline through the v2beta1 API (the kfp SDK that TFX needs speaks the older one only).

    Args:
      spec: what compile_pipeline returned.
      host: the address of Kubeflow Pipelines.
      token_file: holds the bearer token that the host asks for.
      experiment_id: the server's default experiment when not given.
      service_account: the Kubernetes service account of the steps.

    Returns:
      The run's id.

    Raises:
      ValueError: the token cannot be read, or the host does not answer, refuses, or is not Kubeflow Pipelines 2.x.
    """
    run = {
        "display_name": spec["pipelineInfo"]["name"],
        "pipeline_spec": spec,
        "runtime_config": {"pipeline_root": spec["defaultPipelineRoot"]},
        "experiment_id": experiment_id,
        "service_account": service_account,
    }
    url = f"{host.rstrip('/')}/apis/v2beta1/runs"
    try:
        answer = requests.post(
            url,
            json={name: value for name, value in run.items() if value},
            headers={"Authorization": f"Bearer {_read_token(token_file)}"} if token_file else {},
            timeout=_TIMEOUT_SECONDS,
        )
    except requests.RequestException as error:
        raise ValueError(f"{url}: {error}") from None
    if not answer.ok:
        raise ValueError(f"{url} answered {answer.status_code}: {answer.text[:1000]}")
    try:
        return answer.json()["run_id"]
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"{url}: no run_id in the answer: is this Kubeflow Pipelines 2.x, past its login?") from None


def _read_token(path: str) -> str:
    try:
        with open(path, encoding="ascii") as file:
            return file.read(65536).strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not text"
        raise ValueError(f"{path}: the token cannot be read: {reason}") from None


def main(_) -> int:
    """Compiles and, if asked to, submits; the exit status."""
    try:
        pipeline = cluster.pipeline_from_flags(MACHINE, *(("host",) if FLAGS.submit else ()))
        spec = compile_pipeline(pipeline, FLAGS.image)
        if FLAGS.output:
            files.write_bytes(FLAGS.output, yaml.safe_dump(spec).encode())
            print(f"compiled: {FLAGS.output}")
        if FLAGS.submit:
            run_id = submit(spec, FLAGS.host, FLAGS.token_file, FLAGS.experiment_id, FLAGS.service_account)
            print(f"started: {FLAGS.host.rstrip('/')}/#/runs/details/{run_id}")
    except Exception as error:  # The one place where a failure becomes an exit status.
        logging.debug("compiling or starting failed", exc_info=True)
        print(f"failed: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    startup.run(main, startup.Parser("python pipelines/run_kubeflow.py", __doc__, module=sys.modules[__name__]))
