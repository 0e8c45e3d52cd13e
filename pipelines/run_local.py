"""Runs the whole pipeline on this machine: photographs in, a tagger pushed for TF Serving out.

    python pipelines/run_local.py                                  # the demo, on drawn faces
    python pipelines/run_local.py --images=DIR                     # on your photographs
    python pipelines/run_local.py --dataset=celeb_a_hq/256 --manual_dir=DIR --preset=paper

Exit status: 0 blessed and pushed, 2 not blessed, 1 failed.
"""

import os
import sys
import warnings

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # Before TensorFlow is imported; its start-up notes help nobody here.
warnings.simplefilter("ignore")

from absl import app, flags, logging
from ml_metadata import metadata_store
from tfx.orchestration import metadata
from tfx.orchestration.local.local_dag_runner import LocalDagRunner

from faketagger.pipelines import flags as pipeline_flags
from faketagger.pipelines import results
from faketagger.pipelines.config import PipelineConfig
from faketagger.pipelines.pipeline import create_pipeline

FLAGS = flags.FLAGS
flags.adopt_module_key_flags(pipeline_flags)
flags.DEFINE_string("workdir", "work", "artifacts, metadata, checkpoints and the pushed models go here")
flags.DEFINE_bool("serve", False, "go on serving the pushed model")
flags.DEFINE_integer("port", 8500, "where --serve listens")

BLESSED, FAILED, NOT_BLESSED = 0, 1, 2


def run(config: PipelineConfig, workdir: str) -> results.RunResult:
    """Runs the pipeline with everything below `workdir`; what a step raises comes through."""
    os.makedirs(workdir, exist_ok=True)
    connection = metadata.sqlite_metadata_connection_config(os.path.join(workdir, "metadata.sqlite"))
    pipeline = create_pipeline(config, workdir, push_base_path(workdir), connection, FLAGS.beam_args)
    LocalDagRunner().run(pipeline)
    return results.newest_run(metadata_store.MetadataStore(connection), config.name)


def push_base_path(workdir: str) -> str:
    """What TF Serving is given as the model's base path."""
    return os.path.join(workdir, "serving", "faketagger")


def report(result: results.RunResult, base_path: str) -> str:
    """The run's end, for people."""
    lines = ["", result.table.rstrip(), ""]
    lines.append("steps: " + ", ".join(f"{step} ({state})" for step, state in result.steps.items()))
    if set(result.steps.values()) == {"cached"}:
        lines.append("nothing changed since an earlier run: every step was reused from the cache")
    if result.pushed_to:
        lines.append(f"pushed: {result.pushed_to}")
        lines.append(f"serve:  python -m faketagger.serving.server --model_base_path={base_path}")
        lines.append("tag:    faketagger tag in.jpg out.png --uid 12345")
        lines.append("read:   faketagger read out.png")
    else:
        lines.append("nothing was pushed")
    return "\n".join(lines)


def main(_) -> int:
    logging.set_verbosity(logging.ERROR)
    workdir = os.path.abspath(FLAGS.workdir)
    try:
        result = run(pipeline_flags.configure(), workdir)
    except Exception as error:  # The one place where a step's failure becomes an exit status.
        logging.debug("the pipeline failed", exc_info=True)
        print(f"failed: {_innermost(error)}", file=sys.stderr)
        return FAILED
    print(report(result, push_base_path(workdir)))
    if not result.blessed:
        return NOT_BLESSED
    if not result.pushed_to:
        print("blessed, but the pushed version is missing: remove its folder's record by running with another --workdir", file=sys.stderr)
        return FAILED
    if FLAGS.serve:
        from faketagger.serving import server

        server.serve_until_stopped(push_base_path(workdir), FLAGS.port)
    return BLESSED


def _innermost(error: BaseException) -> BaseException:
    while error.__cause__ is not None:
        error = error.__cause__
    return error


if __name__ == "__main__":
    app.run(main)
