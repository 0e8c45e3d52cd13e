"""What Vertex AI and Kubeflow have in common: flags, their checks, and the pipeline made ready for a cluster."""

import dataclasses
import json
import os
import re

import tensorflow as tf
from absl import flags
from kfp.pipeline_spec import pipeline_spec_pb2
from tfx.orchestration import pipeline as tfx_pipeline

from faketagger.components.contract import pretrained
from faketagger.components.simulator.component import SimulatorStep
from faketagger.components.tagger import start
from faketagger.components.tagger.component import TaggerStep
from faketagger.pipelines import flags as pipeline_flags
from faketagger.pipelines.config import PipelineConfig
from faketagger.pipelines.pipeline import create_pipeline

FLAGS = flags.FLAGS
flags.DEFINE_string("pipeline_root", None, "gs://…: artifacts, prepared data and checkpoints go here")
flags.DEFINE_string("push_to", None, "gs://…: TF Serving's base path; by default below --pipeline_root")
flags.DEFINE_string("image", None, "the container image of every step, built from the Dockerfile")
flags.DEFINE_string("gpu_type", None, "of the training steps, as the cluster calls it: NVIDIA_TESLA_T4, nvidia.com/gpu")
flags.DEFINE_integer("gpu_count", 1, "GPUs of each training step, 0 for none", lower_bound=0)
flags.DEFINE_integer("workers", 1, "machines that train the tagger together; several on Vertex AI alone", lower_bound=1)
flags.DEFINE_float("cpus", None, "CPUs of each training step", lower_bound=0)
flags.DEFINE_float("memory_gb", None, "memory of each training step, in GB", lower_bound=0)
flags.DEFINE_string("service_account", None, "as whom the steps run")
flags.DEFINE_string("output", None, "write the compiled pipeline to this file")
flags.DEFINE_bool("submit", False, "start the compiled pipeline")

ResourceSpec = pipeline_spec_pb2.PipelineDeploymentConfig.PipelineContainerSpec.ResourceSpec


@dataclasses.dataclass(frozen=True)
class Machine:
    """What each training step asks the cluster for, and what the cluster can do.

    Attributes:
      gpu_type: the cluster's name for it.
      gpu_count: 0 for none.
      cpus, memory_gb: None for the cluster's default.
      has_resolvers: whether it can look up the newest blessed tagger.
      workers: how many such machines train the tagger together.
      vertex_type: their type, where they are a job of Vertex AI; None where the cluster has no such jobs.
      jobs_in: the project and region of that job.
      service_account: as whom that job runs; None for the project's default.
    """

    gpu_type: str
    gpu_count: int = 1
    cpus: float | None = None
    memory_gb: float | None = None
    has_resolvers: bool = True
    workers: int = 1
    vertex_type: str | None = None
    jobs_in: tuple[str, str] | None = None
    service_account: str | None = None

    def to_resources(self) -> ResourceSpec:
        """As TFX's v2 runner takes it."""
        resources = ResourceSpec(cpu_limit=self.cpus or 0.0, memory_limit=self.memory_gb or 0.0)
        if self.gpu_count:
            resources.accelerator.type = self.gpu_type
            resources.accelerator.count = self.gpu_count
        return resources

    def to_job(self, image: str) -> str | None:
        """The CustomJob in which several workers train, as TaggerStep takes it; None where one trains.

        Raises:
          ValueError: the cluster has no such jobs, or it is not said where.
        """
        if self.workers == 1:
            return None
        if not (self.vertex_type and self.jobs_in):
            raise ValueError(
                "--workers: several machines train together on Vertex AI alone, with --project and --region"
            )
        machine: dict[str, str | int] = {"machine_type": self.vertex_type}
        if self.gpu_count:
            machine |= {"accelerator_type": self.gpu_type, "accelerator_count": self.gpu_count}
        # The first pool's only machine is the chief, which exports.
        pools = [
            {"machine_spec": machine, "replica_count": count, "container_spec": {"image_uri": image}}
            for count in (1, self.workers - 1)
        ]
        project, region = self.jobs_in
        spec = {"worker_pool_specs": pools}
        if self.service_account:
            spec["service_account"] = self.service_account
        return json.dumps({"project": project, "region": region, "job_spec": spec})


def pipeline_from_flags(default: Machine, *needed: str) -> tfx_pipeline.Pipeline:
    """The pipeline that the flags ask for.

    Args:
      default: the machine of the training steps, where the flags do not say otherwise.
      *needed: flags that the runner cannot do without, besides --pipeline_root and --image.

    Raises:
      ValueError: a flag is missing or does not fit; see check_flags and create_cluster_pipeline.
    """
    config = pipeline_flags.configure()
    check_flags(config, *needed)
    changed = {"gpu_type": FLAGS.gpu_type, "cpus": FLAGS.cpus, "memory_gb": FLAGS.memory_gb}
    changed = {name: value for name, value in changed.items() if value is not None}
    machine = dataclasses.replace(default, gpu_count=FLAGS.gpu_count, workers=FLAGS.workers, **changed)
    push_to = FLAGS.push_to or os.path.join(FLAGS.pipeline_root, "serving", "faketagger")
    return create_cluster_pipeline(config, FLAGS.pipeline_root, push_to, FLAGS.image, machine, FLAGS.beam_args)


def check_flags(config: PipelineConfig, *needed: str) -> None:
    """Checks, before anything is compiled, that the flags name what a run elsewhere can reach.

    Args:
      config: the pipeline's settings.
      *needed: as pipeline_from_flags.

    Raises:
      ValueError: a flag is missing; or a path is local, in a storage that TensorFlow does not know, or in a bucket
        though the image must have the file.
    """
    missing = [name for name in ("pipeline_root", "image", *needed) if not FLAGS[name].value]
    if missing:
        raise ValueError(f"missing: {', '.join(f'--{name}' for name in missing)}")
    if not (FLAGS.output or FLAGS.submit):
        raise ValueError("nothing to do: pass --output=FILE to write the compiled pipeline, or --submit to start it")
    started_from = start.directory_of(config.tagger)
    paths = {
        "pipeline_root": FLAGS.pipeline_root,
        "push_to": FLAGS.push_to,
        "images": config.images,
        "manual_dir": config.manual_dir,
        "simulators": config.foreign_simulators,
        "set tagger.start_from": None if started_from == pretrained.TAGGER else started_from,  # The image has that one.
    }
    for flag, path in paths.items():
        if path:
            _check_remote(flag, path)
    weights = {
        "tagger.vgg_weights": config.tagger.vgg_weights,
        "evaluator.lpips_vgg": config.evaluator.lpips_vgg,
        "evaluator.lpips_linear": config.evaluator.lpips_linear,
    }
    for setting, path in weights.items():
        if path and "://" in path:
            raise ValueError(f"{setting}={path}: is read from no bucket: put the file into the image")


def _check_remote(flag: str, path: str) -> None:
    scheme = path.partition("://")[0] if "://" in path else ""
    if scheme in ("", "file", "ram"):
        raise ValueError(f"--{flag}={path}: the cluster does not see this machine's files: use a bucket, gs://…")
    if scheme not in tf.io.gfile.get_registered_schemes():
        raise ValueError(f"--{flag}={path}: TensorFlow, which reads and writes there, knows no {scheme}://: use gs://…")


def create_cluster_pipeline(
    config: PipelineConfig,
    root: str,
    push_to: str,
    image: str,
    machine: Machine,
    beam_args: list[str] | None = None,
) -> tfx_pipeline.Pipeline:
    """The pipeline with step names that clusters take.

    Args:
      config, root, push_to: as create_pipeline's.
      image: what the steps run in, and Beam's workers where they are on other machines.
      machine: what the training steps ask for, and what the cluster can do.
      beam_args: options for Beam's runner; it runs inside the step's container by default.

    Raises:
      ValueError: a folder of photographs or simulators cannot be read from here.
    """
    # What they hold is part of the cache's key, so it is listed here and not only on the cluster.
    for folder in filter(None, (config.images, config.foreign_simulators)):
        if not tf.io.gfile.isdir(folder):
            raise ValueError(
                f"{folder}: no such folder, or not one that this machine may list, which compiling does: check its "
                "name, and log in with `gcloud auth application-default login`"
            )
    # Beam's own default downloads a runner. Where no image is named, TFX packs up itself alone for the workers.
    beam_args = ["--runner=FnApiRunner", f"--sdk_container_image={image}", *(beam_args or [])]
    job = machine.to_job(image)
    pipeline = create_pipeline(
        config, root, push_to, beam_args=beam_args, has_resolvers=machine.has_resolvers, training_job=job
    )
    # Where a job's machines train the tagger, its step but waits for them.
    training = SimulatorStep if job else (SimulatorStep, TaggerStep)
    for component in pipeline.components:
        component.with_id(cluster_name(component.id))
        if isinstance(component, training):
            component.with_platform_config(machine.to_resources())
    return pipeline


def cluster_name(component_id: str) -> str:
    """FaceExampleGen → face-example-gen."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", component_id).lower()
