r"""Compiles the pipeline for Vertex AI Pipelines, and starts it there.

    python pipelines/run_vertex.py --preset=paper --manual_dir=gs://BUCKET/archives \
        --pipeline_root=gs://BUCKET/faketagger \
        --image=REGION-docker.pkg.dev/PROJECT/REPOSITORY/faketagger --project=PROJECT --region=REGION --submit

With --output=FILE it only writes the compiled pipeline. Credentials: `gcloud auth application-default login`.
Exit status: 0 compiled, or started; 1 failed.
"""

import dataclasses
import os
import sys
import tempfile

from faketagger.components.contract import startup

startup.quiet()  # Before TensorFlow is imported.

from typing import Any

from absl import flags, logging
from google.cloud import aiplatform
from tfx.orchestration import pipeline as tfx_pipeline
from tfx.orchestration.kubeflow.v2 import kubeflow_v2_dag_runner

from faketagger.components.contract import files
from faketagger.pipelines import cluster
from faketagger.pipelines import flags as pipeline_flags

FLAGS = flags.FLAGS
flags.adopt_module_key_flags(pipeline_flags)
flags.adopt_module_key_flags(cluster)
flags.DEFINE_string("project", None, "the Google Cloud project to run in")
flags.DEFINE_string("region", None, "the region to run in, e.g. europe-west4")
flags.DEFINE_string("machine_type", None, "of each of several --workers; default: n1-standard-8")

# An n1-standard-8: Vertex's own default, an e2-standard-4, takes no GPU.
MACHINE = cluster.Machine(gpu_type="NVIDIA_TESLA_T4", cpus=8, memory_gb=30, vertex_type="n1-standard-8")


def compile_pipeline(pipeline: tfx_pipeline.Pipeline, image: str) -> dict[str, Any]:
    """A pipeline as a PipelineJob of schema 2.0, JSON; `image` runs every step."""
    config = kubeflow_v2_dag_runner.KubeflowV2DagRunnerConfig(default_image=image)
    return kubeflow_v2_dag_runner.KubeflowV2DagRunner(config).run(pipeline, write_out=False)


def make_job(compiled: dict[str, Any], project: str, region: str, credentials=None) -> aiplatform.PipelineJob:
    """The job that `submit` starts; nothing is sent yet. Credentials are the machine's own by default."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "pipeline.json")
        files.write_json(path, compiled)
        return aiplatform.PipelineJob(
            display_name=compiled["displayName"],
            template_path=path,
            project=project,
            location=region,
            credentials=credentials,
        )


def submit(compiled: dict[str, Any], project: str, region: str, service_account: str | None) -> str:
    """Starts a compiled pipeline; returns the job's resource name."""
    job = make_job(compiled, project, region)
    job.submit(service_account=service_account)
    return job.resource_name


def main(_) -> int:
    """Compiles and, if asked to, submits; the exit status."""
    try:
        machine = dataclasses.replace(
            MACHINE,
            vertex_type=FLAGS.machine_type or MACHINE.vertex_type,
            jobs_in=(FLAGS.project, FLAGS.region),
            service_account=FLAGS.service_account,
        )
        where = ("project", "region") if FLAGS.submit or FLAGS.workers > 1 else ()
        pipeline = cluster.pipeline_from_flags(machine, *where)
        compiled = compile_pipeline(pipeline, FLAGS.image)
        if FLAGS.output:
            files.write_json(FLAGS.output, compiled)
            print(f"compiled: {FLAGS.output}")
        if FLAGS.submit:
            print(f"started: {submit(compiled, FLAGS.project, FLAGS.region, FLAGS.service_account)}")
    except Exception as error:  # The one place where a failure becomes an exit status.
        logging.debug("compiling or starting failed", exc_info=True)
        print(f"failed: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    startup.run(main, startup.Parser("python pipelines/run_vertex.py", __doc__, module=sys.modules[__name__]))
